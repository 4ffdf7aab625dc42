// Arithmetic of f16 and bf16, one or two to a register: PTX ISA, "Half Precision Floating-Point Instructions". Computed
// in double, where a product of halves is exact, and rounded once.
#include "machine/lanes/lanes.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

constexpr FunctionClass kHalf = FunctionClass::half;

// The operation on both halves of a register.
template <typename Op>
struct Pair {
  uint32_t operator()(uint32_t a) const { return Op()(a & 0xffff) | Op()(a >> 16) << 16; }
  uint32_t operator()(uint32_t a, uint32_t b) const {
    return Op()(a & 0xffff, b & 0xffff) | Op()(a >> 16, b >> 16) << 16;
  }
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    return Op()(a & 0xffff, b & 0xffff, c & 0xffff) | Op()(a >> 16, b >> 16, c >> 16) << 16;
  }
};

template <typename Op>
void add_one(Table& table, const std::string& name, const std::string& type, Op, int operations,
             bool approximate = false) {
  table.add(name + "." + type, "hh", over_lanes([](uint32_t a) { return Op()(a); }), kHalf, operations, approximate);
  table.add(name + "." + type + "x2", "ww", over_lanes([](uint32_t a) { return Pair<Op>()(a); }), kHalf, 2 * operations,
            approximate);
}
template <typename Op>
void add_two(Table& table, const std::string& name, const std::string& type, Op) {
  table.add(name + "." + type, "hhh", over_lanes([](uint32_t a, uint32_t b) { return Op()(a, b); }), kHalf, 1);
  table.add(name + "." + type + "x2", "www", over_lanes([](uint32_t a, uint32_t b) { return Pair<Op>()(a, b); }), kHalf,
            2);
}
template <typename Op>
void add_three(Table& table, const std::string& name, const std::string& type, Op) {
  table.add(name + "." + type, "hhhh", over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return Op()(a, b, c); }),
            kHalf, 2);
  table.add(name + "." + type + "x2", "wwww",
            over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return Pair<Op>()(a, b, c); }), kHalf, 4);
}

template <typename Half>
double multiplied_and_added(uint32_t a, uint32_t b, uint32_t c) {
  return sum_to_odd(double(Half::from(a)) * Half::from(b), Half::from(c));
}

// NaN counts as missing unless `with_nan`.
template <typename Half, bool maximum, bool with_nan>
uint32_t chosen(uint32_t a, uint32_t b) {
  const float x = Half::from(a), y = Half::from(b);
  if (x != x || y != y) {
    if (with_nan || (x != x && y != y)) return Half::kNan;
    return x != x ? b : a;
  }
  const bool first = x < y || (x == y && std::signbit(x));
  return first != maximum ? a : b;
}

template <typename Half>
void add_type(Table& table, const std::string& type) {
  for (const std::string rounding : {"", ".rn"}) {
    add_two(table, "add" + rounding, type,
            [](uint32_t a, uint32_t b) { return Half::to(double(Half::from(a)) + Half::from(b)); });
    add_two(table, "sub" + rounding, type,
            [](uint32_t a, uint32_t b) { return Half::to(double(Half::from(a)) - Half::from(b)); });
    add_two(table, "mul" + rounding, type,
            [](uint32_t a, uint32_t b) { return Half::to(double(Half::from(a)) * Half::from(b)); });
  }
  add_three(table, "fma.rn", type,
            [](uint32_t a, uint32_t b, uint32_t c) { return Half::to(multiplied_and_added<Half>(a, b, c)); });
  add_three(table, "fma.rn.relu", type, [](uint32_t a, uint32_t b, uint32_t c) {
    const double value = multiplied_and_added<Half>(a, b, c);
    return value < 0 ? 0u : Half::to(value);
  });
  add_one(
      table, "neg", type, [](uint32_t a) { return a ^ 0x8000u; }, 0);
  add_one(
      table, "abs", type, [](uint32_t a) { return a & 0x7fffu; }, 0);
  add_two(table, "min", type, [](uint32_t a, uint32_t b) { return chosen<Half, false, false>(a, b); });
  add_two(table, "max", type, [](uint32_t a, uint32_t b) { return chosen<Half, true, false>(a, b); });
  add_two(table, "min.NaN", type, [](uint32_t a, uint32_t b) { return chosen<Half, false, true>(a, b); });
  add_two(table, "max.NaN", type, [](uint32_t a, uint32_t b) { return chosen<Half, true, true>(a, b); });
  add_one(
      table, "tanh.approx", type, [](uint32_t a) { return Half::to(std::tanh(double(Half::from(a)))); }, 1, true);
  const std::string flush = type == "bf16" ? ".ftz" : "";  // bf16 has no other spelling
  add_one(
      table, "ex2.approx" + flush, type, [](uint32_t a) { return Half::to(std::exp2(double(Half::from(a)))); }, 1,
      true);
}

template <typename Half>
void add_saturating(Table& table, const std::string& type) {
  add_two(table, "add.sat", type,
          [](uint32_t a, uint32_t b) { return Half::to(saturated(double(Half::from(a)) + Half::from(b))); });
  add_two(table, "mul.sat", type,
          [](uint32_t a, uint32_t b) { return Half::to(saturated(double(Half::from(a)) * Half::from(b))); });
  add_three(table, "fma.rn.sat", type, [](uint32_t a, uint32_t b, uint32_t c) {
    return Half::to(saturated(multiplied_and_added<Half>(a, b, c)));
  });
}

}  // namespace

void add_halves(Table& table) {
  add_type<F16>(table, "f16");
  add_type<Bf16>(table, "bf16");
  add_saturating<F16>(table, "f16");
}

}  // namespace simulator::machine
