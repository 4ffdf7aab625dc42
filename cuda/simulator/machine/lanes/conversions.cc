// cvt: PTX ISA, "Data Movement and Conversion Instructions: cvt". Frequent conversions are one loop; all others go in
// two steps over lanes of 64 bits: integers as int64 (uint64), numbers with a fraction as double, which holds them all.
#include "machine/lanes/lanes.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

constexpr FunctionClass kConvert = FunctionClass::convert;

// From double, saturating.
struct FromReal {
  LaneFunction nearest, zero, down, up;
};

struct Integer {
  const char* name;
  char letter;         // of its registers
  LaneFunction read;   // to int64
  LaneFunction write;  // from int64, low bits
  LaneFunction clamp;  // from int64, saturating
  FromReal from_f64, from_shorter;
};

// NaN becomes 0, or the number of which the first bit alone is set.
template <typename T, bool zero_for_nan>
T clamped(double value) {
  constexpr double kLeast = static_cast<double>(std::numeric_limits<T>::min());
  // One past the greatest: itself a power of two, which double holds even for 64 bits.
  const double beyond = std::ldexp(1.0, std::numeric_limits<T>::digits);
  if (value != value) return zero_for_nan ? T(0) : static_cast<T>(uint64_t(1) << (8 * sizeof(T) - 1));
  if (value < kLeast) return std::numeric_limits<T>::min();
  if (value >= beyond) return std::numeric_limits<T>::max();
  return static_cast<T>(value);
}

// L: the type of the register's lanes. 8-bit results are extended to 16 bits by their sign, 16-bit ones lie in 32 bits.
template <typename T, typename L>
L stored(T value) {
  if constexpr (sizeof(T) < 4) return static_cast<uint16_t>(static_cast<int16_t>(value));
  return static_cast<L>(value);
}

template <typename T, typename L, bool zero_for_nan>
FromReal from_real() {
  return {over_lanes([](double a) { return stored<T, L>(clamped<T, zero_for_nan>(std::nearbyint(a))); }),
          over_lanes([](double a) { return stored<T, L>(clamped<T, zero_for_nan>(std::trunc(a))); }),
          over_lanes([](double a) { return stored<T, L>(clamped<T, zero_for_nan>(std::floor(a))); }),
          over_lanes([](double a) { return stored<T, L>(clamped<T, zero_for_nan>(std::ceil(a))); })};
}

template <typename T, typename L>
Integer integer(const char* name, char letter) {
  return {name,
          letter,
          over_lanes([](L a) -> int64_t { return static_cast<int64_t>(static_cast<T>(a)); }),
          over_lanes([](int64_t a) { return stored<T, L>(static_cast<T>(a)); }),
          over_lanes([](int64_t a) {
            if constexpr (sizeof(T) == 8) return stored<T, L>(std::is_signed_v<T> || a > 0 ? static_cast<T>(a) : T(0));
            const int64_t least = static_cast<int64_t>(std::numeric_limits<T>::min());
            const int64_t greatest = static_cast<int64_t>(std::numeric_limits<T>::max());
            return stored<T, L>(static_cast<T>(a < least ? least : a > greatest ? greatest : a));
          }),
          from_real<T, L, false>(),
          from_real<T, L, sizeof(T) < 8>()};
}

struct Real {
  const char* name;
  char letter;
  LaneFunction read;     // to double
  LaneFunction flushed;  // the same with .ftz, which concerns float32 alone
};

std::string operands(char to, char from) { return {to, from}; }

void add_integer_to_integer(Table& table, const std::vector<Integer>& integers) {
  for (const Integer& from : integers)
    for (const Integer& to : integers) {
      const std::string types = std::string(to.name) + "." + from.name;
      table.add("cvt." + types, operands(to.letter, from.letter), from.read, kConvert, 0, false, to.write);
      // The greatest uint64 do not fit between the steps.
      if (std::string(from.name) != "u64")
        table.add("cvt.sat." + types, operands(to.letter, from.letter), from.read, kConvert, 0, false, to.clamp);
    }
}

void add_real_to_integer(Table& table, const std::vector<Integer>& integers, const std::vector<Real>& reals) {
  for (const Real& from : reals)
    for (const Integer& to : integers) {
      const auto add = [&](const std::string& rounding, LaneFunction write) {
        const std::string types = std::string(to.name) + "." + from.name;
        // Saturation is what such a conversion does anyway.
        for (const char* saturate : {"", ".sat"}) {
          table.add("cvt." + rounding + saturate + "." + types, operands(to.letter, from.letter), from.read, kConvert,
                    0, false, write);
          table.add("cvt." + rounding + ".ftz" + saturate + "." + types, operands(to.letter, from.letter), from.flushed,
                    kConvert, 0, false, write);
        }
      };
      const FromReal& write = from.letter == 'd' ? to.from_f64 : to.from_shorter;
      add("rni", write.nearest);
      add("rzi", write.zero);
      add("rmi", write.down);
      add("rpi", write.up);
    }
}

void add_integer_to_real(Table& table, const std::vector<Integer>& integers) {
  for (const Integer& from : integers) {
    const bool large = std::string(from.name) == "u64";
    const auto add = [&](const std::string& to, char letter, LaneFunction write, LaneFunction write_large) {
      table.add("cvt." + to + "." + from.name, operands(letter, from.letter), from.read, kConvert, 0, false,
                large ? write_large : write);
    };
    add("rn.f32", 'f', over_lanes([](int64_t a) { return static_cast<float>(a); }),
        over_lanes([](uint64_t a) { return static_cast<float>(a); }));
    add("rn.f64", 'd', over_lanes([](int64_t a) { return static_cast<double>(a); }),
        over_lanes([](uint64_t a) { return static_cast<double>(a); }));
    if (from.letter == 'l') continue;
    // Up to 32 bits are exact in double.
    add("rz.f32", 'f', over_lanes([](int64_t a) { return to_f32(static_cast<double>(a), Rounding::zero); }), nullptr);
    add("rm.f32", 'f', over_lanes([](int64_t a) { return to_f32(static_cast<double>(a), Rounding::down); }), nullptr);
    add("rp.f32", 'f', over_lanes([](int64_t a) { return to_f32(static_cast<double>(a), Rounding::up); }), nullptr);
    add("rn.f16", 'h', over_lanes([](int64_t a) { return to_f16(static_cast<double>(a)); }), nullptr);
    add("rn.bf16", 'h', over_lanes([](int64_t a) { return to_bf16(static_cast<double>(a), Rounding::nearest); }),
        nullptr);
  }
}

template <typename Op>
void add_whole(Table& table, const std::string& rounding, Op) {
  table.add("cvt." + rounding + ".f32.f32", "ff", over_lanes([](float a) { return Op()(a); }), kConvert);
  table.add("cvt." + rounding + ".ftz.f32.f32", "ff", over_lanes([](float a) { return Op()(without_subnormals(a)); }),
            kConvert);
}

void add_real_to_real(Table& table, const std::vector<Real>& reals) {
  const auto add = [&](const std::string& name, char to, const Real& from, LaneFunction write) {
    table.add("cvt." + name + "." + from.name, operands(to, from.letter), from.read, kConvert, 0, false, write);
  };
  const LaneFunction nearest_f32 = over_lanes([](double a) { return static_cast<float>(a); });
  const LaneFunction clamped_f32 = over_lanes([](double a) { return static_cast<float>(saturated(a)); });
  const Real &f16 = reals[0], &bf16 = reals[1], &f32 = reals[2], &f64 = reals[3];
  add("f32", 'f', f16, nearest_f32);
  add("f64", 'd', f16, over_lanes([](double a) { return a; }));
  add("f64", 'd', f32, over_lanes([](double a) { return a; }));
  add("f64", 'd', bf16, over_lanes([](double a) { return a; }));
  add("rn.f32", 'f', f64, nearest_f32);
  add("rz.f32", 'f', f64, over_lanes([](double a) { return to_f32(a, Rounding::zero); }));
  add("rm.f32", 'f', f64, over_lanes([](double a) { return to_f32(a, Rounding::down); }));
  add("rp.f32", 'f', f64, over_lanes([](double a) { return to_f32(a, Rounding::up); }));
  add("rn.sat.f32", 'f', f64, clamped_f32);
  add("sat.f32", 'f', f32, clamped_f32);
  add("sat.f32", 'f', f16, clamped_f32);
  for (const Real* from : {&f32, &f64}) {
    add("rn.f16", 'h', *from, over_lanes([](double a) { return to_f16(a); }));
    add("rz.f16", 'h', *from, over_lanes([](double a) { return to_f16(a, Rounding::zero); }));
    add("rm.f16", 'h', *from, over_lanes([](double a) { return to_f16(a, Rounding::down); }));
    add("rp.f16", 'h', *from, over_lanes([](double a) { return to_f16(a, Rounding::up); }));
    add("rz.bf16", 'h', *from, over_lanes([](double a) { return to_bf16(a, Rounding::zero); }));
  }
  add("rn.bf16", 'h', f64, over_lanes([](double a) { return to_bf16(a, Rounding::nearest); }));
  add("rn.relu.bf16", 'h', f32, over_lanes([](double a) { return a < 0 ? 0u : to_bf16(a, Rounding::nearest); }));
  add("rn.relu.f16", 'h', f32, over_lanes([](double a) { return a < 0 ? 0u : to_f16(a); }));
  // To a whole number of the same type.
  for (const auto& [rounding, whole] :
       {std::pair<const char*, LaneFunction>{"rni", over_lanes([](double a) { return std::nearbyint(a); })},
        {"rzi", over_lanes([](double a) { return std::trunc(a); })},
        {"rmi", over_lanes([](double a) { return std::floor(a); })},
        {"rpi", over_lanes([](double a) { return std::ceil(a); })}})
    table.add(std::string("cvt.") + rounding + ".f64.f64", "dd", whole, kConvert);
  add_whole(table, "rni", [](float a) { return std::nearbyint(a); });
  add_whole(table, "rzi", [](float a) { return std::trunc(a); });
  add_whole(table, "rmi", [](float a) { return std::floor(a); });
  add_whole(table, "rpi", [](float a) { return std::ceil(a); });
}

// The first source becomes the upper half.
void add_pairs(Table& table) {
  const auto add = [&](const std::string& name, LaneFunction run) { table.add(name, "wff", run, kConvert); };
  add("cvt.rn.bf16x2.f32", over_lanes([](float a, float b) { return to_bf16(a) << 16 | to_bf16(b); }));
  add("cvt.rz.bf16x2.f32",
      over_lanes([](float a, float b) { return to_bf16(a, Rounding::zero) << 16 | to_bf16(b, Rounding::zero); }));
  add("cvt.rn.relu.bf16x2.f32",
      over_lanes([](float a, float b) { return (a < 0 ? 0u : to_bf16(a)) << 16 | (b < 0 ? 0u : to_bf16(b)); }));
  add("cvt.rn.f16x2.f32", over_lanes([](float a, float b) { return to_f16(a) << 16 | to_f16(b); }));
  add("cvt.rz.f16x2.f32",
      over_lanes([](float a, float b) { return to_f16(a, Rounding::zero) << 16 | to_f16(b, Rounding::zero); }));
}

// Loops of their own: these convert addresses, counters and images.
void add_frequent(Table& table) {
  table.add("cvt.rn.bf16.f32", "hf", over_lanes([](float a) { return to_bf16(a); }), kConvert);
  table.add("cvt.f32.bf16", "fh", over_lanes([](uint32_t a) { return a << 16; }), kConvert);
  table.add("cvt.rna.tf32.f32", "wf", over_lanes([](uint32_t a) {
              // Adding half a unit to the magnitude rounds ties away from zero; infinities and NaN stay.
              return (a & 0x7f800000) == 0x7f800000 ? a : (a + 0x1000) & 0xffffe000;
            }),
            kConvert);
  table.add("cvt.s64.s32", "lw", over_lanes([](int32_t a) -> int64_t { return a; }), kConvert);
  table.add("cvt.u64.u32", "lw", over_lanes([](uint32_t a) -> uint64_t { return a; }), kConvert);
  table.add("cvt.s64.s32.of_lower_half", "ll", over_lanes([](int64_t a) -> int64_t { return static_cast<int32_t>(a); }),
            kConvert);
  table.add("cvt.u64.u32.of_lower_half", "ll",
            over_lanes([](uint64_t a) -> uint64_t { return static_cast<uint32_t>(a); }), kConvert);
  for (const char* name : {"cvt.u32.u64", "cvt.s32.s64", "cvt.u32.s64", "cvt.s32.u64"})
    table.add(name, "wl", over_lanes([](uint64_t a) { return static_cast<uint32_t>(a); }), kConvert);
  table.add("cvt.u32.u16", "wh", over_lanes([](uint32_t a) { return a & 0xffff; }), kConvert);
  table.add("cvt.u16.u32", "hw", over_lanes([](uint32_t a) { return a & 0xffff; }), kConvert);
  table.add("cvt.rn.f32.s32", "fw", over_lanes([](int32_t a) { return static_cast<float>(a); }), kConvert);
  table.add("cvt.rn.f32.u32", "fw", over_lanes([](uint32_t a) { return static_cast<float>(a); }), kConvert);
  table.add("cvt.f64.f32", "df", over_lanes([](float a) -> double { return a; }), kConvert);
  table.add("cvt.rn.f32.f64", "fd", over_lanes([](double a) { return static_cast<float>(a); }), kConvert);
}

}  // namespace

void add_conversions(Table& table) {
  add_frequent(table);
  const std::vector<Integer> integers = {
      integer<uint8_t, uint32_t>("u8", 'h'),   integer<int8_t, uint32_t>("s8", 'h'),
      integer<uint16_t, uint32_t>("u16", 'h'), integer<int16_t, uint32_t>("s16", 'h'),
      integer<uint32_t, uint32_t>("u32", 'w'), integer<int32_t, uint32_t>("s32", 'w'),
      integer<uint64_t, uint64_t>("u64", 'l'), integer<int64_t, uint64_t>("s64", 'l')};
  const LaneFunction read_f16 = over_lanes([](uint32_t a) -> double { return from_f16(a & 0xffff); });
  const LaneFunction read_bf16 = over_lanes([](uint32_t a) -> double { return from_bf16(a & 0xffff); });
  const LaneFunction read_f64 = over_lanes([](double a) -> double { return a; });
  const std::vector<Real> reals = {{"f16", 'h', read_f16, read_f16},
                                   {"bf16", 'h', read_bf16, read_bf16},
                                   {"f32", 'f', over_lanes([](float a) -> double { return a; }),
                                    over_lanes([](float a) -> double { return without_subnormals(a); })},
                                   {"f64", 'd', read_f64, read_f64}};
  add_integer_to_integer(table, integers);
  add_real_to_integer(table, integers, reals);
  add_integer_to_real(table, integers);
  add_real_to_real(table, reals);
  add_pairs(table);
}

}  // namespace simulator::machine
