// What the backward pass knows of queries: L and δ.
#pragma once

#include "attention/head.h"

namespace diffuse::cuda {

struct QueryNumbers {
  float log_sum_exp, delta;  // the former to base 2
};

struct HeadQueries {
  const float *log_sum_exp, *delta;
  int32_t positions;

  __device__ __forceinline__ HeadQueries(const AttentionBackwardArguments& arguments, const HeadPlace& place)
      : log_sum_exp(head_numbers(arguments.log_sum_exp, arguments.shape, place)),
        delta(head_numbers<const float>(arguments.delta, arguments.shape, place)),
        positions(arguments.shape.positions) {}

  // Beyond S they make p and dx zero.
  __device__ __forceinline__ QueryNumbers at(int32_t i) const {
    return i < positions ? QueryNumbers{log_sum_exp[i] * kLog2E, delta[i]} : QueryNumbers{INFINITY, 0};
  }
};

}  // namespace diffuse::cuda
