// Comparisons: PTX ISA, "Comparison and Selection Instructions". Rows are "setp.lt.s32"; the machine combines the
// result with a predicate (.and) and makes numbers of it (set).
#include "machine/lanes/lanes.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

template <typename T, typename Op>
uint32_t compared(const void* a, const void* b) {
  uint32_t mask = 0;
  FOR_LANES mask |= static_cast<uint32_t>(Op()(lanes_of<T>(a)[lane], lanes_of<T>(b)[lane])) << lane;
  return mask;
}

// 16-bit values: how a lane's bits are read.
struct Signed16 {
  static int32_t from(uint32_t bits) { return static_cast<int16_t>(bits); }
};
struct Unsigned16 {
  static uint32_t from(uint32_t bits) { return bits & 0xffff; }
};
template <typename T>
struct Plain {
  static T from(T value) { return value; }
};

template <typename T, typename Format>
void add_orders(Table& table, const std::string& type, const char* operands, bool unsigned_names) {
  const auto add = [&](const char* name, const char* other, ptx::CompareFunction compare) {
    table.add_compare(std::string("setp.") + name + "." + type, operands, compare);
    if (unsigned_names && other) table.add_compare(std::string("setp.") + other + "." + type, operands, compare);
  };
  add("eq", nullptr, compared<T, decltype([](T a, T b) { return Format::from(a) == Format::from(b); })>);
  add("ne", nullptr, compared<T, decltype([](T a, T b) { return Format::from(a) != Format::from(b); })>);
  add("lt", "lo", compared<T, decltype([](T a, T b) { return Format::from(a) < Format::from(b); })>);
  add("le", "ls", compared<T, decltype([](T a, T b) { return Format::from(a) <= Format::from(b); })>);
  add("gt", "hi", compared<T, decltype([](T a, T b) { return Format::from(a) > Format::from(b); })>);
  add("ge", "hs", compared<T, decltype([](T a, T b) { return Format::from(a) >= Format::from(b); })>);
}

// Unordered comparisons hold where an operand is NaN; ordered ones, ne among them, do not.
template <typename T, typename Format>
void add_floats(Table& table, const std::string& type, const char* operands) {
  const auto add = [&](const char* name, ptx::CompareFunction compare) {
    table.add_compare(std::string("setp.") + name + "." + type, operands, compare);
  };
#define OF(x) const auto x = Format::from(x##_bits)
#define COMPARE(name, expression)                               \
  add(name, compared<T, decltype([](T a_bits, T b_bits) {       \
                       OF(a);                                   \
                       OF(b);                                   \
                       const bool unordered = a != a || b != b; \
                       return expression;                       \
                     })>)
  COMPARE("eq", !unordered && a == b);
  COMPARE("ne", !unordered && a != b);
  COMPARE("lt", !unordered && a < b);
  COMPARE("le", !unordered && a <= b);
  COMPARE("gt", !unordered && a > b);
  COMPARE("ge", !unordered && a >= b);
  COMPARE("equ", unordered || a == b);
  COMPARE("neu", unordered || a != b);
  COMPARE("ltu", unordered || a < b);
  COMPARE("leu", unordered || a <= b);
  COMPARE("gtu", unordered || a > b);
  COMPARE("geu", unordered || a >= b);
  COMPARE("num", !unordered);
  COMPARE("nan", unordered);
#undef COMPARE
#undef OF
}

struct FlushedFloat {
  static float from(float value) { return without_subnormals(value); }
};

}  // namespace

void add_comparisons(Table& table) {
  add_orders<uint32_t, Unsigned16>(table, "u16", "phh", true);
  add_orders<uint32_t, Signed16>(table, "s16", "phh", false);
  add_orders<uint32_t, Plain<uint32_t>>(table, "u32", "pww", true);
  add_orders<int32_t, Plain<int32_t>>(table, "s32", "pww", false);
  add_orders<uint64_t, Plain<uint64_t>>(table, "u64", "pll", true);
  add_orders<int64_t, Plain<int64_t>>(table, "s64", "pll", false);
  for (const char* name : {"eq", "ne"}) {
    const std::string head = std::string("setp.") + name + ".";
    const bool equal = std::string(name) == "eq";
    table.add_compare(
        head + "b16", "phh",
        equal ? compared<uint32_t, decltype([](uint32_t a, uint32_t b) { return (a & 0xffff) == (b & 0xffff); })>
              : compared<uint32_t, decltype([](uint32_t a, uint32_t b) { return (a & 0xffff) != (b & 0xffff); })>);
    table.add_compare(head + "b32", "pww",
                      equal ? compared<uint32_t, std::equal_to<>> : compared<uint32_t, std::not_equal_to<>>);
    table.add_compare(head + "b64", "pll",
                      equal ? compared<uint64_t, std::equal_to<>> : compared<uint64_t, std::not_equal_to<>>);
  }
  add_floats<float, Plain<float>>(table, "f32", "pff");
  add_floats<float, FlushedFloat>(table, "ftz.f32", "pff");
  add_floats<double, Plain<double>>(table, "f64", "pdd");
  add_floats<uint32_t, F16>(table, "f16", "phh");
  add_floats<uint32_t, Bf16>(table, "bf16", "phh");
}

}  // namespace simulator::machine
