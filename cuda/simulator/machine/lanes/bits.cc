// Logic, shifts, fields of bits and plain moves: PTX ISA, "Logic and Shift Instructions" and parts of the integer ones.
#include "machine/lanes/lanes.h"

namespace simulator::machine {
namespace {

template <typename T>
void add_logic(Table& table, const std::string& type, const char* one, const char* two) {
  table.add("and." + type, two, over_lanes([](T a, T b) -> T { return a & b; }));
  table.add("or." + type, two, over_lanes([](T a, T b) -> T { return a | b; }));
  table.add("xor." + type, two, over_lanes([](T a, T b) -> T { return a ^ b; }));
  table.add("not." + type, one, over_lanes([](T a) -> T { return ~a; }));
  table.add("cnot." + type, one, over_lanes([](T a) -> T { return a == 0; }));
}

// Shifts by more than the width give zeros, or copies of the sign.
template <typename U, typename S>
void add_shifts(Table& table, const std::string& bits, const char* operands) {
  constexpr uint32_t kBits = sizeof(U) * 8;
  table.add("shl.b" + bits, operands,
            over_lanes([](U a, uint32_t b) -> U { return b >= kBits ? 0 : a << (b & (kBits - 1)); }));
  for (const char* type : {"shr.u", "shr.b"})
    table.add(type + bits, operands,
              over_lanes([](U a, uint32_t b) -> U { return b >= kBits ? 0 : a >> (b & (kBits - 1)); }));
  table.add("shr.s" + bits, operands,
            over_lanes([](S a, uint32_t b) -> S { return a >> (b < kBits ? b : kBits - 1); }));
}

void add_16(Table& table) {
  table.add("and.b16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return a & b; }));
  table.add("or.b16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return a | b; }));
  table.add("xor.b16", "hhh", over_lanes([](uint32_t a, uint32_t b) { return a ^ b; }));
  table.add("not.b16", "hh", over_lanes([](uint32_t a) { return ~a & 0xffff; }));
  table.add("cnot.b16", "hh", over_lanes([](uint32_t a) { return uint32_t((a & 0xffff) == 0); }));
  table.add("shl.b16", "hhw", over_lanes([](uint32_t a, uint32_t b) { return b > 15 ? 0 : a << b & 0xffff; }));
  for (const char* name : {"shr.u16", "shr.b16"})
    table.add(name, "hhw", over_lanes([](uint32_t a, uint32_t b) { return b > 15 ? 0 : (a & 0xffff) >> b; }));
  table.add("shr.s16", "hhw", over_lanes([](uint32_t a, uint32_t b) {
              return uint32_t(int32_t(int16_t(a)) >> (b > 15 ? 15 : b)) & 0xffff;
            }));
}

// Predicates are masks of a warp: one operation for all lanes.
template <typename Op>
void add_predicate(Table& table, const char* name, Op) {
  table.add(name, "ppp", [](void* d, const void* a, const void* b, const void*, const void*, void*) {
    *lanes_of<uint32_t>(d) = Op()(*lanes_of<uint32_t>(a), *lanes_of<uint32_t>(b));
  });
}

template <typename U, typename S>
U extracted(U a, uint32_t position, uint32_t length, bool with_sign) {
  constexpr uint32_t kBits = sizeof(U) * 8;
  position &= 255;
  length &= 255;
  if (length == 0) return 0;
  // Bits beyond the end of `a` are zeros, or its sign.
  const S source = static_cast<S>(a);
  U field;
  if (position >= kBits)
    field = with_sign && source < 0 ? ~U(0) : 0;
  else
    field = with_sign ? static_cast<U>(source >> position) : a >> position;
  if (length >= kBits) return field;
  const U mask = (U(1) << length) - 1;
  // The sign is the field's highest bit, or that of `a` where the field reaches beyond it.
  const uint32_t sign_at = position + length - 1 < kBits ? position + length - 1 : kBits - 1;
  const bool negative = with_sign && (a >> sign_at & 1);
  return negative ? field | ~mask : field & mask;
}

template <typename U>
U inserted(U from, U into, uint32_t position, uint32_t length) {
  constexpr uint32_t kBits = sizeof(U) * 8;
  position &= 255;
  length &= 255;
  if (length == 0 || position >= kBits) return into;
  const U mask = (length >= kBits ? ~U(0) : (U(1) << length) - 1) << position;
  return (into & ~mask) | (from << position & mask);
}

template <typename U>
U reversed(U value) {
  U result = 0;
  for (size_t i = 0; i < sizeof(U) * 8; i++) result |= (value >> i & 1) << (sizeof(U) * 8 - 1 - i);
  return result;
}

template <typename U>
uint32_t highest(U value) {
  return value ? sizeof(U) * 8 - 1 - std::countl_zero(value) : UINT32_MAX;
}
template <typename U>
uint32_t shift_amount(U value) {
  return value ? std::countl_zero(value) : UINT32_MAX;
}

template <typename U, typename S>
void add_fields(Table& table, const std::string& bits, const char* one, const char* two, const char* count) {
  table.add("bfe.u" + bits, one,
            over_lanes([](U a, uint32_t b, uint32_t c) { return extracted<U, S>(a, b, c, false); }));
  table.add("bfe.s" + bits, one,
            over_lanes([](U a, uint32_t b, uint32_t c) { return extracted<U, S>(a, b, c, true); }));
  table.add("bfi.b" + bits, two, over_lanes([](U a, U b, uint32_t c, uint32_t e) { return inserted<U>(a, b, c, e); }));
  table.add("popc.b" + bits, count, over_lanes([](U a) { return uint32_t(std::popcount(a)); }));
  table.add("clz.b" + bits, count, over_lanes([](U a) { return uint32_t(std::countl_zero(a)); }));
  for (const char* type : {"bfind.u", "bfind.shiftamt.u"}) {
    const bool amount = std::string(type) != "bfind.u";
    table.add(type + bits, count, amount ? over_lanes([](U a) { return shift_amount<U>(a); }) : over_lanes([](U a) {
                return highest<U>(a);
              }));
  }
  // Of signed values the highest bit that differs from the sign.
  table.add("bfind.s" + bits, count, over_lanes([](S a) { return highest<U>(static_cast<U>(a < 0 ? ~a : a)); }));
  table.add("bfind.shiftamt.s" + bits, count,
            over_lanes([](S a) { return shift_amount<U>(static_cast<U>(a < 0 ? ~a : a)); }));
}

uint32_t selected_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t choice = selector >> (4 * i) & 15;
    uint32_t byte = bytes >> (8 * (choice & 7)) & 255;
    if (choice & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}

uint32_t looked_up(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t result = 0;
  for (int i = 0; i < 8; i++)
    if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return result;
}

void add_permutations(Table& table) {
  table.add("prmt.b32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) { return selected_bytes(a, b, c); }));
  table.add("lop3.b32", "wwwwi",
            over_lanes([](uint32_t a, uint32_t b, uint32_t c, uint32_t e) { return looked_up(a, b, c, e); }));
  table.add("shf.l.wrap.b32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) {
              return uint32_t((uint64_t(b) << 32 | a) << (c & 31) >> 32);
            }));
  table.add("shf.r.wrap.b32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) {
              return uint32_t((uint64_t(b) << 32 | a) >> (c & 31));
            }));
  table.add("shf.l.clamp.b32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) {
              return uint32_t((uint64_t(b) << 32 | a) << (c > 32 ? 32 : c) >> 32);
            }));
  table.add("shf.r.clamp.b32", "wwww", over_lanes([](uint32_t a, uint32_t b, uint32_t c) {
              return uint32_t((uint64_t(b) << 32 | a) >> (c > 32 ? 32 : c));
            }));
  table.add("brev.b32", "ww", over_lanes([](uint32_t a) { return reversed<uint32_t>(a); }));
  table.add("brev.b64", "ll", over_lanes([](uint64_t a) { return reversed<uint64_t>(a); }));
  table.add("slct.u32.s32", "wwww", over_lanes([](uint32_t a, uint32_t b, int32_t c) { return c >= 0 ? a : b; }));
  table.add("slct.s32.s32", "wwww", over_lanes([](uint32_t a, uint32_t b, int32_t c) { return c >= 0 ? a : b; }));
  table.add("slct.b32.s32", "wwww", over_lanes([](uint32_t a, uint32_t b, int32_t c) { return c >= 0 ? a : b; }));
  table.add("slct.f32.s32", "wwww", over_lanes([](uint32_t a, uint32_t b, int32_t c) { return c >= 0 ? a : b; }));
  table.add("slct.f32.f32", "wwwf", over_lanes([](uint32_t a, uint32_t b, float c) { return c >= 0 ? a : b; }));
}

void add_moves(Table& table) {
  for (const char* type : {"u16", "s16", "b16", "f16", "bf16"})
    table.add(std::string("mov.") + type, "hh", over_lanes([](uint32_t a) { return a & 0xffff; }));
  for (const char* type : {"u32", "s32", "b32"})
    table.add(std::string("mov.") + type, "ww", over_lanes([](uint32_t a) { return a; }));
  table.add("mov.f32", "ff", over_lanes([](uint32_t a) { return a; }));
  for (const char* type : {"u64", "s64", "b64"})
    table.add(std::string("mov.") + type, "ll", over_lanes([](uint64_t a) { return a; }));
  table.add("mov.f64", "dd", over_lanes([](uint64_t a) { return a; }));
}

}  // namespace

void add_bits(Table& table) {
  add_logic<uint32_t>(table, "b32", "ww", "www");
  add_logic<uint64_t>(table, "b64", "ll", "lll");
  add_16(table);
  add_predicate(table, "and.pred", std::bit_and<uint32_t>());
  add_predicate(table, "or.pred", std::bit_or<uint32_t>());
  add_predicate(table, "xor.pred", std::bit_xor<uint32_t>());
  table.add("not.pred", "pp", [](void* d, const void* a, const void*, const void*, const void*, void*) {
    *lanes_of<uint32_t>(d) = ~*lanes_of<uint32_t>(a);
  });
  table.add("mov.pred", "pp", [](void* d, const void* a, const void*, const void*, const void*, void*) {
    *lanes_of<uint32_t>(d) = *lanes_of<uint32_t>(a);
  });
  add_shifts<uint32_t, int32_t>(table, "32", "www");
  add_shifts<uint64_t, int64_t>(table, "64", "llw");
  add_fields<uint32_t, int32_t>(table, "32", "wwww", "wwwww", "ww");
  add_fields<uint64_t, int64_t>(table, "64", "llww", "lllww", "wl");
  add_permutations(table);
  add_moves(table);
}

}  // namespace simulator::machine
