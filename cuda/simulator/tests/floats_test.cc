// Floating point and conversions, by the PTX ISA's tables of special values.
#include <cmath>
#include <limits>

#include "tests/harness.h"

namespace simulator::tests {
namespace {

const float kInfinity = std::numeric_limits<float>::infinity();
const float kTiny = 1e-40f;  // subnormal
constexpr uint64_t kNan = 0x7fc00000;

}  // namespace

TEST(float32) {
  instruction("add.f32", {{{f(1), f(2)}, f(3)}, {{f(kTiny), f(0)}, f(kTiny)}});
  instruction("add.ftz.f32", {{{f(kTiny), f(0)}, f(0)}});
  instruction("add.f32", {{{0xffffffff, f(1)}, 0x7fffffff}, {{f(INFINITY), f(-INFINITY)}, 0x7fffffff}});
  instruction("fma.rn.f32", {{{f(1), f(2), 0xff812345}, 0x7fffffff}});
  instruction("add.sat.f32", {{{f(1), f(2)}, f(1)}, {{f(-1), f(0)}, f(0)}, {{kNan, f(0)}, f(0)}});
  instruction("sub.rn.f32", {{{f(1), f(2)}, f(-1)}});
  instruction("mul.f32", {{{f(3), f(-2)}, f(-6)}});
  instruction("fma.rn.f32", {{{f(1 + 0x1p-12f), f(1 + 0x1p-12f), f(-1)}, f(0x1p-11f + 0x1p-24f)}});
  instruction("add.rz.f32", {{{f(1), f(0x1p-24f * 1.5f)}, f(1)}});
  instruction("add.rp.f32", {{{f(1), f(0x1p-30f)}, f(1 + 0x1p-23f)}});
  instruction("add.rm.f32", {{{f(1), f(-0x1p-30f)}, f(1 - 0x1p-24f)}});
  instruction("fma.rm.f32", {{{f(1), f(1), f(-0x1p-30f)}, f(1 - 0x1p-24f)}});
  instruction("mul.rz.f32", {{{f(1 + 0x1p-23f), f(1 + 0x1p-23f)}, f(1 + 0x1p-22f)}});
  instruction("div.rn.f32", {{{f(1), f(3)}, f(1.0f / 3)}, {{f(1), f(0)}, f(kInfinity)}});
  instruction("div.full.f32", {{{f(1), f(4)}, f(0.25f)}});
  instruction("div.approx.f32", {{{f(1), f(4)}, f(0.25f)}, {{f(1), f(0x1p127f)}, f(0)}});
  instruction("rcp.rn.f32", {{{f(3)}, f(1.0f / 3)}});
  instruction("rcp.approx.ftz.f32", {{{f(4)}, f(0.25f)}, {{f(kTiny)}, f(kInfinity)}});
  instruction("sqrt.rn.f32", {{{f(2)}, f(std::sqrt(2.0f))}});
  instruction("sqrt.approx.f32", {{{f(9)}, f(3)}});
  instruction("rsqrt.approx.f32", {{{f(4)}, f(0.5f)}, {{f(0)}, f(kInfinity)}});
  instruction("ex2.approx.f32", {{{f(3)}, f(8)}, {{f(-kInfinity)}, f(0)}});
  instruction("ex2.approx.ftz.f32", {{{f(-130)}, f(0)}});
  instruction("lg2.approx.f32", {{{f(8)}, f(3)}, {{f(0)}, f(-kInfinity)}});
  instruction("sin.approx.f32", {{{f(0)}, f(0)}});
  instruction("cos.approx.f32", {{{f(0)}, f(1)}});
  instruction("tanh.approx.f32", {{{f(100)}, f(1)}});
  instruction("neg.f32", {{{f(1)}, f(-1)}});
  instruction("abs.f32", {{{f(-1)}, f(1)}});
  instruction("min.f32", {{{f(1), kNan}, f(1)}, {{f(-0.0f), f(0.0f)}, f(-0.0f)}, {{kNan, kNan}, 0x7fffffff}});
  instruction("max.f32", {{{f(1), f(2)}, f(2)}, {{f(-0.0f), f(0.0f)}, f(0.0f)}});
  instruction("max.NaN.f32", {{{f(1), kNan}, 0x7fffffff}});
  instruction("copysign.f32", {{{f(-1), f(2)}, f(-2)}});
  instruction("testp.finite.f32", {{{f(1)}, 1}, {{f(kInfinity)}, 0}});
  instruction("testp.subnormal.f32", {{{f(kTiny)}, 1}, {{f(1)}, 0}});
  instruction("testp.notanumber.f32", {{{kNan}, 1}, {{f(1)}, 0}});
}

TEST(float64) {
  instruction("add.f64", {{{d(1), d(0x1p-60)}, d(1)}});
  instruction("add.rp.f64", {{{d(1), d(0x1p-60)}, d(1 + 0x1p-52)}});
  instruction("fma.rn.f64", {{{d(1 + 0x1p-30), d(1 + 0x1p-30), d(-1)}, d(0x1p-29 + 0x1p-60)}});
  instruction("div.rn.f64", {{{d(1), d(3)}, d(1.0 / 3)}});
  instruction("rcp.rn.f64", {{{d(8)}, d(0.125)}});
  instruction("sqrt.rn.f64", {{{d(2)}, d(std::sqrt(2.0))}});
  instruction("max.f64", {{{d(1), d(NAN)}, d(1)}});
  instruction("neg.f64", {{{d(1)}, d(-1)}});
  instruction("rcp.approx.ftz.f64", {{{d(4)}, d(0.25)}});
}

TEST(halves) {
  // 1.0, 2.0, 3.0 are 0x3c00, 0x4000, 0x4200 as f16 and 0x3f80, 0x4000, 0x4040 as bf16.
  instruction("add.f16", {{{0x3c00, 0x4000}, 0x4200}, {{0x7bff, 0x7bff}, 0x7c00}});
  instruction("fma.rn.bf16", {{{0x3f80, 0x4000, 0x3f80}, 0x4040}});
  instruction("fma.rn.f16x2", {{{0x3c004000, 0x40003c00, 0x3c003c00}, 0x42004200}});
  instruction("fma.rn.relu.bf16", {{{0xbf80, 0x4000, 0x3f80}, 0}});
  instruction("mul.bf16x2", {{{0x3f804000, 0x40003f80}, 0x40004000}});
  instruction("neg.bf16x2", {{{0x3f80bf80}, 0xbf803f80}});
  instruction("max.bf16", {{{0x3f80, 0x7fc0}, 0x3f80}, {{0x3f80, 0x4000}, 0x4000}});
  instruction("max.NaN.bf16", {{{0x3f80, 0x7fc0}, 0x7fff}});
  instruction("min.f16x2", {{{0x3c004000, 0x40003c00}, 0x3c003c00}});
  instruction("ex2.approx.ftz.bf16", {{{0x4040}, 0x4100}});
  instruction("tanh.approx.f16", {{{0}, 0}});
}

TEST(conversions_of_integers) {
  instruction("cvt.s64.s32", {{{0xffffffff}, ~0ull}});
  instruction("cvt.u64.u32", {{{0xffffffff}, 0xffffffff}});
  instruction("cvt.u32.u64", {{{0x1234567890ull}, 0x34567890}});
  instruction("cvt.s32.s8", {{{0x80}, 0xffffff80}});
  instruction("cvt.s16.s8", {{{0x80}, 0xff80}});
  instruction("cvt.u32.u8", {{{0x1ff}, 0xff}});
  instruction("cvt.u16.u32", {{{0x12345}, 0x2345}});
  instruction("cvt.sat.u8.s32", {{{300}, 255}, {{0xffffffff}, 0}});
  instruction("cvt.sat.s8.s32", {{{0xfffffe00}, 0xff80}});
  instruction("cvt.sat.s32.s64", {{{uint64_t(1) << 40}, 0x7fffffff}});
}

TEST(conversions_to_integers) {
  instruction("cvt.rni.s32.f32",
              {{{f(2.5f)}, 2}, {{f(3.5f)}, 4}, {{f(-2.5f)}, 0xfffffffe}, {{kNan}, 0}, {{f(1e20f)}, 0x7fffffff}});
  instruction("cvt.rzi.s32.f32", {{{f(-2.7f)}, 0xfffffffe}, {{f(-1e20f)}, 0x80000000}});
  instruction("cvt.rmi.s32.f32", {{{f(-2.1f)}, 0xfffffffd}});
  instruction("cvt.rpi.s32.f32", {{{f(2.1f)}, 3}});
  instruction("cvt.rzi.u32.f32", {{{f(-1)}, 0}, {{f(4e9f)}, 4000000000u}, {{f(1e20f)}, 0xffffffff}});
  instruction("cvt.rzi.u8.f32", {{{f(300)}, 255}, {{f(7.9f)}, 7}});
  instruction("cvt.rni.s64.f64", {{{d(1e300)}, 0x7fffffffffffffffull}, {{d(-0.5)}, 0}});
  instruction("cvt.rzi.u64.f64", {{{d(1e19)}, 10000000000000000000ull}, {{d(1e30)}, ~0ull}});
  instruction("cvt.rzi.s64.f32", {{{f(-1e10f)}, uint64_t(-10000000000ll)}});
  instruction("cvt.rzi.s32.bf16", {{{0x4040}, 3}});
}

TEST(conversions_of_floats) {
  instruction("cvt.rn.f32.s32", {{{16777217}, f(16777216)}, {{0xffffffff}, f(-1)}});
  instruction("cvt.rn.f32.u32", {{{0xffffffff}, f(4294967296.0f)}});
  instruction("cvt.rz.f32.u32", {{{0xffffffff}, f(4294967040.0f)}});
  instruction("cvt.rn.f32.u64", {{{~0ull}, f(0x1p64f)}});
  instruction("cvt.rn.f64.s64", {{{~0ull}, d(-1)}});
  instruction("cvt.rn.f64.u64", {{{~0ull}, d(0x1p64)}});
  instruction("cvt.rn.f32.s8", {{{0xff}, f(-1)}});
  instruction("cvt.rn.f32.u16", {{{0xffff}, f(65535)}});
  instruction("cvt.f64.f32", {{{f(0.1f)}, d(0.1f)}});
  instruction("cvt.rn.f32.f64", {{{d(1 + 0x1p-24)}, f(1)}, {{d(1 + 0x1.8p-24)}, f(1 + 0x1p-23f)}});
  instruction("cvt.rz.f32.f64", {{{d(1 + 0x1.8p-24)}, f(1)}, {{d(1e300)}, f(0x1.fffffep127f)}});
  instruction("cvt.rp.f32.f64", {{{d(1 + 0x1p-40)}, f(1 + 0x1p-23f)}});
  instruction("cvt.rm.f32.f64", {{{d(-1 - 0x1p-40)}, f(-1 - 0x1p-23f)}});
  instruction("cvt.sat.f32.f32", {{{f(2)}, f(1)}, {{kNan}, f(0)}});
  instruction("cvt.rni.f32.f32", {{{f(2.5f)}, f(2)}, {{f(-0.2f)}, f(-0.0f)}});
  instruction("cvt.rpi.f64.f64", {{{d(2.1)}, d(3)}});
  instruction("cvt.rmi.f32.f32", {{{f(-2.1f)}, f(-3)}});
  // bf16 halfway between 0x3f80 and 0x3f81, between 0x3f81 and 0x3f82: ties to even.
  instruction("cvt.rn.bf16.f32",
              {{{0x3f808000}, 0x3f80}, {{0x3f818000}, 0x3f82}, {{kNan}, 0x7fff}, {{0x7f7fffff}, 0x7f80}});
  instruction("cvt.rz.bf16.f32", {{{0x3f80ffff}, 0x3f80}});
  instruction("cvt.rn.bf16x2.f32", {{{f(1), f(2)}, 0x3f804000}});
  instruction("cvt.rn.relu.bf16x2.f32", {{{f(-1), f(2)}, 0x00004000}});
  instruction("cvt.f32.bf16", {{{0x4040}, f(3)}});
  instruction("cvt.rn.f16.f32",
              {{{f(1 + 0x1p-11f)}, 0x3c00}, {{f(65520)}, 0x7c00}, {{f(0x1p-24f)}, 1}, {{f(-0x1p-25f)}, 0x8000}});
  instruction("cvt.rz.f16.f32", {{{f(65535)}, 0x7bff}});
  instruction("cvt.f32.f16", {{{0x0001}, f(0x1p-24f)}, {{0xfc00}, f(-kInfinity)}, {{0x3555}, f(0.333251953125f)}});
  instruction("cvt.rn.f16x2.f32", {{{f(1), f(2)}, 0x3c004000}});
  instruction("cvt.rn.f16.s32", {{{3}, 0x4200}});
  // tf32 keeps 10 bits of fraction; ties go away from zero.
  instruction(
      "cvt.rna.tf32.f32",
      {{{0x3f801000}, 0x3f802000}, {{0x3f800fff}, 0x3f800000}, {{0xbf801000}, 0xbf802000}, {{0x7f800000}, 0x7f800000}});
}

TEST(comparisons) {
  const auto mask = [](const std::string& name, const std::string& type, const std::string& reg, const std::string& a,
                       const std::string& b) {
    const std::string body =
        "mov." + type + " " + reg + "1, " + a + ";\nmov." + type + " " + reg + "2, " + b +
        ";\nsetp.ne.s32 %p3, %tid, 0;\n" + name + " " + reg + "1, " + reg + "2" +
        (name.find(".and") != name.npos || name.find(".xor") != name.npos ? ", %p3" : "") +
        ";\nselp.u32 %r9, 1, 0, %p1;\nselp.u32 %r10, 2, 0, %p2;\nor.b32 %r9, %r9, %r10;\nshl.b32 %r11, %tid, 2;\n"
        "cvt.u64.u32 %d1, %r11;\nadd.s64 %d1, %d1, %out;\nst.global.u32 [%d1], %r9;\n";
    const Outcome outcome = run(kernel_text(body), {});
    if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
    return outcome.at<uint32_t>(0) | outcome.at<uint32_t>(1) << 4;
  };
  const std::string one = "0f3F800000", nan = "0f7FC00000";
  // In hexadecimal digits: lane 1, lane 0; in each the bits of q and p.
  expect_equal(mask("setp.lt.s32 %p1|%p2,", "b32", "%r", "-1", "1"), 0x11, "lt.s32");
  expect_equal(mask("setp.lt.u32 %p1|%p2,", "b32", "%r", "-1", "1"), 0x22, "lt.u32");
  expect_equal(mask("setp.hi.u32 %p1|%p2,", "b32", "%r", "-1", "1"), 0x11, "hi.u32");
  expect_equal(mask("setp.ne.f32 %p1|%p2,", "f32", "%f", one, nan), 0x22, "ne.f32 is ordered");
  expect_equal(mask("setp.neu.f32 %p1|%p2,", "f32", "%f", one, nan), 0x11, "neu.f32");
  expect_equal(mask("setp.nan.f32 %p1|%p2,", "f32", "%f", one, nan), 0x11, "nan.f32");
  expect_equal(mask("setp.geu.f32 %p1|%p2,", "f32", "%f", one, "0f40000000"), 0x22, "geu.f32");
  // Lane 0 has a false third predicate, lane 1 a true one.
  expect_equal(mask("setp.eq.and.s32 %p1|%p2,", "b32", "%r", "1", "1"), 0x10,
               "eq.and: p is (a = b) and c, q is (a != b) and c");
  expect_equal(mask("setp.eq.xor.s32 %p1|%p2,", "b32", "%r", "1", "1"), 0x21, "eq.xor");
}

}  // namespace simulator::tests
