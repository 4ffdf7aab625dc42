// Multi-head attention: softmax(scale · q kᵀ) v for every sample and head, without masks.
//
//   N samples   S positions   C channels = H heads · D channels a head (head h owns channels [h·D, (h + 1)·D))
//
// forward   q, k, v, y [N, S, C] float32 (slices of wider tensors are allowed), logSumExp [N, H, S] float32, contiguous
//   x_ij = scale · Σ_d q_id k_jd        p_ij = exp(x_ij - L_i)        L_i = log Σ_j exp(x_ij)        y_id = Σ_j p_ij
//   v_jd Saved for the gradient: L (logSumExp) and y. The S x S matrix p never leaves the cache.
//
// backward  dq, dk, dv, dy like q; p is computed again from L
//   δ_i = Σ_d dy_id y_id                dx_ij = p_ij (Σ_d dy_id v_jd - δ_i)
//   dv_jd = Σ_i p_ij dy_id              dq_id = scale Σ_j dx_ij k_jd             dk_jd = scale Σ_i dx_ij q_id
//
// Attributes: heads (>= 1, divides C), scale (finite; usually 1/sqrt(D)).
// Rounding: a logit x is rounded to float32, so p carries a relative error of about 6e-8 · max(1, |x|).
// Vaswani et al. 2017, arXiv:1706.03762, eq. (1); the gradient by tiles follows Dao et al. 2022, arXiv:2205.14135,
// appendix B.
#pragma once

#include "engine/kernel.h"

namespace diffuse {

// Tensors and attributes of a Call, in order (ops/kernels.def).
struct AttentionForward {
  enum Tensors { y, logSumExp, q, k, v };
  enum Attributes { heads, scale };
};
struct AttentionBackward {
  enum Tensors { dq, dk, dv, dy, y, logSumExp, q, k, v };
  enum Attributes { heads, scale };
};

}  // namespace diffuse
