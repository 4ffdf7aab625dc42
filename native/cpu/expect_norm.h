// What is checked of the statistics and parameters of a group normalisation (ops/group_norm.h).
#pragma once

#include "cpu/expect.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

static inline void expect_groups(const char* kernel, const Tensor& mean, const Tensor& rstd, int64_t N, int64_t C) {
  expect_rank(kernel, "mean", mean, 2, 2);
  const int64_t groups = mean.shape[1];
  expect_shape(kernel, "mean", mean, N, groups);
  expect_same_shape(kernel, "rstd", rstd, mean);
  expect_contiguous(kernel, "mean", mean);
  expect_contiguous(kernel, "rstd", rstd);
  if (C % groups)
    fail("ERR_SHAPE", kernel, "%lld channels cannot be divided into %lld groups", (long long)C, (long long)groups);
}

// gamma and beta [C] with them.
static inline void expect_norm(const char* kernel, const Tensor& mean, const Tensor& rstd, const Tensor& gamma,
                               const Tensor& beta, int64_t N, int64_t C) {
  expect_groups(kernel, mean, rstd, N, C);
  expect_shape(kernel, "gamma", gamma, C);
  expect_shape(kernel, "beta", beta, C);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
