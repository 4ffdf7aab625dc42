// Division by a number that the host knows before the launch: a multiplication and a shift, where a GPU has no
// instruction to divide integers and needs some twenty.
#pragma once

#include <cstdint>

namespace diffuse::cuda {

struct Divisor {
  uint32_t value, multiplier, shift;
};

// Of 1 .. 2^31 - 1 (Granlund and Montgomery 1994): n / value = (n * multiplier / 2^32 + n) >> shift for n below 2^31.
static inline Divisor divisor_of(int64_t value) {
  uint32_t shift = 0;
  while ((int64_t{1} << shift) < value) shift++;
  const uint64_t beyond = (uint64_t{1} << shift) - static_cast<uint64_t>(value);
  const uint64_t multiplier = (beyond << 32) / static_cast<uint64_t>(value) + 1;
  return {static_cast<uint32_t>(value), static_cast<uint32_t>(multiplier), shift};
}

}  // namespace diffuse::cuda
