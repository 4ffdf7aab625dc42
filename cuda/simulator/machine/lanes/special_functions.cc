// The approximations of the special-function unit, here as exact as the C library; hardware is off by some ulp (noise).
#include "machine/lanes/lanes.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

template <typename Op>
void add_unary(Table& table, const std::string& name, Op) {
  table.add(name + ".approx.f32", "ff", over_lanes([](float a) { return Op()(a); }), FunctionClass::special, 1, true);
  table.add(name + ".approx.ftz.f32", "ff",
            over_lanes([](float a) { return without_subnormals(Op()(without_subnormals(a))); }), FunctionClass::special,
            1, true);
}

template <typename Op>
void add_division(Table& table, const std::string& name, Op) {
  table.add(name + ".f32", "fff", over_lanes([](float a, float b) { return Op()(a, b); }), FunctionClass::special, 1,
            true);
  table.add(name + ".ftz.f32", "fff", over_lanes([](float a, float b) {
              return without_subnormals(Op()(without_subnormals(a), without_subnormals(b)));
            }),
            FunctionClass::special, 1, true);
}

// The upper half of a float64, the lower bits zero: starting values of nvcc's divisions.
double upper_half(double value) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(value) & 0xffffffff00000000ull);
}
double flushed(double value) {
  return std::fabs(value) < std::numeric_limits<double>::min() ? std::copysign(0.0, value) : value;
}

}  // namespace

void add_special_functions(Table& table) {
  // In double and rounded once: what these return does not depend on the C library's versions of float32.
  add_unary(table, "ex2", [](float a) { return static_cast<float>(std::exp2(static_cast<double>(a))); });
  add_unary(table, "lg2", [](float a) { return static_cast<float>(std::log2(static_cast<double>(a))); });
  add_unary(table, "sin", [](float a) { return static_cast<float>(std::sin(static_cast<double>(a))); });
  add_unary(table, "cos", [](float a) { return static_cast<float>(std::cos(static_cast<double>(a))); });
  add_unary(table, "rcp", [](float a) { return 1.0f / a; });
  add_unary(table, "sqrt", [](float a) { return std::sqrt(a); });
  add_unary(table, "rsqrt", [](float a) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a))); });
  table.add("tanh.approx.f32", "ff",
            over_lanes([](float a) { return static_cast<float>(std::tanh(static_cast<double>(a))); }),
            FunctionClass::special, 1, true);
  // Beyond 2^126 the divisor's reciprocal would be flushed: div.approx gives 0 there, div.full does not.
  add_division(table, "div.approx", [](float a, float b) {
    return std::fabs(b) > 0x1p126f && std::fabs(b) < INFINITY ? a / b * 0.0f : a / b;
  });
  add_division(table, "div.full", [](float a, float b) { return a / b; });
  table.add("rcp.approx.ftz.f64", "dd",
            over_lanes([](double a) { return flushed(upper_half(1.0 / flushed(upper_half(a)))); }),
            FunctionClass::special, 1);
  table.add("rsqrt.approx.ftz.f64", "dd",
            over_lanes([](double a) { return flushed(upper_half(1.0 / std::sqrt(flushed(upper_half(a))))); }),
            FunctionClass::special, 1);
  table.add("rsqrt.approx.f64", "dd", over_lanes([](double a) { return 1.0 / std::sqrt(a); }), FunctionClass::special,
            1);
}

}  // namespace simulator::machine
