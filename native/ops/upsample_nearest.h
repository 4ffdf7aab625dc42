// Upsampling by whole factors: every pixel becomes a block of equal pixels.
//
//   x, dx [N, spatial..., C], y, dy [N, spatial · factor..., C] images: float32 or bf16, all of a call alike; slices of
//   channels allowed; one to three spatial dimensions, each with its own factor >= 1, given by the shapes
//
// forward   y[n, i, j, c] = x[n, floor(i / f), floor(j / g), c]
// backward  dx[n, i, j, c] = Σ dy[n, f i + a, g j + b, c]           over 0 <= a < f, 0 <= b < g, in this order
#pragma once

#include "engine/kernel.h"
