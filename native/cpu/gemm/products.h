// Sums of products, by the unit that the CPU has for them: convolutions that no other algorithm computes, linear maps.
#pragma once

#include "cpu/gemm/matrix_convolution.h"
#include "cpu/gemm/matrix_reduction.h"
#include "cpu/gemm/tap_convolution.h"
#include "cpu/gemm/weight_gradient.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Whether images of T are multiplied by a matrix unit.
template <typename T>
constexpr bool kOnMatrixUnit = kMatrixUnit && sizeof(T) == sizeof(bf16);

template <typename T>
static size_t product_scratch(const Call& call, const TapConvolution<T>& t) {
  if constexpr (kOnMatrixUnit<T>)
    return matrix_convolution_scratch(call, t);
  else
    return tap_convolution_scratch(call, t);
}

template <typename T>
static void run_product(const Call& call, const TapConvolution<T>& t) {
  if constexpr (kOnMatrixUnit<T>) {
    matrix_convolution(call, t);
  } else {
    tap_convolution(call, t);
    if (!adds_only(t.y.finish)) finish_outputs(call, t.y);
  }
}

template <typename T>
static size_t reduction_scratch(const Call& call, const WeightGradient<T>& w) {
  if constexpr (kOnMatrixUnit<T>)
    return matrix_reduction_scratch(call, w);
  else
    return weight_gradient_scratch(call, w);
}

template <typename T>
static void run_reduction(const Call& call, const WeightGradient<T>& w) {
  if constexpr (kOnMatrixUnit<T>)
    matrix_reduction(call, w);
  else
    weight_gradient(call, w);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
