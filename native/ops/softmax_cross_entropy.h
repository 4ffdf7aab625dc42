// The loss of classifiers: the mean negative logarithm of the probability that the softmax gives to the right class.
//
//   M rows (all leading dimensions together)   K classes
//   logits, dlogits [..., K] float32, slices of channels allowed; dlogits may be logits
//   labels [...] int32 in [0, K), contiguous   perRow, correct [...] float32, contiguous   loss, dloss [1] float32
//
// forward   perRow[m] = ln Σ_k exp(logits[m, k]) - logits[m, labels[m]]      loss = (1/M) Σ_m perRow[m]
//           correct[m] = 1 where labels[m] is the largest logit (the first of equal ones), else 0
// backward  dlogits[m, k] = dloss / M (exp(logits[m, k]) / Σ_j exp(logits[m, j]) - [k = labels[m]])
//
// Computed in float64, the largest logit subtracted first. A label outside [0, K) fails with ERR_ARGUMENT when the
// kernel runs. perRow and correct are reported, not differentiated.
#pragma once

#include "engine/kernel.h"
