// How a network is told the time (or the noise level) of a sample: sines and cosines of many frequencies.
//
//   t [N], frequencies [K] float32, contiguous; y [N, D] float32, a slice of channels allowed; K = floor(D / 2)
//
// time_embedding     ω_i = maxPeriod^(-i / (K - frequencyShift))        y = [sin ω_i t, cos ω_i t], and 0 if D is odd
//                    Vaswani et al. 2017, arXiv:1706.03762, section 3.5; DDPM and diffusers' get_timestep_embedding,
//                    which round ω_i and ω_i t to float32: here they are float64, so the results differ by up to
//                    6e-8 ω_i t.
// fourier_embedding  y = [sin(2π f_i ln t), cos(2π f_i ln t)]           t > 0; D = 2K
//                    Tancik et al. 2020, arXiv:2006.10739; diffusers' GaussianFourierProjection with log = true. NaN
//                    where t <= 0.
//
// Attributes: flipSinToCos (not 0: cosines first), frequencyShift (< K; 1 in DDPM, 0 in diffusers' default), maxPeriod
// (> 0; 10000).
// Neither has a gradient: t is not learned, and the frequencies stay as they were drawn.
#pragma once

#include "engine/kernel.h"
