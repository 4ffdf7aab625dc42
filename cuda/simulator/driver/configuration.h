// What the environment variables CUDA_SIMULATOR_* say (../README.md has the table).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "driver/cuda.h"
#include "profiles/profiles.h"

namespace simulator::driver {

// A call that fails once, without being executed.
struct Injection {
  std::string call;  // empty: any call
  uint64_t at = 0;   // the first is 1; 0 means never
  CUresult error = CUDA_ERROR_UNKNOWN;
};

struct Configuration {
  std::vector<const Profile*> devices;
  size_t memory_bytes = 0;  // of each device; 0 means the profile's
  uint64_t seed = 0;
  uint32_t resident_blocks = 4;
  uint64_t budget = uint64_t{1} << 36;
  // Kernels compute, copies and fills change memory.
  bool execute = true;
  bool checks = true;
  bool noise = false;
  int driver_version = CUDA_VERSION;
  CUresult init_error = CUDA_SUCCESS;
  Injection any_call, named_call;
  std::string report, traffic, log, resources;
  // What is wrong with the variables; cuInit fails with it.
  std::string problem;
};

Configuration read_configuration();

}  // namespace simulator::driver
