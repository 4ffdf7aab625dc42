// The kernels' signatures of ops/kernels.def, taken apart.
#pragma once

#include <string>
#include <vector>

#include "engine/tensor.h"

namespace diffuse {

struct TensorSpec {
  std::string name;
  bool output = false, optional = false;
  bool any_dtype = false;
  bool image = false;  // float32 or bf16, as all images of the call
  DType dtype = DType::f32;
};

struct Signature {
  std::string kernel;
  std::string text;
  bool uninterruptible = false;
  std::vector<TensorSpec> tensors;
  std::vector<std::string> attributes;
};

// In the order of ops/kernels.def, which is the order of every backend's kernel table.
const std::vector<Signature>& signatures();

}  // namespace diffuse
