// The storage format bf16, straight from its definition, to compare the kernels with.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace diffuse::testing {

inline float widened(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

// The nearest number; of two that are equally near, the one whose last bit is 0.
inline uint16_t nearest(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  const uint32_t low = word & 0xffff, high = word >> 16;
  if (std::isnan(value)) return static_cast<uint16_t>(high | 0x40);
  const bool up = low > 0x8000 || (low == 0x8000 && (high & 1) != 0);
  return static_cast<uint16_t>(high + (up ? 1 : 0));
}

}  // namespace diffuse::testing
