// Tensors as CUDA kernels take them. Included by the host (C++) and by kernels (cuda/ops/*.cu): plain structs, whose
// layout both compilers agree on.
#pragma once

#include <cstdint>

namespace diffuse::cuda {

// A tensor as rows of channels (engine/tensor.h); data is null where an optional tensor is absent.
struct View {
  void* data;
  int64_t rows;
  int64_t row_stride;  // in elements
  int32_t channels;
  // The most elements that every row's address and the count of channels are a multiple of: 1, 2, 4 or 8. Kernels load
  // and store so many at once. 8 where the tensor is absent, so that it does not matter to those that look at several.
  int32_t alignment;
};

// What a kernel finds wrong with its data (a label out of range): the first of them becomes an ERR_ARGUMENT when the
// host next waits for the device. code is 0 as long as nothing is wrong; what else it means, each kernel says.
struct Failure {
  int32_t code;
  int32_t kernel;  // index into ops/kernels.def
  double value, limit;
  double where;  // the sample, row or attribute it was found in
};

}  // namespace diffuse::cuda
