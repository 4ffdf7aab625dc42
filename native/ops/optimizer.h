// The optimizer: norm of the gradient, then one pass over everything the step changes. All tensors are flat: [P]
// float32, contiguous.
//
// gradient_norm   norm [1] = sqrt(Σ gradient²), summed in float64
//
// adamw_ema       changes parameter p, firstMoment m, secondMoment v and (if given) ema in place; gradient g, norm [1]
//   g ← gradientScale g · min(1, clipNorm / (gradientScale norm + 1e-6))
//   p ← (1 - learningRate weightDecay) p
//   m ← beta1 m + (1 - beta1) g             v ← beta2 v + (1 - beta2) g²
//   p ← p - learningRate (m / biasCorrection1) / (sqrt(v / biasCorrection2) + epsilon)
//   ema ← ema + (1 - emaDecay) (p - ema)
//
// Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2, as in PyTorch's AdamW; clipping as in its clip_grad_norm_
// (Pascanu et al. 2013, arXiv:1211.5063). `norm` is that of the unscaled gradient. Where it is not finite nothing is
// changed: the step is skipped.
//
// Attributes: biasCorrection1 = 1 - beta1^t, biasCorrection2 = 1 - beta2^t at step t = 1, 2, … (above 0); clipNorm > 0,
// or 0 or Infinity for no clipping; gradientScale (1 / the number of accumulated batches); the others as in PyTorch.
#pragma once

#include "engine/kernel.h"
