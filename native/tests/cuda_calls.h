// Calls of kernels on given numbers: what the GPU computes, and what it refuses, is held against the CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace diffuse::testing {

// A tensor of given numbers; of none where the kernel writes them, or where it is absent and has no shape.
struct Numbers {
  std::vector<int64_t> shape = {};
  std::vector<double> values = {};
  DType dtype = DType::f32;
};
Numbers integers(std::vector<int64_t> shape, std::vector<double> values);
// As many numbers as a shape has, by their index.
Numbers generate(std::vector<int64_t> shape, const std::function<double(int64_t)>& number, DType dtype = DType::f32);
Numbers noise(std::vector<int64_t> shape, uint64_t seed, double low = -2, double high = 2);

struct KernelCall {
  std::string kernel;
  std::vector<Numbers> tensors;
  std::vector<double> attributes;
  bool tf32 = false;  // on a GPU that multiplies float32 images as tf32
};

// What the portable CPU kernel writes, tensor by tensor.
std::vector<std::vector<float>> outputs_on_cpu(const KernelCall& c);
// Where `tolerance` is 0 the bits must be equal; else differences are of the largest number. Tensors lie `displacement`
// elements behind an aligned address.
void expect_as_on_cpu(const KernelCall& c, const std::string& what, double tolerance, int64_t displacement = 0);
// Both fail, in the same words.
void expect_refused_as_on_cpu(const KernelCall& c);

}  // namespace diffuse::testing
