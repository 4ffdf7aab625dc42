// The middle of a variational autoencoder: a latent drawn from the Gaussian that the encoder tells, and how far that is
// from N(0, I). Kingma and Welling 2014, arXiv:1312.6114, section 3 and appendix B.
//
//   N samples   C channels of a latent   E elements of a sample's latent
//   moments, dmoments [N, ..., 2C] float32: C means, then C logarithms of variances; slices of channels allowed
//   noise, z, dz [N, ..., C] float32, slices of channels allowed   kl, dkl [1] float32
//
// With μ the mean, l the logarithm of the variance, clamped to [-30, 20] as in latent diffusion (Rombach et al. 2022):
// forward   z = μ + exp(l / 2) noise      kl = 1/N Σ (μ² + exp(l) - 1 - l) / 2, in nats a sample
// backward  dμ = dz + dkl/N μ      dl = dz noise exp(l / 2) / 2 + dkl/N (exp(l) - 1) / 2, 0 where l was clamped
//
// Computed in float64. The noise is not differentiated.
#pragma once

#include "engine/kernel.h"
