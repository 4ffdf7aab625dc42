// Random numbers: a pure function of seed, purpose, step, sample and element. So the noise of a sample is the same on
// every device, for every batch split and thread count, and nothing needs saving but a step number.
//
//   y [N, ...] float32, a slice of channels allowed
//
// Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) with
//   key      (seedLow, seedHigh)
//   counter  (element / 4, sample, step, purpose)
// gives the four words of the elements 4k … 4k + 3 of a sample. The sample is sampleOffset plus the index in the first
// dimension; the element is its index inside the sample, row-major over the shape, whatever the layout in memory.
//
// random_uniform  y = low + (high - low) u       u = floor(word / 2^8) / 2^24, in [0, 1)
// random_normal   y of mean 0 and variance 1 (Box and Muller 1958): the words a, b of an even and the following odd
//                 element give r cos(2π v) and r sin(2π v), where r = sqrt(-2 ln w),
//                 w = (floor(a / 2^8) + 1) / 2^24 in (0, 1] and v = floor(b / 2^8) / 2^24 in [0, 1).
//                 ln, sin and cos are the polynomials of cpu/philox.h, evaluated with +, -, *, sqrt and integers alone
//                 and never with a fused multiply-add: the bits are equal everywhere. |y| <= sqrt(48 ln 2) < 5.77.
//
// Attributes: seedLow, seedHigh, purpose, step, sampleOffset: integers in [0, 2^32); low, high: any numbers.
#pragma once

#include <cstdint>

#include "engine/kernel.h"

namespace diffuse {

// What random numbers are for: the last word of the counter, so that no two uses of one seed share a number. The same
// list stands in packages/core/src/random/philox.ts.
enum Purpose : uint32_t {
  kPurposeInit = 1,
  kPurposeTimestep = 2,
  kPurposeNoise = 3,
  kPurposeFlip = 4,
  kPurposeDropout = 5,  // | layer << 8
  kPurposeShuffle = 6,
  kPurposeSampleStart = 7,
  kPurposeSampleStep = 8,
  kPurposeOffsetNoise = 9,
  kPurposeEvaluationNoise = 10,
  kPurposeEvaluationTimestep = 11,
  kPurposeDequantisation = 12,
  kPurposeProbe = 13,
  kPurposeSampleGiven = 14,
  kPurposeDropClass = 15,
  kPurposeSelfConditioning = 16,
};

}  // namespace diffuse
