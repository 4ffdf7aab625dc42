// Arithmetic element by element, and with one number for each channel or sample.
//
//   N samples   C channels
//   y, x, a, b [..., C] float32, slices of channels allowed; y may be an operand
//
// copy              y = x
// fill              y = value
// scale             y = factor x
// add               y = alpha a + beta b
// multiply          y = a b
// add_channels      y[n, ..., c] = x[n, ..., c] + t[n, c]        t [N, C] float32, a slice of channels allowed
// multiply_samples  y[n, ...] = x[n, ...] factor[n]              factor [N] float32
// divide_samples    y[n, ...] = x[n, ...] / divisor[n]           divisor [N] float32
//
// add_channels adds the time embedding in a residual block; divide_samples is the division by sigma of networks with
// Fourier time embeddings (Song et al. 2021, arXiv:2011.13456, appendix C.2).
#pragma once

#include "engine/kernel.h"
