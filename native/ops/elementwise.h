// Arithmetic element by element, and with one number for each channel or sample.
//
//   N samples   C channels
//   y, x, a, b [..., C] images: float32 or bf16, all of a call alike; slices of channels allowed; y may be an operand.
//              Of multiply_samples and divide_samples they are float32.
//
// copy              y = x
// cast              y = x, each float32 or bf16, rounded to nearest; y may not be x if the types differ
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
