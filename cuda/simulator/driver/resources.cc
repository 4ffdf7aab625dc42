#include "driver/resources.h"

#include <algorithm>
#include <fstream>
#include <regex>

namespace simulator::driver {

// A warp's registers are given out 256 at once.
constexpr int kRegisterUnit = 256, kWarp = 32;

static int warp_registers(int registers) {
  return (std::max(registers, 1) * kWarp + kRegisterUnit - 1) / kRegisterUnit * kRegisterUnit;
}

// 0 if the report does not tell of this kernel on such a device.
static int reported_registers(const std::string& kernel, const Profile& profile, const std::string& report) {
  static const std::regex compiling("Compiling entry function '([^']+)' for 'sm_([0-9]+)");
  static const std::regex used("Used ([0-9]+) registers");
  std::ifstream file(report);
  bool here = false;
  std::smatch found;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_search(line, found, compiling)) {
      here = found[1] == kernel && std::stoi(found[2]) == profile.major * 10 + profile.minor;
    } else if (here && std::regex_search(line, found, used)) {
      return std::stoi(found[1]);
    }
  }
  return 0;
}

int registers_of(const ptx::Kernel& kernel, const Profile& profile, const std::string& report) {
  const int reported = report.empty() ? 0 : reported_registers(kernel.name, profile, report);
  if (reported) return reported;
  // ptxas keeps within the block that .maxntid promises, and spills rather than take more.
  const int64_t promised = static_cast<int64_t>(kernel.thread_limit());
  const int most = promised ? static_cast<int>(std::min<int64_t>(kRegistersPerThread, kRegistersPerBlock / promised / 8 * 8))
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
