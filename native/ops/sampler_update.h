// One step of any sampler: a sampler is a table of coefficients (computed in float64 by the caller), this applies one
// row of it.
//
//   x, prediction, history, noise, xNext, x0 [N, ...] float32, slices of channels allowed; xNext may be x, x0 may be
//   history
//
//   x0    = clamp(x0FromX x + x0FromPrediction prediction, -clip, clip)
//   xNext = coefficientX x + coefficientX0 x0 + coefficientPrediction prediction
//           + coefficientHistory history + coefficientNoise z
//
// x0 is the estimate of the clean image. An absent history counts as 0. z is `noise` if given; otherwise normal numbers
// (ops/random.h, purpose kPurposeSampleStep), made only where coefficientNoise is not 0. NaN passes through the clamp.
//
// E.g. DDPM, Ho et al. 2020, arXiv:2006.11239, eq. (7) and (11), and DDIM, Song et al. 2021, arXiv:2010.02502, eq.
// (12).
//
// Attributes: clip > 0, Infinity for none; seedLow, seedHigh, step, sampleOffset as in ops/random.h.
#pragma once

#include "engine/kernel.h"
