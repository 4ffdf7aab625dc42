// Division of indices by numbers that the host prepared.
#pragma once

#include "cuda/arguments/divisor.h"

namespace diffuse::cuda {

struct Quotient {
  int32_t quotient, remainder;
};

// Of a number from 0 to 2^31 - 1.
__device__ __forceinline__ Quotient divide(int32_t number, const Divisor& by) {
  const uint32_t n = static_cast<uint32_t>(number);
  const uint32_t quotient = (__umulhi(n, by.multiplier) + n) >> by.shift;
  return {static_cast<int32_t>(quotient), static_cast<int32_t>(n - quotient * by.value)};
}

}  // namespace diffuse::cuda
