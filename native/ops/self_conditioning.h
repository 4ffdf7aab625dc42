// What a self-conditioned network is told while it is trained: for half of the samples its own estimate of the clean
// data, for the others nothing. Chen et al. 2022, arXiv:2208.04202, section 3.2 and algorithm 1.
//
//   N samples   C channels
//   estimate, xt, prediction [N, ..., C] float32, slices allowed
//   coefficients [N, 2] float32, a slice of channels allowed: x0FromX, x0FromPrediction of each sample's noise level
//
//   estimate[n] = clamp(x0FromX_n xt + x0FromPrediction_n prediction, -clip, clip) where u >= 1/2, else 0
//
// u is uniform (purpose self-conditioning, element 0). NaN passes through the clamp.
//
// Attributes: clip > 0, Infinity for none; seedLow, seedHigh, step, sampleOffset as in ops/random.h.
#pragma once

#include "engine/kernel.h"
