// Multi-head attention without masks: softmax(scale · q kᵀ) v for every sample and head.
// Vaswani et al. 2017, arXiv:1706.03762, eq. (1); the gradient by tiles: Dao et al. 2022, arXiv:2205.14135, appendix B.
//
//   N samples   S positions   C channels = H heads of D channels each; head h owns the channels [h D, (h + 1) D)
//
//   q, k, v, y, dq, dk, dv, dy [N, S, C] float32 or bf16, all alike, slices of channels allowed; gradients must not
//                              overlap anything else
//   logSumExp                  [N, H, S] float32, contiguous
//   heads >= 1, divides C;  scale finite, usually 1 / √D
//
// forward   x_ij = scale Σ_d q_id k_jd     L_i = log Σ_j exp(x_ij)     p_ij = exp(x_ij - L_i)     y_id = Σ_j p_ij v_jd
//           saves L (logSumExp) and y; the S x S matrix p exists in tiles only
// backward  p is computed again from L     δ_i = Σ_d dy_id y_id        dx_ij = p_ij (Σ_d dy_id v_jd - δ_i)
//           dq_id = scale Σ_j dx_ij k_jd   dk_jd = scale Σ_i dx_ij q_id
//           dv_jd = Σ_i p_ij dy_id
//
// A logit x is rounded to float32, so p carries a relative error of about 6e-8 |x|. With images of bf16 sums are
// float32 all the same; a matrix unit takes p and dx rounded to bf16.
#pragma once

#include "engine/kernel.h"
