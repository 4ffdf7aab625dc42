// Arithmetic of integers: PTX ISA, "Integer Arithmetic Instructions". 16-bit values lie zero-extended in 32 bits.
#include "machine/lanes/lanes.h"

namespace simulator::machine {
namespace {

__extension__ typedef __int128 Wide;
__extension__ typedef unsigned __int128 UnsignedWide;

constexpr int32_t extend(uint32_t value) { return static_cast<int16_t>(value); }
constexpr uint32_t low(uint32_t value) { return value & 0xffff; }

// Division by zero and the one overflow have no defined value; hardware gives all ones, and the dividend.
template <typename T>
constexpr T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if (std::is_signed_v<T> && b == static_cast<T>(-1))
    return static_cast<T>(0) - static_cast<std::make_unsigned_t<T>>(a);
  return a / b;
}
template <typename T>
constexpr T remainder(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return a % b;
}

template <typename T>
constexpr T minimum(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
constexpr T maximum(T a, T b) {
  return a > b ? a : b;
}

int32_t saturated(int64_t value) {
  return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : static_cast<int32_t>(value);
}

// What signed and unsigned types share: their low bits are the same.
template <typename T>
void add_ring(Table& table, const std::string& type, const char* two, const char* three) {
  table.add("add." + type, two, over_lanes([](T a, T b) -> T { return a + b; }));
  table.add("sub." + type, two, over_lanes([](T a, T b) -> T { return a - b; }));
  table.add("mul.lo." + type, two, over_lanes([](T a, T b) -> T { return a * b; }));
  table.add("mad.lo." + type, three, over_lanes([](T a, T b, T c) -> T { return a * b + c; }));
}

template <typename T>
void add_ordered(Table& table, const std::string& type, const char* two) {
  table.add("div." + type, two, over_lanes([](T a, T b) -> T { return quotient<T>(a, b); }));
  table.add("rem." + type, two, over_lanes([](T a, T b) -> T { return remainder<T>(a, b); }));
  table.add("min." + type, two, over_lanes([](T a, T b) -> T { return minimum<T>(a, b); }));
  table.add("max." + type, two, over_lanes([](T a, T b) -> T { return maximum<T>(a, b); }));
}

void add_16(Table& table) {
  for (const char* type : {"u16", "s16"}) {
    const std::string suffix = std::string(".") + type;
    table.add("add" + suffix, "hhh", over_lanes([](uint32_t a, uint32_t b) { return low(a + b); }));
    table.add("sub" + suffix, "hhh", over_lanes([](uint32_t a, uint32_t b) { return low(a - b); }));
    table.add("mul.lo" + suffix, "hhh", over_lanes([](uint32_t a, uint32_t b) { return low(a * b); }));
    table.add("mad.lo" + suffix, "hhhh", over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return low(a * b + c); }));
  }
  table.add("mul.wide.u16", "whh", over_lanes([](uint32_t a, uint32_t b) { return low(a) * low(b); }));
  table.add("mul.wide.s16", "whh", over_lanes([](uint32_t a, uint32_t b) { return extend(a) * extend(b); }));
  table.add("mad.wide.u16", "whhw", over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return low(a) * low(b) + c; }));
  table.add("mad.wide.s16", "whhw",
            over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return uint32_t(extend(a) * extend(b)) + c; }));
  table.add("mul.hi.u16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return low(a) * low(b) >> 16; }));
  table.add("mul.hi.s16", "hhh",
            over_lanes([](uint32_t a, uint32_t b) { return uint32_t(extend(a) * extend(b)) >> 16; }));
  table.add("div.u16", "hhh",
            over_lanes([](uint32_t a, uint32_t b) { return low(quotient<uint32_t>(low(a), low(b))); }));
  table.add("rem.u16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return remainder<uint32_t>(low(a), low(b)); }));
  table.add("div.s16", "hhh",
            over_lanes([](uint32_t a, uint32_t b) { return low(quotient<int32_t>(extend(a), extend(b))); }));
  table.add("rem.s16", "hhh",
            over_lanes([](uint32_t a, uint32_t b) { return low(remainder<int32_t>(extend(a), extend(b))); }));
  table.add("min.u16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return minimum(low(a), low(b)); }));
  table.add("max.u16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return maximum(low(a), low(b)); }));
  table.add("min.s16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return low(minimum(extend(a), extend(b))); }));
  table.add("max.s16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return low(maximum(extend(a), extend(b))); }));
  table.add("neg.s16", "hh", over_lanes([](uint32_t a) { return low(0u - a); }));
  table.add("abs.s16", "hh", over_lanes([](uint32_t a) { return low(extend(a) < 0 ? 0u - a : a); }));
}

void add_32(Table& table) {
  table.add("mul.wide.u32", "lww", over_lanes([](uint32_t a, uint32_t b) { return uint64_t(a) * b; }));
  table.add("mul.wide.s32", "lww", over_lanes([](int32_t a, int32_t b) { return int64_t(a) * b; }));
  table.add("mad.wide.u32", "lwwl",
            over_lanes([](uint32_t a, uint32_t b, uint64_t c) -> uint64_t { return uint64_t(a) * b + c; }));
  table.add("mad.wide.s32", "lwwl",
            over_lanes([](int32_t a, int32_t b, uint64_t c) -> uint64_t { return uint64_t(int64_t(a) * b) + c; }));
  table.add("mul.hi.u32", "www", over_lanes([](uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }));
  table.add("mul.hi.s32", "www", over_lanes([](int32_t a, int32_t b) { return int32_t(int64_t(a) * b >> 32); }));
  table.add("mad.hi.u32", "wwww",
            over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return uint32_t(uint64_t(a) * b >> 32) + c; }));
  table.add("mad.hi.s32", "wwww",
            over_lanes([](int32_t a, int32_t b, uint32_t c) { return uint32_t(int64_t(a) * b >> 32) + c; }));
  table.add("mad.hi.sat.s32", "wwww",
            over_lanes([](int32_t a, int32_t b, int32_t c) { return saturated((int64_t(a) * b >> 32) + c); }));
  table.add("add.sat.s32", "www", over_lanes([](int32_t a, int32_t b) { return saturated(int64_t(a) + b); }));
  table.add("sub.sat.s32", "www", over_lanes([](int32_t a, int32_t b) { return saturated(int64_t(a) - b); }));
  table.add("neg.s32", "ww", over_lanes([](uint32_t a) { return 0u - a; }));
  table.add("abs.s32", "ww", over_lanes([](uint32_t a) { return int32_t(a) < 0 ? 0u - a : a; }));
  table.add("sad.u32", "wwww",
            over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return (a < b ? b - a : a - b) + c; }));
  table.add("sad.s32", "wwww", over_lanes([](int32_t a, int32_t b, uint32_t c) {
              return (a < b ? uint32_t(b) - uint32_t(a) : uint32_t(a) - uint32_t(b)) + c;
            }));
  table.add("mul24.lo.u32", "www",
            over_lanes([](uint32_t a, uint32_t b) { return uint32_t(uint64_t(a & 0xffffff) * (b & 0xffffff)); }));
  table.add("mul24.lo.s32", "www", over_lanes([](int32_t a, int32_t b) {
              return uint32_t(int64_t(int32_t(uint32_t(a) << 8) >> 8) * (int32_t(uint32_t(b) << 8) >> 8));
            }));
  table.add("dp4a.s32.s32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) {
              for (int i = 0; i < 32; i += 8) c += uint32_t(int32_t(int8_t(a >> i)) * int8_t(b >> i));
              return c;
            }));
  table.add("dp4a.u32.u32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) {
              for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
              return c;
            }));
}

void add_64(Table& table) {
  table.add("mul.hi.u64", "lll",
            over_lanes([](uint64_t a, uint64_t b) { return uint64_t(UnsignedWide(a) * b >> 64); }));
  table.add("mul.hi.s64", "lll", over_lanes([](int64_t a, int64_t b) { return int64_t(Wide(a) * b >> 64); }));
  table.add("mad.hi.u64", "llll", over_lanes([](uint64_t a, uint64_t b, uint64_t c) -> uint64_t {
              return uint64_t(UnsignedWide(a) * b >> 64) + c;
            }));
  table.add("mad.hi.s64", "llll",
            over_lanes([](int64_t a, int64_t b, uint64_t c) -> uint64_t { return uint64_t(Wide(a) * b >> 64) + c; }));
  table.add("neg.s64", "ll", over_lanes([](uint64_t a) -> uint64_t { return 0 - a; }));
  table.add("abs.s64", "ll", over_lanes([](uint64_t a) -> uint64_t { return int64_t(a) < 0 ? 0 - a : a; }));
}

}  // namespace

void add_integers(Table& table) {
  add_16(table);
  for (const char* type : {"u32", "s32"}) add_ring<uint32_t>(table, type, "www", "wwww");
  for (const char* type : {"u64", "s64"}) add_ring<uint64_t>(table, type, "lll", "llll");
  add_ordered<uint32_t>(table, "u32", "www");
  add_ordered<int32_t>(table, "s32", "www");
  add_ordered<uint64_t>(table, "u64", "lll");
  add_ordered<int64_t>(table, "s64", "lll");
  add_32(table);
  add_64(table);
}

}  // namespace simulator::machine
