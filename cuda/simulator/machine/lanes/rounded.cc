// Arithmetic of float32 and float64 that is not rounded to the nearest. The processor's rounding mode is switched
// around a loop over the lanes; the loop stands between two calls, over which the compiler cannot move memory accesses.
#include <cfenv>

#include "machine/lanes/lanes.h"

namespace simulator::machine {
namespace {

template <typename Op, int mode>
void rounded(void* d, const void* a, const void* b, const void* c, const void* e, void* d2) {
  const int before = std::fegetround();
  std::fesetround(mode);
  OverLanes<Op, decltype(+Op())>::run(d, a, b, c, e, d2);
  std::fesetround(before);
}

template <typename Op>
void add_modes(Table& table, const std::string& name, const std::string& type, const char* operands, FunctionClass kind,
               int operations, Op) {
  table.add(name + ".rz." + type, operands, rounded<Op, FE_TOWARDZERO>, kind, operations);
  table.add(name + ".rm." + type, operands, rounded<Op, FE_DOWNWARD>, kind, operations);
  table.add(name + ".rp." + type, operands, rounded<Op, FE_UPWARD>, kind, operations);
}

template <typename T>
void add_type(Table& table, const std::string& type, FunctionClass kind, const char* one, const char* two,
              const char* three) {
  add_modes(table, "add", type, two, kind, 1, [](T a, T b) { return a + b; });
  add_modes(table, "sub", type, two, kind, 1, [](T a, T b) { return a - b; });
  add_modes(table, "mul", type, two, kind, 1, [](T a, T b) { return a * b; });
  add_modes(table, "div", type, two, kind, 1, [](T a, T b) { return a / b; });
  add_modes(table, "fma", type, three, kind, 2, [](T a, T b, T c) { return std::fma(a, b, c); });
  add_modes(table, "rcp", type, one, kind, 1, [](T a) { return T(1) / a; });
  add_modes(table, "sqrt", type, one, kind, 1, [](T a) { return std::sqrt(a); });
}

}  // namespace

void add_rounded(Table& table) {
  add_type<float>(table, "f32", FunctionClass::f32, "ff", "fff", "ffff");
  add_type<double>(table, "f64", FunctionClass::f64, "dd", "ddd", "dddd");
}

}  // namespace simulator::machine
