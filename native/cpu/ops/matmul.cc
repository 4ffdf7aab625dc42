// Matrix product on the CPU (ops/matmul.h).
#include "ops/matmul.h"

#include "cpu/expect.h"
#include "cpu/gemm/tap_convolution.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

TapConvolution<float> plan(const Matmul& m) {
  return product<float>(m.c.shape[0], m.c.shape[1], m.a.shape[m.transpose_a ? 0 : 1],
                        {f32(m.a), m.a.row_stride, m.transpose_a}, {f32(m.b), m.b.row_stride, m.transpose_b},
                        {f32(m.c), m.c.row_stride});
}

}  // namespace

size_t matmul_prepare(const Call& call) {
  const Matmul m = matmul_args(call);
  expect_rank("matmul", "c", m.c, 2, 2);
  expect_rank("matmul", "a", m.a, 2, 2);
  const int64_t M = m.c.shape[0], N = m.c.shape[1], K = m.a.shape[m.transpose_a ? 0 : 1];
  expect_shape("matmul", "a", m.a, m.transpose_a ? K : M, m.transpose_a ? M : K);
  expect_shape("matmul", "b", m.b, m.transpose_b ? N : K, m.transpose_b ? K : N);
  return tap_convolution_scratch(call, plan(m));
}

void matmul(const Call& call) { tap_convolution(call, plan(matmul_args(call))); }

}  // namespace diffuse::DIFFUSE_ISA
