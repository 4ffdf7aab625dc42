// Group normalisation (Wu and He 2018, arXiv:1803.08494), alone and followed by SiLU, in steps. What is done to every
// pixel stands apart from what is worked out once a sample, so that a convolution can do the former while it reads or
// writes its images (ops/conv2d.h).
//
//   N samples   P pixels   C channels   G groups of C / G neighbouring channels   M = P C / G elements in a group
//   chunks      parts of `chunk` consecutive pixels of a sample, the last may be shorter: Q = ceil(P / chunk) of them
//   x, y, dx, dy, dz [N, ..., C] images: float32 or bf16, all of a call alike; slices of channels allowed; y may be x,
//   dx
//                    and dz may be dy
//   moments          [N, Q, 3, C] float32, slices of channels allowed
//   sums             [N, Q, 2, C] float32, slices of channels allowed
//   mean, rstd [N, G], gamma, beta, dgamma, dbeta [C], coefficients [N, 4, C]  float32, contiguous
//
// channel_moments        moments of every channel over every chunk: its first x; its mean, less that; Σ (x - mean)²
//                        They are merged (Chan, Golub and LeVeque 1979), and the mean is kept as a small difference, so
//                        that both stay accurate however large the mean is against the deviation.
// group_norm_statistics  μ = mean of a group of a sample        rstd = 1 / sqrt(mean of (x - μ)² + eps)
// normalise_forward      z = (x - μ) rstd γ + β                 y = z, or silu(z) = z σ(z)
//                        y can be computed again from x and the statistics, which is cheaper than keeping it.
//
// normalise_backward     dz = dy, or dy s (1 + z (1 - s)) with s = σ(z) for SiLU
//                        sums = Σ dz and Σ dz (x - μ) over every chunk, of dz before it is rounded to bf16
// group_norm_gradient    dβ = Σ dz    dγ = Σ dz h  over samples and pixels, where h = (x - μ) rstd
//                        coefficients = μ, rstd γ, rstd² B / M, rstd A / M    A = Σ γ dz,  B = Σ γ dz h  over the group
//                        pixelSums[N, C] = Σ dx over the pixels, which follows from the moments of x (both optional)
// normalise_gradient     dx = rstd (γ dz - (A + h B) / M) = dz own - (x - μ) along - level  with those coefficients
//                        plus an addend, an image as x, if it is given
//                        The gradient goes through μ and rstd too; that is what A and B are.
//
// Attributes: chunk (>= 1), eps (>= 0), pixels (P), silu (0 or 1). G is taken from the shape of mean.
#pragma once

#include "engine/kernel.h"

namespace diffuse {

constexpr int64_t kMoments = 3;  // of every channel of a chunk

}  // namespace diffuse
