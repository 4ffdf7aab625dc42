// What each kernel is run on: small odd shapes, at least one case a kernel. Only memory and bits are looked at, so the
// numbers need not mean anything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace diffuse::testing {

enum class Values { noise, positive, zeros, bytes, indices };

struct TensorCase {
  std::vector<int64_t> shape;  // empty: the optional tensor is absent
  Values values = Values::noise;
  bool may_be_view = true;  // also run as a slice of a wider tensor
  int limit = 0;            // of indices
};

struct KernelCase {
  std::string kernel;
  std::vector<TensorCase> tensors;
  std::vector<double> attributes;
  DType images = DType::f32;  // the format of tensors that the signature marks as images
};

const std::vector<KernelCase>& kernel_cases();

}  // namespace diffuse::testing
