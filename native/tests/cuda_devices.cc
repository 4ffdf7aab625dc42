#include "tests/cuda_devices.h"

#include <algorithm>
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

}  // namespace diffuse::testing
