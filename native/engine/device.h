// What a backend is: memory, kernels, and one thread of its own that runs jobs in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "engine/file_order.h"
#include "engine/kernel.h"

namespace diffuse {

// Runs jobs one after the other on a thread of its own.
class Executor {
 public:
  Executor();
  // Drops the jobs that have not begun and waits for the one that runs.
  ~Executor();
  void submit(std::function<void()> job);
  void stop();

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> jobs;
    bool stopping = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::thread thread_;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;
  virtual int threads() const = 0;

  // Zeroed device memory, aligned to at least 64 bytes. Throws ERR_OUT_OF_MEMORY.
  virtual std::byte* allocate(size_t bytes) = 0;
  virtual void release(std::byte* memory, size_t bytes) = 0;
  // Copy between host and device. With an order (float32 only) the elements are in the file's order on the host.
  virtual void upload(std::byte* to, const void* from, size_t bytes, const FileOrder* order = nullptr) = 0;
  // Copies `bytes` of an open file, from `position` on, to the device. Throws ERR_CHECKPOINT.
  virtual void upload_file(std::byte* to, int file, size_t position, size_t bytes, const FileOrder* order) = 0;
  virtual void download(void* to, const std::byte* from, size_t bytes, const FileOrder* order = nullptr) = 0;

  // Checks a call and returns its scratch bytes. `kernel` is an index into ops/kernels.def.
  virtual size_t prepare(int kernel, Call& call) = 0;
  // Runs a call to its end. Called on the executor's thread only. Once *cancelled reads true the kernel may stop
  // halfway, unless `cancelled` is null.
  virtual void launch(int kernel, Call& call, const std::atomic<bool>* cancelled) = 0;

  // The thread on which everything above but prepare() happens.
  Executor& executor() { return executor_; }

 private:
  Executor executor_;
};

// Device memory with an owner.
class Memory {
 public:
  Memory(std::shared_ptr<Device> device, size_t bytes)
      : device_(std::move(device)), bytes_(bytes), data_(device_->allocate(bytes)) {}
  ~Memory() { device_->release(data_, bytes_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device& device() const { return *device_; }

 private:
  std::shared_ptr<Device> device_;
  size_t bytes_;
  std::byte* data_;
};

}  // namespace diffuse
