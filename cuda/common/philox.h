// Philox4x32-10, the twin of native/cpu/philox.h. native/ops/random.h defines the stream.
#pragma once

#include <cstdint>

#include "common/failure.h"

namespace diffuse::cuda {

// A stream of random numbers: all of the counter but the element and the sample.
struct Stream {
  uint32_t seed_low, seed_high, step, purpose, sample_offset;
};

// An attribute that must be a 32-bit word.
__device__ __forceinline__ uint32_t word(const double* attributes, int index, const Reporter& to) {
  const double value = attributes[index];
  if (!(value >= 0 && value <= 4294967295.0 && value == trunc(value))) report(to, kNoWord, value, 0, index);
  return static_cast<uint32_t>(value);
}

// The stream whose seedLow, seedHigh, step and sampleOffset are the attributes from `first` on.
__device__ __forceinline__ Stream make_stream(const double* attributes, int first, uint32_t purpose,
                                              const Reporter& to) {
  return {word(attributes, first, to), word(attributes, first + 1, to), word(attributes, first + 2, to), purpose,
          word(attributes, first + 3, to)};
}

// That stream where an earlier kernel of the call has looked at the words.
__device__ __forceinline__ Stream known_stream(const double* attributes, int first, uint32_t purpose) {
  const auto word = [&](int index) { return static_cast<uint32_t>(attributes[first + index]); };
  return {word(0), word(1), word(2), purpose, word(3)};
}

// The words of the elements 4 block … 4 block + 3 of a sample: ten rounds. About 60 integer instructions, so that
// kernels of noise are bound by these, not by bytes, where elements are bf16.
__device__ __forceinline__ uint4 philox(const Stream& stream, uint32_t sample, uint32_t block) {
  uint4 x{block, sample + stream.sample_offset, stream.step, stream.purpose};
  uint32_t key0 = stream.seed_low, key1 = stream.seed_high;
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint64_t product0 = static_cast<uint64_t>(x.x) * 0xD2511F53u,
                   product1 = static_cast<uint64_t>(x.z) * 0xCD9E8D57u;
    x = {static_cast<uint32_t>(product1 >> 32) ^ x.y ^ key0, static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ x.w ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return x;
}

// The word of one element.
__device__ __forceinline__ uint32_t philox_word(const Stream& stream, uint32_t sample, uint32_t element) {
  const uint4 words = philox(stream, sample, element / 4);
  return element % 4 == 0 ? words.x : element % 4 == 1 ? words.y : element % 4 == 2 ? words.z : words.w;
}

// floor(word / 2^8) / 2^24, exactly: uniform in [0, 1).
__device__ __forceinline__ float uniform(uint32_t word) { return __fmul_rn(__uint2float_rn(word >> 8), 0x1p-24f); }

// Those of the elements 4 block … 4 block + 3 of a sample.
__device__ __forceinline__ void uniforms(float (&u)[4], const Stream& stream, uint32_t sample, uint32_t block) {
  const uint4 words = philox(stream, sample, block);
  u[0] = uniform(words.x);
  u[1] = uniform(words.y);
  u[2] = uniform(words.z);
  u[3] = uniform(words.w);
}

// floor(count u) without rounding, where u = uniform(word).
__device__ __forceinline__ int64_t uniform_below(uint32_t word, int64_t count) {
  return static_cast<int64_t>(static_cast<uint64_t>(word >> 8) * static_cast<uint64_t>(count) >> 24);
}

}  // namespace diffuse::cuda
