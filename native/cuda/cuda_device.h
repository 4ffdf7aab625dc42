// The CUDA backend: an NVIDIA GPU, by its driver alone.
#pragma once

#include <memory>

#include "engine/device.h"

namespace diffuse {

struct CudaOptions {
  int ordinal = 0;
  bool tf32 = false;  // float32 images may be multiplied as tf32
  // The table of the portable CPU kernels: their prepare() checks every call, so that backends refuse the same calls in
  // the same words.
  const Kernel* checks = nullptr;
};

// Throws ERR_DEVICE with a sentence that says what is missing.
std::shared_ptr<Device> open_cuda_device(const CudaOptions& options);

}  // namespace diffuse
