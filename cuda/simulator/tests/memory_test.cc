// Loads, stores, atomic operations, copies and matrices.
#include <cmath>

#include "tests/harness.h"

namespace simulator::tests {
namespace {

const std::string kMine = "shl.b32 %r50, %tid, 2;\ncvt.u64.u32 %d50, %r50;\nadd.s64 %d50, %d50, %out;\n";

Outcome healthy(const std::string& ptx, const std::vector<std::byte>& in, const Setup& setup = {}) {
  const Outcome outcome = run(ptx, in, setup);
  if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
  return outcome;
}

float bf16_value(uint16_t bits) {
  const uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

}  // namespace

TEST(loads_and_stores_of_all_widths) {
  const std::vector<uint32_t> in = {0x80ff8180, 0x12345678, 0x9abcdef0, 0x11223344};
  Setup setup;
  setup.block = {1, 1, 1};
  const Outcome outcome = healthy(kernel_text("ld.global.u8 %r1, [%in];\nld.global.s8 %r2, [%in];\nld.global.s8 %h1, "
                                              "[%in+1];\nld.global.s16 %r3, [%in+2];\n"
                                              "ld.global.v2.u16 {%h2, %h3}, [%in+4];\nld.global.v4.u32 {%r4, %r5, %r6, "
                                              "%r7}, [%in];\nld.global.nc.v2.u64 {%d1, %d2}, [%in];\n"
                                              "ld.global.L1::no_allocate.L2::128B.s32 %d3, [%in];\nst.global.v4.u32 "
                                              "[%out], {%r1, %r2, %r3, %r7};\nst.global.u16 [%out+16], %h1;\n"
                                              "st.global.v2.u16 [%out+20], {%h2, %h3};\nst.global.cs.u64 [%out+24], "
                                              "%d2;\nst.global.u64 [%out+32], %d3;\nst.global.u8 [%out+40], %r5;\n"
                                              "st.volatile.global.u32 [%out+44], -1;\n"),
                                  bytes_of(in), setup);
  expect_equal(outcome.at<uint32_t>(0), 0x80, "u8");
  expect_equal(outcome.at<uint32_t>(1), 0xffffff80, "s8 to 32 bits");
  expect_equal(outcome.at<uint32_t>(2), 0xffff80ff, "s16 to 32 bits");
  expect_equal(outcome.at<uint32_t>(3), 0x11223344, "v4");
  expect_equal(outcome.at<uint16_t>(8), 0xff81, "s8 to 16 bits");
  expect_equal(outcome.at<uint32_t>(5), 0x12345678, "v2.u16");
  expect_equal(outcome.at<uint64_t>(3), 0x112233449abcdef0ull, "v2.u64");
  expect_equal(outcome.at<uint64_t>(4), 0xffffffff80ff8180ull, "s32 to 64 bits");
  expect_equal(outcome.at<uint64_t>(5), 0xffffffff00000078ull, "a byte, and a store of a literal");
}

TEST(variables_of_module_and_kernel) {
  const std::string module =
      ".const .align 4 .b8 bytes[8] = {1, 2, 3, 4, 5};\n.global .align 4 .f32 numbers[3] = {0f3F800000, 2.5, "
      "0f40400000};\n"
      ".global .align 8 .u64 pointer = generic(numbers)+4;\n.global .align 4 .u32 counter;\n";
  Setup setup;
  setup.block = {1, 1, 1};
  const Outcome outcome =
      healthy(kernel_text(".local .align 8 .b8 depot[16];\n.shared .align 4 .b8 table[16];\nld.const.u32 %r1, "
                          "[bytes+4];\nld.global.u64 %d1, [pointer];\nld.f32 %f1, [%d1];\n"
                          "mov.u64 %d2, depot;\ncvta.local.u64 %d3, %d2;\nst.u32 [%d3+8], 99;\nld.local.u32 %r2, "
                          "[%d2+8];\nmov.u32 %r10, table;\nst.shared.u32 [%r10+12], 55;\n"
                          "cvt.u64.u32 %d4, %r10;\ncvta.shared.u64 %d4, %d4;\nld.u32 %r3, [%d4+12];\nisspacep.shared "
                          "%p1, %d4;\nisspacep.global %p2, %d4;\nselp.u32 %r4, 1, 0, %p1;\n"
                          "@%p2 mov.u32 %r4, 7;\natom.global.add.u32 %r5, [counter], 4;\nld.global.u32 %r6, "
                          "[counter];\nst.global.v4.u32 [%out], {%r1, %r2, %r3, %r4};\n"
                          "st.global.f32 [%out+16], %f1;\nst.global.u32 [%out+20], %r6;\n",
                          "", module),
              {}, setup);
  const uint32_t expected[] = {5, 99, 55, 1, 0x40200000, 4};
  for (size_t i = 0; i < std::size(expected); i++)
    expect_equal(outcome.at<uint32_t>(i), expected[i], "word " + std::to_string(i));
}

TEST(atomic_operations) {
  const auto result = [](const std::string& operation, uint64_t before, int index) {
    Setup setup;
    setup.block = {64, 1, 1};
    const Outcome outcome =
        healthy(kernel_text("cvt.u64.u32 %d9, %tid;\n" + operation), bytes_of<uint64_t>({before, 0}), setup);
    return outcome.at<uint64_t>(static_cast<size_t>(index));
  };
  const auto in_place = [&](const std::string& operation, uint64_t before) {
    // The input cannot be read back: its first word is copied to the output after a barrier.
    return result(
        operation +
            "bar.sync 0;\nld.global.u64 %d20, [%in];\nsetp.eq.u32 %p9, %tid, 0;\n@%p9 st.global.u64 [%out], %d20;\n",
        before, 0);
  };
  expect_equal(in_place("red.global.add.u32 [%in], 3;\n", 1), 193, "add");
  expect_equal(in_place("atom.global.max.s32 %r1, [%in], %tid;\n", 5), 63, "max");
  expect_equal(in_place("atom.global.min.u64 %d1, [%in], %d9;\n", 50), 0, "min");
  expect_equal(in_place("atom.global.inc.u32 %r1, [%in], 9;\n", 0), 4, "inc wraps to 0 after 9");
  expect_equal(in_place("atom.global.dec.u32 %r1, [%in], 9;\n", 0), 6, "dec wraps to 9 after 0");
  expect_equal(in_place("setp.eq.u32 %p1, %tid, 7;\n@%p1 atom.global.cas.b64 %d1, [%in], 5, 6;\n", 5), 6, "cas");
  expect_equal(in_place("setp.eq.u32 %p1, %tid, 7;\n@%p1 atom.global.exch.b32 %r1, [%in], 8;\n", 5), 8, "exch");
  expect_equal(in_place("shl.b64 %d1, 1, %tid;\nred.global.or.b64 [%in], %d1;\n", 0), ~0ull, "or");
  expect_equal(in_place("red.global.add.f32 [%in], 0f3F800000;\n", f(1)), f(65), "add.f32");
  expect_equal(in_place("red.global.add.f64 [%in], 0d3FF0000000000000;\n", d(1)), d(65), "add.f64");
  expect_equal(in_place("mov.b32 %r1, 0x3f803f80;\nred.global.add.noftz.bf16x2 [%in], %r1;\n", 0), 0x42804280,
               "add.bf16x2");
  expect_equal(in_place(".shared .align 4 .u32 cell;\nsetp.eq.u32 %p1, %tid, 0;\n@%p1 st.shared.u32 [cell], "
                        "0;\nbar.sync 0;\nred.shared.add.u32 [cell], 2;\n"
                        "bar.sync 0;\nld.shared.u32 %r5, [cell];\ncvt.u64.u32 %d2, %r5;\nbar.sync 0;\n@%p1 "
                        "st.global.u64 [%in], %d2;\n",
                        0),
               128, "shared");
}

TEST(asynchronous_copies) {
  std::vector<uint32_t> in(256);
  for (uint32_t i = 0; i < 256; i++) in[i] = i * 3;
  Setup setup;
  setup.block = {32, 1, 1};
  const Outcome outcome =
      healthy(kernel_text(".shared .align 16 .b8 tile[1024];\nshl.b32 %r1, %tid, 4;\nmov.u32 %r2, tile;\nadd.u32 %r3, "
                          "%r2, %r1;\ncvt.u64.u32 %d1, %r1;\nadd.u64 %d2, %in, %d1;\n"
                          "cp.async.cg.shared.global [%r3], [%d2], 16;\ncp.async.commit_group;\nand.b32 %r4, %tid, "
                          "7;\nshl.b32 %r4, %r4, 1;\n"
                          "cp.async.cg.shared.global.L2::128B [%r3+512], [%d2+512], 16, "
                          "%r4;\ncp.async.commit_group;\ncp.async.wait_group 1;\nbar.sync 0;\n"
                          "xor.b32 %r5, %r1, 16;\nadd.u32 %r6, %r2, %r5;\nld.shared.u32 %r7, "
                          "[%r6+4];\ncp.async.wait_all;\nld.shared.u32 %r8, [%r3+520];\n" +
                          kMine + "st.global.u32 [%d50], %r7;\nst.global.u32 [%d50+128], %r8;\n"),
              bytes_of(in), setup);
  for (uint32_t i = 0; i < 32; i++) {
    expect_equal(outcome.at<uint32_t>(i), ((i ^ 1) * 4 + 1) * 3, "copied, thread " + std::to_string(i));
    // Element 2 of a thread's 16 bytes: bytes 8 to 11, of which 2 * (thread mod 8) of 16 are read.
    const uint32_t read = i % 8 * 2, whole = (128 + i * 4 + 2) * 3;
    const uint32_t present = read >= 12 ? 0xffffffff : read > 8 ? (1u << 8 * (read - 8)) - 1 : 0;
    expect_equal(outcome.at<uint32_t>(32 + i), whole & present, "the rest is zero, thread " + std::to_string(i));
  }
}

TEST(matrices_are_loaded_multiplied_and_stored) {
  // A [16 x 16] and B [16 x 8] of small whole numbers: sums are exact.
  std::vector<uint16_t> in(16 * 16 + 8 * 16);
  const auto bits = [](int value) {
    const float number = static_cast<float>(value);
    uint32_t wide;
    std::memcpy(&wide, &number, 4);
    return static_cast<uint16_t>(wide >> 16);
  };
  for (int i = 0; i < 256; i++) in[i] = bits((i * 7) % 11 - 5);
  for (int i = 0; i < 128; i++) in[256 + i] = bits((i * 5) % 13 - 6);  // B row by row
  const std::string copy =
      ".shared .align 16 .b8 tile[768];\nmov.u32 %r40, tile;\nshl.b32 %r41, %tid, 4;\ncvt.u64.u32 %d1, %r41;\nadd.u64 "
      "%d1, %d1, %in;\nadd.u32 %r42, %r40, %r41;\n"
      "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1];\nst.shared.v4.u32 [%r42], {%r1, %r2, %r3, %r4};\nsetp.lt.u32 %p1, "
      "%tid, 16;\n"
      "@%p1 ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1+512];\n@%p1 st.shared.v4.u32 [%r42+512], {%r1, %r2, %r3, "
      "%r4};\nbar.warp.sync 0xffffffff;\n";
  // Rows of A are 32 bytes; lanes 0-15 name the rows' left halves, lanes 16-31 the right ones. B is stored by rows of
  // 16 bytes, so it is loaded transposed.
  const std::string multiply =
      "and.b32 %r10, %tid, 15;\nshl.b32 %r11, %r10, 5;\nand.b32 %r12, %tid, 16;\nadd.u32 %r11, %r11, %r12;\nadd.u32 "
      "%r11, %r11, %r40;\n"
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r20, %r21, %r22, %r23}, [%r11];\nshl.b32 %r13, %r10, 4;\nadd.u32 "
      "%r13, %r13, %r40;\n"
      "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r24, %r25}, [%r13+512];\nmov.f32 %f0, 0f3F800000;\n"
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, {%r20, %r21, %r22, %r23}, {%r24, "
      "%r25}, {%f0, %f0, %f0, %f0};\n"
      "shl.b32 %r30, %tid, 4;\ncvt.u64.u32 %d2, %r30;\nadd.u64 %d2, %d2, %out;\nst.global.v4.f32 [%d2], {%f1, %f2, "
      "%f3, %f4};\n";
  // What ldmatrix loaded goes back by stmatrix, the transposed way back to a copy.
  const std::string back =
      "bar.warp.sync 0xffffffff;\nstmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%r13], {%r24, %r25};\nbar.warp.sync "
      "0xffffffff;\n@%p1 ld.shared.u32 %r31, [%r42+4];\n"
      "shl.b32 %r32, %tid, 2;\ncvt.u64.u32 %d3, %r32;\nadd.u64 %d3, %d3, %out;\n@%p1 st.global.u32 [%d3+512], %r31;\n";
  const Outcome outcome = healthy(kernel_text(copy + multiply + back), bytes_of(in));
  // The same with modifiers in the order that the assembler takes beside the manual's.
  std::string other = copy + multiply + back;
  for (const std::string number : {"x4", "x2.trans"}) {
    const std::string spelling = "ldmatrix.sync.aligned.m8n8." + number;
    other.replace(other.find(spelling), spelling.size(), "ldmatrix.sync.aligned." + number + ".m8n8");
  }
  EXPECT(healthy(kernel_text(other), bytes_of(in)).out == outcome.out);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = 1;
      for (int k = 0; k < 16; k++) sum += bf16_value(in[row * 16 + k]) * bf16_value(in[256 + k * 8 + column]);
      expect_equal(f(outcome.at<float>(lane * 4 + i)), f(sum),
                   "row " + std::to_string(row) + ", column " + std::to_string(column));
    }
  for (int row = 0; row < 16; row++)
    expect_equal(outcome.at<uint32_t>(128 + row), in[256 + row * 8 + 2] | uint32_t(in[256 + row * 8 + 3]) << 16,
                 "stmatrix, row " + std::to_string(row));
}

TEST(matrices_of_tf32) {
  // A[i][k] = i + k, B[k][j] = k - j, fractions below tf32's last bit are cut.
  const std::string body =
      "shr.u32 %r1, %tid, 2;\nand.b32 %r2, %tid, 3;\nadd.u32 %r3, %r1, %r2;\ncvt.rn.f32.u32 %f1, %r3;\nadd.f32 %f2, "
      "%f1, 0f41000000;\nadd.f32 %f3, %f1, 0f40800000;\n"
      "add.f32 %f4, %f1, 0f41400000;\nsub.s32 %r4, %r2, %r1;\ncvt.rn.f32.s32 %f5, %r4;\nadd.f32 %f6, %f5, "
      "0f40800000;\nmov.b32 %r11, %f1;\nmov.b32 %r12, %f2;\n"
      "mov.b32 %r13, %f3;\nmov.b32 %r14, %f4;\nor.b32 %r14, %r14, 0x1fff;\nmov.b32 %r15, %f5;\nmov.b32 %r16, "
      "%f6;\nmov.f32 %f7, 0f00000000;\n"
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f11, %f12, %f13, %f14}, {%r11, %r12, %r13, %r14}, {%r15, "
      "%r16}, {%f7, %f7, %f7, %f7};\n"
      "shl.b32 %r30, %tid, 4;\ncvt.u64.u32 %d2, %r30;\nadd.u64 %d2, %d2, %out;\nst.global.v4.f32 [%d2], {%f11, %f12, "
      "%f13, %f14};\n";
  const Outcome outcome = healthy(kernel_text(body), {});
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = 0;
      for (int k = 0; k < 8; k++) sum += static_cast<float>((row + k) * (k - column));
      expect_equal(f(outcome.at<float>(lane * 4 + i)), f(sum),
                   "row " + std::to_string(row) + ", column " + std::to_string(column));
    }
}

TEST(noise_changes_approximations_alone) {
  Setup noisy;
  noisy.noise = true;
  const std::string body =
      "cvt.rn.f32.u32 %f1, %tid;\nadd.f32 %f1, %f1, 0f3F800000;\nrcp.approx.f32 %f2, %f1;\nrcp.rn.f32 %f3, %f1;\n" +
      kMine + "st.global.f32 [%d50], %f2;\nst.global.f32 [%d50+128], %f3;\n";
  const Outcome outcome = healthy(kernel_text(body), {}, noisy);
  int different = 0;
  for (int lane = 0; lane < 32; lane++) {
    const float exact = 1.0f / static_cast<float>(lane + 1), approximate = outcome.at<float>(lane);
    expect_equal(f(outcome.at<float>(32 + lane)), f(exact), "rcp.rn");
    EXPECT(std::fabs(approximate - exact) <= exact * 0x1.8p-22f);
    different += approximate != exact;
  }
  EXPECT(different > 8);
}

}  // namespace simulator::tests
