#include "tests/cuda_devices.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "cpu/dispatch.h"
#include "cuda/cuda_device.h"
#include "cuda/devices.h"

namespace diffuse::testing {

namespace {

std::vector<std::shared_ptr<Device>>& open_gpus() {
  static std::vector<std::shared_ptr<Device>> list;
  return list;
}

}  // namespace

std::shared_ptr<Device> open_gpu(int ordinal, bool tf32) {
  return open_cuda_device({ordinal, tf32, cpu_kernels("portable")});
}

std::shared_ptr<Device> shared_gpu(int ordinal) {
  static const size_t count = cuda::report_gpus().gpus.size();
  const auto index = static_cast<size_t>(ordinal);
  // The first is opened even where there is none, for the reason.
  if (index >= count && index > 0) return nullptr;
  open_gpus().resize(std::max(open_gpus().size(), index + 1));
  if (!open_gpus()[index]) open_gpus()[index] = open_gpu(ordinal);
  return open_gpus()[index];
}

void close_shared_gpus() { open_gpus().clear(); }

namespace {

template <typename Function>
void find(const cuda::Driver& driver, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(driver.find(name));
}

}  // namespace

Simulator::Simulator() {
  find(driver_, "simulatorRestart", restart_);
  find(driver_, "simulatorReportLeaks", report_leaks_);
  find(driver_, "simulatorFindings", findings_);
  find(driver_, "simulatorFinding", finding_);
  find(driver_, "simulatorCallCount", call_count_);
}

std::vector<std::string> Simulator::findings() const {
  report_leaks_();
  std::vector<std::string> list;
  for (size_t i = 0; i < findings_(); i++) list.emplace_back(finding_(i));
  return list;
}

void Simulator::restart(const char* variable, const std::string& value) const {
  setenv(variable, value.c_str(), 1);
  restart_();
}

void Simulator::restart(const char* variable) const {
  unsetenv(variable);
  restart_();
}

}  // namespace diffuse::testing
