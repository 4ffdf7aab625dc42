// Sums over pixels, over samples' elements and over everything. Accumulated in float64 in an order that depends on
// shapes alone.
//
//   N samples   C channels
//
// sum_pixels   y[n, c] = Σ x[n, ..., c]     x [N, ..., C] an image: float32 or bf16; y [N, C] float32; slices of
// channels
//                                           allowed
// sum_samples  y[n] = Σ x[n, ...]           x [N, ..., C], a slice of channels allowed; y [N] float32
// sum          y = Σ x                      x of any shape; y one float32
//
// sum_pixels is the gradient of a per-channel addition (ops/elementwise.h, add_channels).
#pragma once

#include "engine/kernel.h"
