// Matrix product.
//
//   c [M, N] = op(a) op(b), float32, slices of columns allowed
//   op(a)    a is [M, K], or [K, M] with transposeA = 1
//   op(b)    b is [K, N], or [N, K] with transposeB = 1
//
// Attributes: transposeA, transposeB (0 or 1).
#pragma once

#include "engine/kernel.h"

namespace diffuse {

struct Matmul {
  const Tensor &c, &a, &b;
  bool transpose_a, transpose_b;
};
static inline Matmul matmul_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], call.attributes[0] != 0, call.attributes[1] != 0};
}

}  // namespace diffuse
