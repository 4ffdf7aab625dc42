// 2-D convolution (cross-correlation) of channels-last images, and its gradients.
//
//   N images   H x W input pixels   C input channels   OH x OW output pixels   K output channels   kh x kw window
//
//   x, dx  [N, H, W, C]    images: float32 or bf16, all of a call alike; slices of channels allowed
//   y, dy  [N, OH, OW, K]  likewise
//   weight, dweight [kh, kw, C, K]  float32, kh and kw 1 .. 7; dweight contiguous
//   bias, dbias     [K]    float32, optional
//
// forward   y[n, i, j, k] = bias[k] + Σ_a,b,c x[n, stride i + a - padTop, stride j + b - padLeft, c] weight[a, b, c, k]
//           x counts as zero outside the image. The padding at the bottom and on the right follows from OH and OW.
// backward  dx[n, u, v, c] = Σ_a,b,k dy[n, (u + padTop - a) / stride, (v + padLeft - b) / stride, k] weight[a, b, c, k]
//           over the a, b for which both divisions leave no remainder and the output exists
//           dweight[a, b, c, k] = Σ_n,i,j x[n, stride i + a - padTop, stride j + b - padLeft, c] dy[n, i, j, k]
//           dbias[k] = Σ_n,i,j dy[n, i, j, k]
//
// Other ops may be done in passing, so that their images need not be written and read (ops/group_norm.h has the
// formulas of normalisation). All of these tensors are optional; those named together come together.
//
// With images of bf16, sums and all that is done to them in passing are float32 and rounded once, as they are written.
// A matrix unit multiplies weights, and what x or dy stands for, rounded to bf16; statistics of y are those of y before
// it is rounded.
//
// Forward:
// - mean, rstd [N, G], gamma, beta [C]: x stands for normalise_forward(x), with SiLU if `silu`. Also in the weight
// gradient.
// - shift [N, K]: added to every pixel of y. residual, as y: added to y.
// - moments [N, Q, 3, K]: receives channel_moments of the y that is written, in chunks of 4 rows.
// Gradients:
// - normalised, as dy, and coefficients [N, 4, K]: dy stands for normalise_gradient(dy, normalised, coefficients).
// - x, mean, rstd, gamma, beta, sums [N, Q, 2, C]: dx is the gradient of normalise_forward(x) and goes through
//   normalise_backward: dz is written in its place, and the sums in chunks of 4 rows. Data gradient alone.
// - residual, as dx: added to dx. Data gradient alone, without the former.
//
// Attributes: stride (1 or 2), padTop, padLeft (0 .. 7), silu (0 or 1).
#pragma once

#include "engine/kernel.h"

namespace diffuse {

// The sizes of the legend above.
struct Conv2dShape {
  int64_t N, H, W, C, OH, OW, K, kh, kw, stride, pad_top, pad_left;
};

// The statistics and parameters of a normalisation; absent: mean.data is null.
struct Conv2dNorm {
  const Tensor &mean, &rstd, &gamma, &beta;
};

struct Conv2dForward {
  const Tensor &y, &moments, &x, &weight, &bias;
  Conv2dNorm norm;
  const Tensor &shift, &residual;
};
static inline Conv2dForward conv2d_forward_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3], t[4], {t[5], t[6], t[7], t[8]}, t[9], t[10]};
}

struct Conv2dDataGradient {
  const Tensor &dx, &sums, &dy, &weight, &normalised, &coefficients, &x;
  Conv2dNorm norm;
  const Tensor& residual;
};
static inline Conv2dDataGradient conv2d_data_gradient_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], {t[7], t[8], t[9], t[10]}, t[11]};
}

struct Conv2dWeightGradient {
  const Tensor &dweight, &dbias, &x, &dy;
  Conv2dNorm norm;
  const Tensor &normalised, &coefficients;
};
static inline Conv2dWeightGradient conv2d_weight_gradient_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3], {t[4], t[5], t[6], t[7]}, t[8], t[9]};
}

// Sizes of a checked call; `image` is x or dx, `output` is y or dy.
static inline Conv2dShape conv2d_shape(const Call& call, const Tensor& image, const Tensor& output,
                                       const Tensor& weight) {
  return {image.shape[0],
          image.shape[1],
          image.shape[2],
          image.shape[3],
          output.shape[1],
          output.shape[2],
          output.shape[3],
          weight.shape[0],
          weight.shape[1],
          static_cast<int64_t>(call.attributes[0]),
          static_cast<int64_t>(call.attributes[1]),
          static_cast<int64_t>(call.attributes[2])};
}

}  // namespace diffuse
