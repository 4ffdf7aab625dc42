// The GPUs that can be simulated: what launches and programs depend on of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace simulator {

struct Profile {
  const char* key;   // as CUDA_SIMULATOR_DEVICES names it
  const char* name;  // as cuDeviceGetName does
  int major, minor;  // compute capability
  int multiprocessors;
  int threads_per_multiprocessor;
  int blocks_per_multiprocessor;
  int shared_bytes_opt_in;  // of one block, after cuFuncSetAttribute
  int shared_bytes_per_multiprocessor;
  int shared_bytes_reserved;  // by the system, of each block
  int l2_bytes;
  int clock_kilohertz, memory_clock_kilohertz, memory_bus_bits;
  size_t memory_bytes;

  // Bytes a second; memory transfers twice a clock.
  double bandwidth() const { return 2.0 * memory_clock_kilohertz * 1e3 * memory_bus_bits / 8; }
};

// The same on every GPU since compute capability 7.5.
constexpr int kThreadsPerBlock = 1024;
constexpr int kRegistersPerBlock = 65536;
constexpr int kRegistersPerThread = 255;
constexpr int kSharedBytes = 48 << 10;  // of one block, without opting in
constexpr int64_t kGridX = 2147483647;
constexpr int64_t kGridYZ = 65535;
constexpr int kBlockZ = 64;

// Null where no profile has this key.
const Profile* find_profile(const std::string& key);
std::string profile_keys();

}  // namespace simulator
