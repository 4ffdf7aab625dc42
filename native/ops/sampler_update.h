// One step of any sampler: a sampler is a table of coefficients (computed in float64 by the caller), this applies one
// row of it.
//
//   x, prediction, history, older, noise, variance, xNext, x0, historyNext, olderNext [N, ...] float32, slices of
//   channels allowed; xNext may be x, historyNext may be history, olderNext may be older
//
//   x0          = clamp(x0FromX x + x0FromPrediction prediction, -clip, clip)
//   xNext       = coefficientX x + coefficientX0 x0 + coefficientPrediction prediction
//                 + coefficientHistory history + coefficientOlder older + deviation z
//   historyNext = historyFromX x + historyFromX0 x0        what a multistep method remembers: x0, or the noise in x
//   olderNext   = history
//   deviation   = coefficientNoise, or where the network predicts its variance as well
//                 coefficientNoise exp((logVarianceLow + (v + 1) / 2 (logVarianceHigh - logVarianceLow)) / 2)
//
// x0 is the estimate of the clean image. An absent history or older counts as 0. z is `noise` if given; otherwise
// normal numbers (ops/random.h, purpose kPurposeSampleStep), made only where coefficientNoise is not 0. NaN passes
// through the clamp.
//
// E.g. DDPM, Ho et al. 2020, arXiv:2006.11239, eq. (7) and (11); DDIM, Song et al. 2021, arXiv:2010.02502, eq. (12);
// DPM-Solver++(2M), Lu et al. 2022, arXiv:2211.01095, algorithm 2; v as in Nichol and Dhariwal 2021, arXiv:2102.09672,
// eq. (15).
//
// Attributes: clip > 0, Infinity for none; seedLow, seedHigh, step, sampleOffset as in ops/random.h.
#pragma once

#include "engine/kernel.h"
