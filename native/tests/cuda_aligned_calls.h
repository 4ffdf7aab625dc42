// Calls of every kernel but convolutions on tensors that are aligned to 128 bits, as those of networks are, of images
// in either format where there are two: what their traffic is measured on.
#pragma once

#include <vector>

#include "tests/cuda_calls.h"

namespace diffuse::testing {

// Random numbers as an image stores them.
Numbers image(std::vector<int64_t> shape, uint64_t seed, DType dtype = DType::bf16);
// What a kernel writes.
Numbers empty_image(std::vector<int64_t> shape, DType dtype = DType::bf16);

std::vector<KernelCall> aligned_calls();

}  // namespace diffuse::testing
