// The loss of diffusion models that learn their variance: the weighted squared error, plus the variational bound for
// the variance's sake. Nichol and Dhariwal 2021, arXiv:2102.09672, eqs. (15) and (16).
//
//   N samples   C channels   E elements of a sample's prediction
//   output, doutput [N, ..., 2C] float32: C channels of prediction, then C of v; xt, target [N, ..., C] float32; slices
//   allowed
//   coefficients [N, 6] float32, a slice of channels allowed: precision, span, kind, logVariance, x0FromX,
//   x0FromPrediction of each sample's noise level
//   weight, importance? [N], perSample [N], loss, bound, dloss [1] float32, contiguous; an absent importance is 1
//
// With e = target - prediction and r = (v + 1)/2 span, by how much the logarithm of the variance is above that of the
// posterior, logVariance, an element's part of the bound in nats is
//   kind 0  b = 1/2 (precision e² exp(-r) + exp(-r) - 1 + r)               the divergence of a step that ends in noise
//   kind 1  b = 1/2 (ln 2π + logVariance + r + precision e² exp(-r))       the last step, data are real numbers
//   kind 2  b = -ln (Φ(s (d + 1/255)) - Φ(s (d - 1/255)))                  the last step, data are bytes
//           with d = x0FromPrediction e, s = exp(-(logVariance + r)/2); where x0 = x0FromX xt + x0FromPrediction target
//           is the lowest or the highest byte, the interval goes on to infinity (Ho et al. 2020, eq. (13))
//
// forward   B[n] = boundScale/E Σ b      perSample[n] = simpleWeight weight[n]/E Σ e² + boundWeight B[n]
//           loss = 1/N Σ importance[n] perSample[n]      bound = 1/N Σ importance[n] B[n]
// backward  of loss alone. With throughMean 0 the prediction's gradient is that of the squared error: the bound teaches
//           v and nothing else, as eq. (16) wants it.
//
// Computed in float64, the probabilities of kind 2 also far out in the tails. Attributes: simpleWeight, boundWeight,
// boundScale, throughMean (not 0: the bound teaches the prediction, too). bound and perSample are not differentiated.
#pragma once

#include "engine/kernel.h"
