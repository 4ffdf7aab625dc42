// Arithmetic of float32 and float64, to the nearest: PTX ISA, "Floating-Point Instructions".
#include "machine/lanes/lanes.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

constexpr FunctionClass kF32 = FunctionClass::f32, kF64 = FunctionClass::f64;

// An operation in its four spellings: plain, with subnormals flushed, with its result clamped to [0, 1], with both.
template <typename Op>
struct Flushed {
  float operator()(float a) const { return without_subnormals(Op()(without_subnormals(a))); }
  float operator()(float a, float b) const {
    return without_subnormals(Op()(without_subnormals(a), without_subnormals(b)));
  }
  float operator()(float a, float b, float c) const {
    return without_subnormals(Op()(without_subnormals(a), without_subnormals(b), without_subnormals(c)));
  }
};

template <typename Op>
void add_binary(Table& table, const std::string& name, Op) {
  using Flush = Flushed<Op>;
  table.add(name + ".f32", "fff", over_lanes([](float a, float b) { return Op()(a, b); }), kF32, 1);
  table.add(name + ".sat.f32", "fff", over_lanes([](float a, float b) { return saturated(Op()(a, b)); }), kF32, 1);
  table.add(name + ".ftz.f32", "fff", over_lanes([](float a, float b) { return Flush()(a, b); }), kF32, 1);
  table.add(name + ".ftz.sat.f32", "fff", over_lanes([](float a, float b) { return saturated(Flush()(a, b)); }), kF32,
            1);
}

void add_arithmetic(Table& table) {
  for (const std::string rounding : {"", ".rn"}) {
    add_binary(table, "add" + rounding, [](float a, float b) { return a + b; });
    add_binary(table, "sub" + rounding, [](float a, float b) { return a - b; });
    add_binary(table, "mul" + rounding, [](float a, float b) { return a * b; });
    table.add("add" + rounding + ".f64", "ddd", over_lanes([](double a, double b) { return a + b; }), kF64, 1);
    table.add("sub" + rounding + ".f64", "ddd", over_lanes([](double a, double b) { return a - b; }), kF64, 1);
    table.add("mul" + rounding + ".f64", "ddd", over_lanes([](double a, double b) { return a * b; }), kF64, 1);
  }
  using Fma = decltype([](float a, float b, float c) { return std::fma(a, b, c); });
  using Flush = Flushed<Fma>;
  for (const std::string name : {"fma.rn", "mad.rn", "mad"}) {
    table.add(name + ".f32", "ffff", over_lanes([](float a, float b, float c) { return Fma()(a, b, c); }), kF32, 2);
    table.add(name + ".sat.f32", "ffff",
              over_lanes([](float a, float b, float c) { return saturated(Fma()(a, b, c)); }), kF32, 2);
    table.add(name + ".ftz.f32", "ffff", over_lanes([](float a, float b, float c) { return Flush()(a, b, c); }), kF32,
              2);
    table.add(name + ".ftz.sat.f32", "ffff",
              over_lanes([](float a, float b, float c) { return saturated(Flush()(a, b, c)); }), kF32, 2);
    table.add(name + ".f64", "dddd", over_lanes([](double a, double b, double c) { return std::fma(a, b, c); }), kF64,
              2);
  }
  table.add("div.rn.f32", "fff", over_lanes([](float a, float b) { return a / b; }), kF32, 1);
  table.add("div.rn.ftz.f32", "fff", over_lanes([](float a, float b) {
              return without_subnormals(without_subnormals(a) / without_subnormals(b));
            }),
            kF32, 1);
  table.add("div.rn.f64", "ddd", over_lanes([](double a, double b) { return a / b; }), kF64, 1);
  using Reciprocal = decltype([](float a) { return 1.0f / a; });
  using Root = decltype([](float a) { return std::sqrt(a); });
  table.add("rcp.rn.f32", "ff", over_lanes([](float a) { return Reciprocal()(a); }), kF32, 1);
  table.add("rcp.rn.ftz.f32", "ff", over_lanes([](float a) { return Flushed<Reciprocal>()(a); }), kF32, 1);
  table.add("rcp.rn.f64", "dd", over_lanes([](double a) { return 1.0 / a; }), kF64, 1);
  table.add("sqrt.rn.f32", "ff", over_lanes([](float a) { return Root()(a); }), kF32, 1);
  table.add("sqrt.rn.ftz.f32", "ff", over_lanes([](float a) { return Flushed<Root>()(a); }), kF32, 1);
  table.add("sqrt.rn.f64", "dd", over_lanes([](double a) { return std::sqrt(a); }), kF64, 1);
}

// NaN counts as missing; -0 is less than +0.
template <typename T>
T least(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <typename T>
T greatest(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}

void add_selections(Table& table) {
  using Minimum = decltype([](float a, float b) { return a != a && b != b ? float_of(kNanF32) : least(a, b); });
  using Maximum = decltype([](float a, float b) { return a != a && b != b ? float_of(kNanF32) : greatest(a, b); });
  table.add("min.f32", "fff", over_lanes([](float a, float b) { return Minimum()(a, b); }), kF32, 1);
  table.add("max.f32", "fff", over_lanes([](float a, float b) { return Maximum()(a, b); }), kF32, 1);
  table.add("min.ftz.f32", "fff", over_lanes([](float a, float b) { return Flushed<Minimum>()(a, b); }), kF32, 1);
  table.add("max.ftz.f32", "fff", over_lanes([](float a, float b) { return Flushed<Maximum>()(a, b); }), kF32, 1);
  using MinimumOrNan = decltype([](float a, float b) { return a != a || b != b ? float_of(kNanF32) : least(a, b); });
  using MaximumOrNan = decltype([](float a, float b) { return a != a || b != b ? float_of(kNanF32) : greatest(a, b); });
  table.add("min.NaN.f32", "fff", over_lanes([](float a, float b) { return MinimumOrNan()(a, b); }), kF32, 1);
  table.add("max.NaN.f32", "fff", over_lanes([](float a, float b) { return MaximumOrNan()(a, b); }), kF32, 1);
  table.add("min.ftz.NaN.f32", "fff", over_lanes([](float a, float b) { return Flushed<MinimumOrNan>()(a, b); }), kF32,
            1);
  table.add("max.ftz.NaN.f32", "fff", over_lanes([](float a, float b) { return Flushed<MaximumOrNan>()(a, b); }), kF32,
            1);
  table.add("min.f64", "ddd", over_lanes([](double a, double b) { return least(a, b); }), kF64, 1);
  table.add("max.f64", "ddd", over_lanes([](double a, double b) { return greatest(a, b); }), kF64, 1);
}

void add_signs(Table& table) {
  table.add("neg.f32", "ff", over_lanes([](uint32_t a) { return a ^ 0x80000000u; }), kF32);
  table.add("abs.f32", "ff", over_lanes([](uint32_t a) { return a & 0x7fffffffu; }), kF32);
  table.add("neg.ftz.f32", "ff", over_lanes([](float a) { return -without_subnormals(a); }), kF32);
  table.add("abs.ftz.f32", "ff", over_lanes([](float a) { return std::fabs(without_subnormals(a)); }), kF32);
  table.add("neg.f64", "dd", over_lanes([](uint64_t a) -> uint64_t { return a ^ (uint64_t(1) << 63); }), kF64);
  table.add("abs.f64", "dd", over_lanes([](uint64_t a) -> uint64_t { return a & ~(uint64_t(1) << 63); }), kF64);
  // The sign of a, the magnitude of b.
  table.add("copysign.f32", "fff",
            over_lanes([](uint32_t a, uint32_t b) { return (a & 0x80000000u) | (b & 0x7fffffffu); }), kF32);
  table.add("copysign.f64", "ddd", over_lanes([](double a, double b) { return std::copysign(b, a); }), kF64);
}

template <typename T, typename Op>
void add_test(Table& table, const std::string& name, const char* operands, Op) {
  table.add(name, operands, [](void* d, const void* a, const void*, const void*, const void*, void*) {
    uint32_t mask = 0;
    for (int lane = 0; lane < 32; lane++) mask |= uint32_t(Op()(lanes_of<T>(a)[lane])) << lane;
    *lanes_of<uint32_t>(d) = mask;
  });
}

template <typename T>
void add_tests(Table& table, const std::string& type, const char* operands) {
  add_test<T>(table, "testp.finite." + type, operands, [](T a) { return std::isfinite(a); });
  add_test<T>(table, "testp.infinite." + type, operands, [](T a) { return std::isinf(a); });
  add_test<T>(table, "testp.number." + type, operands, [](T a) { return a == a; });
  add_test<T>(table, "testp.notanumber." + type, operands, [](T a) { return a != a; });
  add_test<T>(table, "testp.normal." + type, operands, [](T a) { return std::isnormal(a); });
  add_test<T>(table, "testp.subnormal." + type, operands, [](T a) { return std::fpclassify(a) == FP_SUBNORMAL; });
}

}  // namespace

void add_floats(Table& table) {
  add_arithmetic(table);
  add_selections(table);
  add_signs(table);
  add_tests<float>(table, "f32", "pf");
  add_tests<double>(table, "f64", "pd");
}

}  // namespace simulator::machine
