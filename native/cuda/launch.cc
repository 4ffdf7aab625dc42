#include "cuda/launch.h"

#include <cstring>

#include "engine/signature.h"

namespace diffuse::cuda {

namespace {

// Some hundred calls.
constexpr size_t kBlockAttributes = 8192;
// What the driver takes in any dimension of a grid.
constexpr int64_t kLargestGridX = 2147483647, kLargestGridYZ = 65535;

}  // namespace

AttributeBlock::AttributeBlock(const Context& context)
    : context_(context),
      host_(context.pinned_memory(kBlockAttributes * sizeof(double))),
      device_(context.device_memory(kBlockAttributes * sizeof(double))) {}

const double* AttributeBlock::place(const double* attributes, size_t count) {
  if (used_ + count > kBlockAttributes) {
    context_.driver.cuStreamSynchronize(context_.stream());
    used_ = 0;
  }
  double* host = static_cast<double*>(host_.get()) + used_;
  const DevicePointer device = device_.get() + used_ * sizeof(double);
  std::memcpy(host, attributes, count * sizeof(double));
  context_.driver.cuMemcpyHtoDAsync(device, host, count * sizeof(double), context_.stream());
  used_ += count;
  return reinterpret_cast<const double*>(device);
}

const double* CallLauncher::attributes() {
  const size_t count = signatures()[static_cast<size_t>(kernel_)].attributes.size();
  if (!device_attributes_ && count > 0) device_attributes_ = resources_.attributes.place(call_.attributes, count);
  return device_attributes_;
}

void StreamLauncher::zero(void* device_memory, size_t bytes) {
  const Context& context = resources_.context;
  context.driver.cuMemsetD8Async(reinterpret_cast<DevicePointer>(device_memory), 0, bytes, context.stream());
}

void StreamLauncher::launch_bytes(const char* image, const char* name, Grid grid, int threads, const void* arguments,
                                  size_t, size_t shared_bytes) {
  const Context& context = resources_.context;
  Entry& entry = resources_.images.entry(image, name);
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > kLargestGridX || grid.y > kLargestGridYZ ||
      grid.z > kLargestGridYZ)
    throw Error("ERR_SHAPE", std::string(name) + ": tensors of this size take a grid of " + std::to_string(grid.x) +
                                 " x " + std::to_string(grid.y) + " x " + std::to_string(grid.z) +
                                 " blocks, which no GPU runs");
  try {
    if (shared_bytes > entry.shared_bytes) {
      context.driver.cuFuncSetAttribute(entry.function, kDynamicSharedBytes, static_cast<int>(shared_bytes));
      entry.shared_bytes = shared_bytes;
    }
    void* parameters[] = {const_cast<void*>(arguments)};
    context.driver.cuLaunchKernel(entry.function, static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                                  static_cast<unsigned>(grid.z), static_cast<unsigned>(threads), 1, 1,
                                  static_cast<unsigned>(shared_bytes), context.stream(), parameters, nullptr);
  } catch (const DriverError& error) {
    throw DriverError(error.code, std::string(name) + ": " + error.message, error.result);
  }
}

void LaunchFingerprint::add(const void* bytes, size_t count) {
  // FNV-1a
  for (size_t i = 0; i < count; i++) hash_ = (hash_ ^ static_cast<const uint8_t*>(bytes)[i]) * 0x100000001b3;
}

void LaunchFingerprint::zero(void* device_memory, size_t bytes) {
  add(device_memory);
  add(bytes);
}

void LaunchFingerprint::launch_bytes(const char* image, const char* entry, Grid grid, int threads,
                                     const void* arguments, size_t argument_bytes, size_t shared_bytes) {
  add(image, std::strlen(image));
  add(entry, std::strlen(entry));
  add(grid);
  add(threads);
  add(shared_bytes);
  add(arguments, argument_bytes);
}

}  // namespace diffuse::cuda
