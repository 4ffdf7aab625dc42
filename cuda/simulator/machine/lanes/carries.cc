// Arithmetic of more words than one: the carry of the condition code is a mask of lanes, as predicates are.
#include "machine/lanes/lanes.h"

namespace simulator::machine {
namespace {

__extension__ typedef unsigned __int128 UnsignedWide;

template <typename T>
struct Sum {
  T low;
  bool carry;
};
template <typename T>
Sum<T> sum(T a, T b, bool carry) {
  const UnsignedWide wide = UnsignedWide(a) + b + carry;
  return {static_cast<T>(wide), (wide >> (sizeof(T) * 8)) != 0};
}
// The carry of a subtraction says that it borrowed.
template <typename T>
Sum<T> difference(T a, T b, bool borrow) {
  return {static_cast<T>(a - b - borrow), UnsignedWide(a) < UnsignedWide(b) + borrow};
}

template <typename T, bool high>
T product(T a, T b, bool with_sign) {
  if (!high) return a * b;
  __extension__ typedef __int128 Wide;
  using S = std::make_signed_t<T>;
  if (with_sign) return static_cast<T>(Wide(static_cast<S>(a)) * static_cast<S>(b) >> (sizeof(T) * 8));
  return static_cast<T>(UnsignedWide(a) * b >> (sizeof(T) * 8));
}

// `in` and `out`: whether the carry is read and written.
template <typename T, typename Op, bool in, bool out>
void carried(void* d, const void* a, const void* b, const void* c, const void* e, void* d2) {
  const uint32_t before = in ? *lanes_of<uint32_t>(e) : 0;
  uint32_t after = 0;
  for (int lane = 0; lane < 32; lane++) {
    const T third = c ? lanes_of<T>(c)[lane] : T(0);
    const Sum<T> result = Op()(lanes_of<T>(a)[lane], lanes_of<T>(b)[lane], third, bool(before >> lane & 1));
    lanes_of<T>(d)[lane] = result.low;
    after |= uint32_t(result.carry) << lane;
  }
  if (out) *lanes_of<uint32_t>(d2) = after;
}

template <typename T, typename Op>
void add_family(Table& table, const std::string& plain, const std::string& carrying, const std::string& suffix,
                const std::string& operands, Op) {
  table.add(plain + ".cc." + suffix, (operands + ">").c_str(), carried<T, Op, false, true>);
  table.add(carrying + "." + suffix, (operands + "<").c_str(), carried<T, Op, true, false>);
  table.add(carrying + ".cc." + suffix, (operands + "><").c_str(), carried<T, Op, true, true>);
}

template <typename T>
void add_width(Table& table, const std::string& type, const std::string& two, bool with_sign) {
  add_family<T>(table, "add", "addc", type, two, [](T a, T b, T, bool carry) { return sum<T>(a, b, carry); });
  add_family<T>(table, "sub", "subc", type, two, [](T a, T b, T, bool borrow) { return difference<T>(a, b, borrow); });
  const std::string three = two + two.back();
  add_family<T>(table, "mad.lo", "madc.lo", type, three,
                [](T a, T b, T c, bool carry) { return sum<T>(product<T, false>(a, b, false), c, carry); });
  if (with_sign)
    add_family<T>(table, "mad.hi", "madc.hi", type, three,
                  [](T a, T b, T c, bool carry) { return sum<T>(product<T, true>(a, b, true), c, carry); });
  else
    add_family<T>(table, "mad.hi", "madc.hi", type, three,
                  [](T a, T b, T c, bool carry) { return sum<T>(product<T, true>(a, b, false), c, carry); });
}

}  // namespace

void add_carries(Table& table) {
  add_width<uint32_t>(table, "u32", "www", false);
  add_width<uint32_t>(table, "s32", "www", true);
  add_width<uint64_t>(table, "u64", "lll", false);
  add_width<uint64_t>(table, "s64", "lll", true);
}

}  // namespace simulator::machine
