// Dropout (Srivastava et al. 2014): y = x / (1 - p) with probability 1 - p, else 0, for every element by itself.
//
//   x, y [N, ...] images: float32 or bf16, both alike; slices of channels allowed; y may be x
//
// An element is kept where its uniform number (ops/random.h; purpose kPurposeDropout | layer << 8) is p or more. The
// mask follows from the attributes, so nothing is saved: the same call applied to dy gives dx.
//
// Attributes: probability p in [0, 1); layer, an integer in [0, 2^24) that differs between the dropouts of a network;
// seedLow, seedHigh, step, sampleOffset as in ops/random.h.
#pragma once

#include "engine/kernel.h"
