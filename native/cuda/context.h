// A GPU that is held open: its context and its streams.
#pragma once

#include <mutex>
#include <utility>

#include "cuda/devices.h"
#include "cuda/driver.h"

namespace diffuse::cuda {

// Something of the driver's that is given back at the end, whatever comes of it.
template <typename Handle>
class Owned {
 public:
  Owned() = default;
  Owned(const DriverFunction<Handle>& release, Handle handle) : release_(&release), handle_(handle) {}
  Owned(Owned&& other) noexcept : release_(std::exchange(other.release_, nullptr)), handle_(other.handle_) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(release_, other.release_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (release_) release_->result(handle_);
  }
  Handle get() const { return handle_; }

 private:
  const DriverFunction<Handle>* release_ = nullptr;
  Handle handle_{};
};

class Context {
 public:
  // Throws ERR_DEVICE.
  explicit Context(int ordinal);
  ~Context();

  // Makes this thread talk to the GPU; before anything below is used.
  void enter() const { driver.cuCtxSetCurrent(handle_); }
  // The same where an error would help nobody.
  void try_enter() const { driver.cuCtxSetCurrent.result(handle_); }

  // Memory and events; what they are made of lives as long as the context.
  Owned<DevicePointer> device_memory(size_t bytes) const;
  Owned<void*> pinned_memory(size_t bytes) const;
  Owned<EventHandle> event(Flag flags) const;

  const Driver driver;
  const Gpu gpu;

 private:
  Owned<int> retained_;
  ContextHandle handle_ = nullptr;
  Owned<StreamHandle> stream_, memory_stream_;

 public:
  // On which everything is computed, in the order of the calls.
  StreamHandle stream() const { return stream_.get(); }
  // On which new memory is cleared, since that need not wait for what is being computed.
  StreamHandle memory_stream() const { return memory_stream_.get(); }
  // Held while launches are captured: a stream must not be waited for meanwhile.
  mutable std::mutex capturing;
};

}  // namespace diffuse::cuda
