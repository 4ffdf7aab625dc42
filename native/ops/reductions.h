// Sums over pixels and over everything. Accumulated in float64 in an order that depends on shapes alone.
//
//   N samples   C channels
//
// sum_pixels   y[n, c] = Σ x[n, ..., c]     x [N, ..., C], y [N, C] float32, slices of channels allowed
// sum          y = Σ x                      x of any shape; y one float32
//
// sum_pixels is the gradient of a per-channel addition (ops/elementwise.h, add_channels).
#pragma once

#include "engine/kernel.h"
