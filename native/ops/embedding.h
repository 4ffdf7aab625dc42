// A learned vector for each class.
//
//   K classes   C channels
//   table, dtable [K, C] float32, contiguous; index [N] int32 in [0, K)
//   y, dy [N, C] float32, slices of channels allowed
//
// forward   y[n] = table[index[n]]
// backward  dtable[k] = Σ dy[n] over the samples with index[n] = k, in the order of the samples
//
// An index outside [0, K) fails with ERR_ARGUMENT when the kernel runs.
#pragma once

#include "engine/kernel.h"
