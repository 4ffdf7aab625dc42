// Sums with a few output channels, as in the last convolution of a U-Net: images have 1 to 4 channels.
//
// The micro-kernel would compute a whole panel of output channels, 32 for one that is wanted. Here a vector holds input
// channels instead, and each output is the sum of its lanes: half the time of a convolution of 32 to 1 channels, whose
// rest is reading and normalising the image.
//
//   weights   [k][block][tap][kBlock]
//
// Every sum is its own, so bits do not depend on what is computed together.
#pragma once

#include "cpu/gemm/strip.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kNarrow = 4;      // output channels, at most
constexpr int kPixelsTogether = 4;  // so that additions do not wait for each other

struct NarrowSums {
  const float* a;       // the first pixel in block 0 at tap offset 0
  int64_t a_block;      // floats from one block to the next
  const int64_t* taps;  // offset of each tap
  int64_t tap_count, blocks;
  const float* weights;  // of one output channel
};

// y[i] = the sum of pixel i, for `count` <= kPixelsTogether pixels in a row.
template <int Count>
DIFFUSE_INLINE void sum_pixels_narrow(const NarrowSums& s, float* y) {
  Vec acc[Count];
  DIFFUSE_UNROLL
  for (int i = 0; i < Count; i++) acc[i] = zero();
  const float *a = s.a, *w = s.weights;
  for (int64_t block = 0; block < s.blocks; block++, a += s.a_block)
    for (int64_t tap = 0; tap < s.tap_count; tap++, w += kBlock)
      for (int part = 0; part < kBlock; part += kLanes) {
        const Vec weight = load(w + part);
        DIFFUSE_UNROLL
        for (int i = 0; i < Count; i++) acc[i] = madd(load(a + s.taps[tap] + i * kBlock + part), weight, acc[i]);
      }
  for (int i = 0; i < Count; i++) y[i] = sum_lanes(acc[i]);
}

// y[r] for `run` pixels in a row.
static void sum_run_narrow(NarrowSums s, int64_t run, float* y) {
  int64_t r = 0;
  for (; r + kPixelsTogether <= run; r += kPixelsTogether, s.a += kPixelsTogether * kBlock)
    sum_pixels_narrow<kPixelsTogether>(s, y + r);
  for (; r < run; r++, s.a += kBlock) sum_pixels_narrow<1>(s, y + r);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
