// Scale and shift of channels by the time embedding ("scale_shift" of diffusers' resnet_time_scale_shift; the adaptive
// group normalisation of Dhariwal and Nichol 2021, arXiv:2105.05233, section 3, applied after the normalisation).
//
//   N samples   C channels
//   x, y, dx, dy [N, ..., C] images: float32 or bf16, all of a call alike; slices of channels allowed; y may be x, dx
//   may be dy scaleShift, dscaleShift [N, 2C] float32, slices of channels allowed: scale = channels [0, C), shift =
//   channels [C, 2C)
//
// forward   y = x (1 + scale[n, c]) + shift[n, c]
// backward  dx = dy (1 + scale[n, c])      dscale[n, c] = Σ dy x      dshift[n, c] = Σ dy       (sums over pixels)
#pragma once

#include "engine/kernel.h"
