// The loss of diffusion models: a mean squared error for each sample, weighted by its noise level.
//
//   prediction, target, dprediction [N, ..., C] float32, slices allowed; dprediction may be prediction or target
//   weight, perSample [N], loss, dloss [1] float32, contiguous;   E elements in a sample
//
// forward   perSample[n] = (1/E) Σ (prediction - target)²      loss = (1/N) Σ_n weight[n] perSample[n]
//           Sums are taken in float64.
// backward  dprediction = dloss · 2 weight[n] (prediction - target) / (N E)
//
// Ho et al. 2020, arXiv:2006.11239, eq. (14) with weight 1. perSample is reported, not differentiated.
#pragma once

#include "engine/kernel.h"
