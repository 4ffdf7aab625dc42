// An estimate of the clean image whose saturated pixels are pulled inwards, image by image: dynamic thresholding,
// Saharia et al. 2022, arXiv:2205.11487, section 2.3.
//
//   x, prediction, x0 [N, ...] float32, slices of channels allowed
//
//   raw = x0FromX x + x0FromPrediction prediction
//   s_n = min(max(quantile of |raw[n, ...]|, 1), max)
//   x0  = clamp(raw, -s_n, s_n) / s_n
//
// The quantile lies between the two elements next to position quantile (count - 1) in order of size, linearly, as in
// torch.quantile. It is exact, found by counting (a radix select over the bits of |raw|), so it does not depend on the
// order of the elements, on threads or on the other samples. NaN counts as the largest number and passes through the
// clamp.
//
// Attributes: quantile in [0, 1]; max at least 1, Infinity for none.
#pragma once

#include "engine/kernel.h"
