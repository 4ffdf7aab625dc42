// The GPUs that tests run on: real ones, or those of the simulator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/driver.h"
#include "engine/device.h"

namespace diffuse::testing {

// A GPU that stays open for later tests; null where there are fewer.
std::shared_ptr<Device> shared_gpu(int ordinal);
// Closes them: after an error a device takes no more calls.
void close_shared_gpus();

// A GPU of the test's own.
std::shared_ptr<Device> open_gpu(int ordinal = 0, bool tf32 = false);

// The simulator of GPUs, if it is what the tests run on (cuda/simulator/driver/control.h).
class Simulator {
 public:
  Simulator();
  explicit operator bool() const { return restart_ != nullptr; }
  // What it has found since the last restart, what has not been given back by now included.
  std::vector<std::string> findings() const;
  // Calls of the driver since then.
  uint64_t calls() const { return call_count_(); }
  // As if the process had just begun, with this variable set; every GPU must be closed.
  void restart(const char* variable, const std::string& value) const;
  // The same with the variable as it was.
  void restart(const char* variable) const;

 private:
  cuda::Driver driver_;
  void (*restart_)();
  void (*report_leaks_)();
  size_t (*findings_)();
  const char* (*finding_)(size_t);
  uint64_t (*call_count_)();
};

}  // namespace diffuse::testing
