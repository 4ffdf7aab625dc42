// The GPUs that the driver shows.
#pragma once

#include <string>
#include <vector>

#include "cuda/driver.h"
#include "cuda/image_folder.h"
#include "cuda/kernel.h"

namespace diffuse::cuda {

struct Gpu {
  int ordinal = 0;
  int handle = 0;  // CUdevice
  std::string name;
  size_t memory_bytes = 0;
  Limits limits{};
  std::string refusal;  // why it cannot be used; empty where it can

  // "sm_80"
  std::string architecture() const;
};

// All of them, usable or not. Throws ERR_DEVICE.
std::vector<Gpu> list_gpus(const Driver& driver);

// The usable GPU of that number. Throws ERR_DEVICE, naming those that there are.
Gpu find_gpu(const Driver& driver, int ordinal);

// What `cudaDevices` tells the user; never throws. Without a driver, a GPU or kernels for it: the reason why.
struct GpuReport {
  std::string driver_version, reason;
  std::vector<Gpu> gpus;
  ImageFolder images;
};
GpuReport report_gpus();

}  // namespace diffuse::cuda
