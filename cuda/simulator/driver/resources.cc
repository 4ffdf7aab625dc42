#include "driver/resources.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace simulator::driver {

// A warp's registers are given out 256 at once.
constexpr int kRegisterUnit = 256, kWarp = 32;

static int warp_registers(int registers) {
  return (std::max(registers, 1) * kWarp + kRegisterUnit - 1) / kRegisterUnit * kRegisterUnit;
}

// 0 if the file does not tell of this kernel on such a device.
static int reported_registers(const std::string& kernel, const Profile& profile, const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  size_t at = text.find("\"" + kernel + "\":");
  for (const std::string& key :
       {"\"sm_" + std::to_string(profile.major * 10 + profile.minor) + "\":", std::string("\"registers\":")}) {
    if (at != std::string::npos) at = text.find(key, at);
    if (at != std::string::npos) at += key.size();
  }
  return at == std::string::npos ? 0 : std::atoi(text.c_str() + at);
}

int registers_of(const ptx::Kernel& kernel, const Profile& profile, const std::string& path) {
  const int reported = path.empty() ? 0 : reported_registers(kernel.name, profile, path);
  if (reported) return reported;
  // ptxas keeps within the block that .maxntid promises, and spills rather than take more.
  const int64_t promised = static_cast<int64_t>(kernel.thread_limit());
  const int most = promised
                       ? static_cast<int>(std::min<int64_t>(kRegistersPerThread, kRegistersPerBlock / promised / 8 * 8))
                       : kRegistersPerBlock / kThreadsPerBlock;
  return std::min(kernel.registers, most);
}

int threads_by_registers(int registers) {
  return std::min(kRegistersPerBlock / warp_registers(registers) * kWarp, kThreadsPerBlock);
}

int resident_blocks(const Profile& profile, int registers, size_t shared_bytes, int threads) {
  const int warps = (threads + kWarp - 1) / kWarp;
  const int by_threads = profile.threads_per_multiprocessor / (warps * kWarp);
  const int by_registers = kRegistersPerBlock / (warp_registers(registers) * warps);
  const size_t shared = shared_bytes + profile.shared_bytes_reserved;
  const int by_shared = shared ? static_cast<int>(profile.shared_bytes_per_multiprocessor / shared) : by_threads;
  return std::min({by_threads, by_registers, by_shared, profile.blocks_per_multiprocessor});
}

}  // namespace simulator::driver
