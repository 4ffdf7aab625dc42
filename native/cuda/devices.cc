#include "cuda/devices.h"

namespace diffuse::cuda {

namespace {

Gpu describe_gpu(const Driver& driver, int ordinal) {
  Gpu gpu;
  gpu.ordinal = ordinal;
  driver.cuDeviceGet(&gpu.handle, ordinal);
  char name[256] = "";
  driver.cuDeviceGetName(name, sizeof name, gpu.handle);
  gpu.name = name;
  driver.cuDeviceTotalMem(&gpu.memory_bytes, gpu.handle);
  const auto attribute = [&](DeviceAttribute which) {
    int value = 0;
    driver.cuDeviceGetAttribute(&value, which, gpu.handle);
    return value;
  };
  gpu.limits.multiprocessors = attribute(kMultiprocessorCount);
  gpu.limits.threads_per_multiprocessor = attribute(kThreadsPerMultiprocessor);
  gpu.limits.major = attribute(kComputeCapabilityMajor);
  gpu.limits.minor = attribute(kComputeCapabilityMinor);
  gpu.limits.shared_bytes = static_cast<size_t>(attribute(kSharedBytesPerBlockOptIn));
  gpu.limits.shared_bytes_per_multiprocessor = static_cast<size_t>(attribute(kSharedBytesPerMultiprocessor));
  // Turing and older have no asynchronous copies to shared memory, and images hold no code for them.
  if (gpu.limits.major < 8)
    gpu.refusal = gpu.name + " has compute capability " + std::to_string(gpu.limits.major) + "." +
                  std::to_string(gpu.limits.minor) + "; 8.0 or newer is needed (Ampere, 2020)";
  return gpu;
}

}  // namespace

std::string Gpu::architecture() const { return "sm_" + std::to_string(limits.major) + std::to_string(limits.minor); }

std::vector<Gpu> list_gpus(const Driver& driver) {
  int count = 0;
  driver.cuDeviceGetCount(&count);
  std::vector<Gpu> gpus;
  for (int ordinal = 0; ordinal < count; ordinal++) gpus.push_back(describe_gpu(driver, ordinal));
  return gpus;
}

Gpu find_gpu(const Driver& driver, int ordinal) {
  std::vector<Gpu> gpus = list_gpus(driver);
  if (gpus.empty()) throw Error("ERR_DEVICE", "the NVIDIA driver finds no GPU");
  if (ordinal < 0 || ordinal >= static_cast<int>(gpus.size())) {
    std::string names;
    for (const Gpu& gpu : gpus)
      names += (names.empty() ? "cuda:" : ", cuda:") + std::to_string(gpu.ordinal) + " " + gpu.name;
    throw Error("ERR_DEVICE", "there is no cuda:" + std::to_string(ordinal) + "; available: " + names);
  }
  Gpu gpu = std::move(gpus[static_cast<size_t>(ordinal)]);
  if (!gpu.refusal.empty()) throw Error("ERR_DEVICE", "cuda:" + std::to_string(ordinal) + ": " + gpu.refusal);
  return gpu;
}

GpuReport report_gpus() {
  GpuReport report;
  report.images = find_images();
  try {
    const Driver driver;
    report.driver_version = driver.version();
    report.gpus = list_gpus(driver);
    report.reason = report.gpus.empty() ? "the NVIDIA driver finds no GPU" : report.images.reason;
  } catch (const Error& error) {
    report.reason = error.message;
  }
  return report;
}

}  // namespace diffuse::cuda
