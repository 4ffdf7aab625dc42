// Group normalisation (Wu and He 2018, arXiv:1803.08494), alone and followed by SiLU.
//
//   N samples   P pixels   C channels   G groups of C / G neighbouring channels   M = P C / G elements in a group
//   x, y, dx, dy [N, ..., C] float32, slices of channels allowed; y may be x, dx may be dy
//   mean, rstd [N, G], gamma, beta, dgamma, dbeta [C] float32, contiguous
//
// statistics  μ = mean of a group of a sample       rstd = 1 / sqrt(mean of (x - μ)² + eps)
//             Deviations are taken from block means and blocks merged in float64 (Chan, Golub and LeVeque 1979), so
//             both are accurate however large the mean is against the deviation.
//
// forward     h = (x - μ) rstd      z = γ_c h + β_c      y = z, or y = silu(z) = z σ(z) for group_norm_silu
//             y can be computed again from x and the statistics, which is cheaper than keeping it.
//
// backward    dz = dy, or dy s (1 + z (1 - s)) with s = σ(z) for group_norm_silu
//             dβ_c = Σ_n,p dz           dγ_c = Σ_n,p dz h
//             dx = rstd (γ_c dz - (A + h B) / M)        A = Σ γ_c dz,  B = Σ γ_c dz h  over the group of the sample
//             The gradient goes through μ and rstd too; that is what A and B are.
//
// Attributes: groups (>= 1, divides C), eps (>= 0). The kernels without `groups` take G from the shape of mean.
#pragma once

#include "engine/kernel.h"
