// How a call's kernels get onto the stream.
#pragma once

#include <cstdint>

#include "cuda/context.h"
#include "cuda/failures.h"
#include "cuda/images.h"
#include "cuda/kernel.h"

namespace diffuse::cuda {

// Attributes of calls on their way to the device, one behind the other in a block that is begun anew when everything
// has been computed. Used on the executor's thread only.
class AttributeBlock {
 public:
  explicit AttributeBlock(const Context& context);
  // Copies them to the device, for what is launched afterwards.
  const double* place(const double* attributes, size_t count);
  void restart() { used_ = 0; }

 private:
  const Context& context_;
  Owned<void*> host_;
  Owned<DevicePointer> device_;
  size_t used_ = 0;
};

// What all calls share.
struct LaunchResources {
  explicit LaunchResources(const Context& context)
      : context(context), images(context), attributes(context), failures(context) {}
  const Context& context;
  Images images;
  AttributeBlock attributes;
  FailureBuffer failures;
  bool tf32 = false;
};

// Everything but the launches themselves.
class CallLauncher : public Launcher {
 public:
  // device_attributes: where they are already; null where nobody has copied them.
  CallLauncher(LaunchResources& resources, int kernel, const Call& call, const double* device_attributes)
      : resources_(resources), kernel_(kernel), call_(call), device_attributes_(device_attributes) {}

  const double* attributes() override;
  Failure* failure() override { return resources_.failures.device(); }
  std::byte* scratch() override { return call_.scratch; }
  const Limits& limits() const override { return resources_.context.gpu.limits; }
  int kernel() const override { return kernel_; }
  bool tf32() const override { return resources_.tf32; }

 protected:
  LaunchResources& resources_;

 private:
  int kernel_;
  const Call& call_;
  const double* device_attributes_;
};

// Puts them on the stream.
class StreamLauncher final : public CallLauncher {
 public:
  using CallLauncher::CallLauncher;
  void zero(void* device_memory, size_t bytes) override;

 protected:
  void launch_bytes(const char* image, const char* entry, Grid grid, int threads, const void* arguments,
                    size_t argument_bytes, size_t shared_bytes) override;
};

// Launches nothing: a number that differs where anything of the launches does.
class LaunchFingerprint final : public CallLauncher {
 public:
  using CallLauncher::CallLauncher;
  uint64_t value() const { return hash_; }
  void zero(void* device_memory, size_t bytes) override;

 protected:
  void launch_bytes(const char* image, const char* entry, Grid grid, int threads, const void* arguments,
                    size_t argument_bytes, size_t shared_bytes) override;

 private:
  void add(const void* bytes, size_t count);
  template <typename Value>
  void add(const Value& value) {
    add(&value, sizeof value);
  }
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace diffuse::cuda
