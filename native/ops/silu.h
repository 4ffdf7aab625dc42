// SiLU (swish), element by element. Hendrycks and Gimpel 2016, arXiv:1606.08415; Ramachandran et al. 2017,
// arXiv:1710.05941.
//
//   x, y, dx, dy [..., C] images: float32 or bf16, all of a call alike; slices of channels allowed; y may be x, dx may
//   be dy or x
//
// forward   y = x σ(x)                           σ(x) = 1 / (1 + e^-x)
// backward  dx = dy s (1 + x (1 - s))            s = σ(x), computed again from x: nothing is saved
#pragma once

#include "engine/kernel.h"
