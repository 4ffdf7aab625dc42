// What each kernel is run on: small odd shapes, at least one case a kernel. Only memory and bits are looked at, so the
// numbers need not mean anything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace diffuse::testing {

enum class Values { noise, positive, zeros, bytes, indices };

// How numbers are stored; rounded: as float32 that bf16 holds too.
enum class Format { f32, bf16, rounded };

struct TensorCase {
  std::vector<int64_t> shape;  // empty: the optional tensor is absent
  Values values = Values::noise;
  bool may_be_view = true;  // also run as a slice of a wider tensor
  int limit = 0;            // of indices
  Format format = Format::f32;
};

struct KernelCase {
  std::string kernel;
  std::vector<TensorCase> tensors;
  std::vector<double> attributes;
  bool of_views = false;  // contiguous it is like others
};

// Of kernels that take images there is each case in both formats.
const std::vector<KernelCase>& kernel_cases();

bool has_bf16(const KernelCase& c);

// The case with all its images in a format.
KernelCase with_images(KernelCase c, Format format);

// Instruction sets to be tested: all that this CPU has, in a quick run the best one alone.
std::vector<std::string> tested_isas();

}  // namespace diffuse::testing
