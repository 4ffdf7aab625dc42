// Number formats as registers hold them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace simulator::machine {

inline float float_of(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

// What PTX calls canonical: the quiet NaN that instructions return.
constexpr uint32_t kNanF32 = 0x7fffffff, kNanF16 = 0x7fff, kNanBf16 = 0x7fff;

inline float without_subnormals(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}
// NaN becomes 0.
inline float saturated(float value) { return value > 0 ? (value < 1 ? value : 1.0f) : 0.0f; }
inline double saturated(double value) { return value > 0 ? (value < 1 ? value : 1.0) : 0.0; }

inline float from_bf16(uint32_t bits) { return float_of(bits << 16); }
inline float from_f16(uint32_t bits) {
  const uint32_t sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) return std::copysign(static_cast<float>(fraction) * 0x1p-24f, float_of(sign));
  return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}
// The float32s a tensor core sees where it is given tf32.
inline float from_tf32(uint32_t bits) { return float_of(bits & 0xffffe000); }

// To the nearest, ties to even.
inline uint32_t to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if (value != value) return kNanBf16;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

enum class Rounding { nearest, zero, down, up, away };

// `value` with `precision` bits of significand, a least exponent and a greatest finite value; exact in double.
inline double rounded(double value, int precision, int least_exponent, double greatest, Rounding rounding) {
  if (value == 0 || value != value || std::isinf(value)) return value;
  int exponent;
  std::frexp(value, &exponent);
  const int unit = std::max(exponent - precision, least_exponent);
  const double scaled = std::ldexp(value, -unit);
  double whole;
  switch (rounding) {
    case Rounding::nearest:
      whole = std::nearbyint(scaled);
      break;
    case Rounding::zero:
      whole = std::trunc(scaled);
      break;
    case Rounding::down:
      whole = std::floor(scaled);
      break;
    case Rounding::up:
      whole = std::ceil(scaled);
      break;
    default:
      whole = std::round(scaled);
      break;
  }
  const double result = std::copysign(std::ldexp(whole, unit), value);
  if (std::fabs(result) <= greatest) return result;
  const bool outward = rounding == Rounding::nearest || rounding == Rounding::away ||
                       (rounding == Rounding::up && value > 0) || (rounding == Rounding::down && value < 0);
  return std::copysign(outward ? INFINITY : greatest, value);
}

constexpr double kGreatestF16 = 65504.0, kGreatestBf16 = 0x1.fep127, kGreatestF32 = 0x1.fffffep127;

inline uint32_t to_f16(double value, Rounding rounding = Rounding::nearest) {
  if (value != value) return kNanF16;
  const double exact = rounded(value, 11, -24, kGreatestF16, rounding);
  const uint32_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(exact);
  if (std::isinf(magnitude)) return sign | 0x7c00;
  if (magnitude < 0x1p-14) return sign | static_cast<uint32_t>(magnitude * 0x1p24);
  int exponent;
  const double fraction = std::frexp(magnitude, &exponent);
  return sign | static_cast<uint32_t>(exponent + 14) << 10 | (static_cast<uint32_t>(fraction * 0x1p11) & 0x3ff);
}
inline float to_f32(double value, Rounding rounding) {
  return static_cast<float>(rounded(value, 24, -149, kGreatestF32, rounding));
}
inline uint32_t to_bf16(double value, Rounding rounding = Rounding::nearest) {
  if (value != value) return kNanBf16;
  return bits_of(static_cast<float>(rounded(value, 8, -133, kGreatestBf16, rounding))) >> 16;
}

// a + b; where double does not hold the sum its last bit is odd, so that rounding it to a shorter format gives what
// rounding the exact sum would (Boldo and Melquiond 2008).
inline double sum_to_odd(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum)) return sum;
  const double part = sum - a, rest = (a - (sum - part)) + (b - part);
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  if (rest != 0 && !(bits & 1)) bits += (rest < 0) == (sum < 0) ? 1 : -1;
  return std::bit_cast<double>(bits);
}

struct F16 {
  static constexpr uint32_t kNan = kNanF16;
  static float from(uint32_t bits) { return from_f16(bits & 0xffff); }
  static uint32_t to(double value) { return to_f16(value); }
};
struct Bf16 {
  static constexpr uint32_t kNan = kNanBf16;
  static float from(uint32_t bits) { return from_bf16(bits & 0xffff); }
  static uint32_t to(double value) { return to_bf16(value, Rounding::nearest); }
};

}  // namespace simulator::machine
