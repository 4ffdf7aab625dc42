// What the host's code of the witnesses names of PyTorch, so that their files compile where it is not installed. None
// of it is run.
#pragma once

#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace torch {

enum Dtype { kHalf, kFloat, kFloat32, kBFloat16, kInt32 };
enum Place { kCUDA };
struct Device {
  Device(Place) {}
};
struct Options {
  Dtype dtype() const { return kHalf; }
  Options dtype(Dtype) const { return {}; }
  Options device(Place, int = 0) const { return {}; }
};
inline std::ostream& operator<<(std::ostream& stream, Options) { return stream; }
struct Tensor {
  template <typename Element>
  Element* data_ptr() const {
    return nullptr;
  }
  void* data_ptr() const { return nullptr; }
  int64_t size(int) const { return 0; }
  Options options() const { return {}; }
  Tensor to(const Device&) const { return {}; }
};
template <typename... Arguments>
Tensor zeros(std::initializer_list<int64_t>, Arguments&&...) {
  return {};
}
template <typename... Arguments>
Tensor full(std::initializer_list<int64_t>, Arguments&&...) {
  return {};
}
inline Tensor zeros_like(const Tensor&) { return {}; }

}  // namespace torch

struct Module {
  template <typename... Arguments>
  void def(Arguments&&...) {}
};
#define TORCH_EXTENSION_NAME witness
#define PYBIND11_MODULE(name, module) void witness_module(Module& module)
