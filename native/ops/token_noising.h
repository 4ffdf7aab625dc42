// From tokens to what a network of discrete diffusion is trained on: a noise level for each sample, and x_t.
//
//   N samples   L tokens of a sample   S states   T noise levels
//   tokens [N, L] int32, contiguous   keep [T] float32: the probability that a token is not lost by step t
//   xt [N, L, S] float32, a slice of channels allowed: 1 at the state of the token, 0 elsewhere
//   timestep [N] float32, contiguous
//
// For every sample: t = floor(T u), uniform (purpose timestep, element 0); timestep[n] = t. For every token: it is lost
// where u >= keep[t], u uniform in [0, 1) (purpose noise, element 2l); a lost token becomes the state `mask`, or with
// mask = -1 the state floor(S v) (element 2l + 1). Austin et al. 2021, arXiv:2107.03006, section 3.1.
//
// Attributes: mask: a state, or -1; seedLow, seedHigh, step, sampleOffset as in ops/random.h. A token outside [0, S)
// fails with ERR_ARGUMENT when the kernel runs.
#pragma once

#include "engine/kernel.h"
