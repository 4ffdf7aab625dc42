// Integers and bits, by the words of the PTX ISA's sections on them.
#include "tests/harness.h"

namespace simulator::tests {

TEST(arithmetic_of_32_bits) {
  instruction("add.s32", {{{5, 7}, 12}, {{0xffffffff, 1}, 0}});
  instruction("sub.u32", {{{5, 7}, 0xfffffffe}});
  instruction("mul.lo.s32", {{{0xffffffff, 7}, 0xfffffff9}, {{0x10000, 0x10000}, 0}});
  instruction("mul.hi.u32", {{{0xffffffff, 0xffffffff}, 0xfffffffe}});
  instruction("mul.hi.s32", {{{0xffffffff, 2}, 0xffffffff}, {{0x40000000, 4}, 1}});
  instruction("mul.wide.s32", {{{0xffffffff, 3}, uint64_t(-3)}});
  instruction("mul.wide.u32", {{{0xffffffff, 3}, 0x2fffffffdull}});
  instruction("mad.lo.s32", {{{3, 4, 5}, 17}});
  instruction("mad.wide.s32", {{{0xfffffffe, 4, 10}, 2}});
  instruction("mad.wide.u32", {{{0xffffffff, 2, 2}, 0x200000000ull}});
  instruction("mad.hi.u32", {{{0x80000000, 4, 1}, 3}});
  instruction("div.s32",
              {{{uint32_t(-7), 2}, uint32_t(-3)}, {{0x80000000, 0xffffffff}, 0x80000000}, {{1, 0}, 0xffffffff}});
  instruction("rem.s32", {{{uint32_t(-7), 2}, uint32_t(-1)}, {{0x80000000, 0xffffffff}, 0}});
  instruction("div.u32", {{{0xfffffff9, 2}, 0x7ffffffc}});
  instruction("rem.u32", {{{17, 5}, 2}});
  instruction("min.s32", {{{0xffffffff, 1}, 0xffffffff}});
  instruction("max.u32", {{{0xffffffff, 1}, 0xffffffff}});
  instruction("add.sat.s32", {{{0x7fffffff, 1}, 0x7fffffff}, {{0x80000000, 0xffffffff}, 0x80000000}});
  instruction("sub.sat.s32", {{{0x80000000, 1}, 0x80000000}});
  instruction("neg.s32", {{{5}, 0xfffffffb}});
  instruction("abs.s32", {{{0xfffffffb}, 5}, {{0x80000000}, 0x80000000}});
  instruction("sad.u32", {{{3, 10, 1}, 8}});
  instruction("sad.s32", {{{0xfffffffd, 10, 1}, 14}});
  instruction("mul24.lo.u32", {{{0xff000003, 5}, 15}});
  instruction("mul24.lo.s32", {{{0xff000003, 5}, 15}, {{0x00ffffff, 5}, 0xfffffffb}});
  instruction("dp4a.s32.s32", {{{0x01ff0203, 0x04050607, 100}, 100 + 4 - 5 + 12 + 21}});
  instruction("dp4a.u32.u32", {{{0x01ff0203, 0x04050607, 100}, 100 + 4 + 255 * 5 + 12 + 21}});
}

TEST(arithmetic_of_16_and_64_bits) {
  instruction("add.s16", {{{0xffff, 2}, 1}});
  instruction("mul.wide.s16", {{{0xffff, 3}, 0xfffffffd}});
  instruction("mul.wide.u16", {{{0xffff, 3}, 0x2fffd}});
  instruction("mul.hi.u16", {{{0xffff, 0xffff}, 0xfffe}});
  instruction("min.s16", {{{0xffff, 1}, 0xffff}});
  instruction("max.u16", {{{0xffff, 1}, 0xffff}});
  instruction("div.s16", {{{0xfff9, 2}, 0xfffd}});
  instruction("abs.s16", {{{0xfff9}, 7}});
  instruction("add.s64", {{{~0ull, 2}, 1}});
  instruction("mul.lo.s64", {{{1ull << 33, 3}, 3ull << 33}});
  instruction("mul.hi.u64", {{{~0ull, ~0ull}, ~0ull - 1}});
  instruction("mul.hi.s64", {{{~0ull, 2}, ~0ull}});
  instruction("div.s64", {{{uint64_t(-7), 2}, uint64_t(-3)}});
  instruction("rem.u64", {{{1ull << 40, 1000}, 776}});
  instruction("mad.lo.s64", {{{1ull << 32, 2, 5}, (1ull << 33) + 5}});
}

TEST(logic_and_shifts) {
  instruction("and.b32", {{{0xf0f0, 0xff00}, 0xf000}});
  instruction("or.b64", {{{1ull << 40, 1}, (1ull << 40) + 1}});
  instruction("xor.b16", {{{0xffff, 0x00ff}, 0xff00}});
  instruction("not.b16", {{{0x00ff}, 0xff00}});
  instruction("not.b32", {{{0}, 0xffffffff}});
  instruction("cnot.b32", {{{0}, 1}, {{7}, 0}});
  instruction("and.pred", {{{1, 1}, 1}, {{1, 0}, 0}});
  instruction("xor.pred", {{{1, 1}, 0}, {{1, 0}, 1}});
  instruction("not.pred", {{{1}, 0}, {{0}, 1}});
  instruction("shl.b32", {{{1, 31}, 0x80000000}, {{1, 32}, 0}, {{1, 0xffffffff}, 0}});
  instruction("shr.u32", {{{0x80000000, 31}, 1}, {{0x80000000, 32}, 0}});
  instruction("shr.s32", {{{0x80000000, 31}, 0xffffffff}, {{0x80000000, 99}, 0xffffffff}, {{0x40000000, 99}, 0}});
  instruction("shl.b64", {{{1, 40}, 1ull << 40}, {{1, 64}, 0}});
  instruction("shr.s64", {{{1ull << 63, 70}, ~0ull}});
  instruction("shr.s16", {{{0x8000, 3}, 0xf000}});
  instruction("shl.b16", {{{0x8001, 1}, 2}});
  instruction("shf.l.wrap.b32", {{{0x80000000, 1, 33}, 3}});
  instruction("shf.r.wrap.b32", {{{0x80000000, 1, 36}, 0x18000000}});
  instruction("shf.l.clamp.b32", {{{0x12345678, 1, 40}, 0x12345678}});
  instruction("shf.r.clamp.b32", {{{0x12345678, 1, 40}, 1}});
  instruction("lop3.b32", {{{0xf0, 0xcc, 0xaa, 0x96}, (0xf0 ^ 0xcc ^ 0xaa)}});
  instruction("lop3.b32", {{{0xf0, 0xcc, 0xaa, 0xe8}, 0xe8}});
}

TEST(fields_of_bits) {
  instruction("bfe.u32", {{{0x12345678, 8, 8}, 0x56}, {{0xffffffff, 28, 8}, 0xf}, {{5, 0, 0}, 0}});
  instruction(
      "bfe.s32",
      {{{0x0000f000, 12, 4}, 0xffffffff}, {{0x80000000, 28, 8}, 0xfffffff8}, {{0x80000000, 40, 3}, 0xffffffff}});
  instruction("bfe.s64", {{{0xf0, 4, 4}, ~0ull}, {{0x70, 4, 4}, 7}});
  instruction("bfe.u64", {{{0x123456789abcdefull, 32, 16}, 0x4567}});
  instruction("bfi.b32", {{{0xff, 0, 8, 4}, 0xf00}, {{0xff, 0x12345678, 0, 0}, 0x12345678}, {{1, 0, 32, 4}, 0}});
  instruction("bfi.b64", {{{0xff, 0, 40, 8}, 0xffull << 40}});
  instruction("popc.b32", {{{0xff00ff00}, 16}});
  instruction("popc.b64", {{{~0ull}, 64}});
  instruction("clz.b32", {{{0}, 32}, {{1}, 31}});
  instruction("clz.b64", {{{0}, 64}, {{1ull << 40}, 23}});
  instruction("brev.b32", {{{1}, 0x80000000}});
  instruction("brev.b64", {{{2}, 1ull << 62}});
  instruction("bfind.u32", {{{0}, 0xffffffff}, {{0x10}, 4}});
  instruction("bfind.s32", {{{0xffffffff}, 0xffffffff}, {{0xffffffef}, 4}});
  instruction("bfind.shiftamt.u32", {{{1}, 31}});
  instruction("prmt.b32", {{{0x33221100, 0x77665544, 0x7410}, 0x77441100}, {{0x00000080, 0, 0x8888}, 0xffffffff}});
}

TEST(carries) {
  const std::string body =
      "mov.u32 %r0, 0xffffffff;\nadd.cc.u32 %r1, %r0, 1;\naddc.cc.u32 %r2, %r0, 0;\naddc.u32 %r3, 5, 0;\n"
      "sub.cc.u32 %r4, 0, 1;\nsubc.u32 %r5, 7, 0;\nmad.lo.cc.u32 %r6, %r0, 2, 2;\nmadc.hi.u32 %r7, %r0, 2, 0;\n"
      "st.global.v4.u32 [%out], {%r1, %r2, %r3, %r4};\nst.global.v4.u32 [%out+16], {%r5, %r6, %r7, %r0};\n";
  Setup setup;
  setup.block = {1, 1, 1};
  const Outcome outcome = run(kernel_text(body), {}, setup);
  const uint32_t expected[] = {0, 0, 6, 0xffffffff, 6, 0, 2};
  for (size_t i = 0; i < std::size(expected); i++)
    expect_equal(outcome.at<uint32_t>(i), expected[i], "word " + std::to_string(i));
}

}  // namespace simulator::tests
