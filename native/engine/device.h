// What a backend is: memory, kernels, and one thread of its own that runs jobs in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

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
  // Ready when the thread has done its last, which may be to take down the device itself.
  const std::shared_future<void>& ended() const { return ended_; }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> jobs;
    bool stopping = false;
    std::promise<void> ended;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::shared_future<void> ended_ = state_->ended.get_future();
  std::thread thread_;
};

// Measures calls of a program, one after the other.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  // Of each call; waits for them.
  virtual std::vector<double> milliseconds() = 0;
};

// A call as Device::record() takes it. What it points to lives as long as the recording.
struct RecordedCall {
  int kernel;
  Call call;
  bool varies;  // its attributes may be others at each replay
};

// Calls that a device has made ready to be launched as one.
class Recording {
 public:
  virtual ~Recording() = default;
  // Launches them with the attributes as they are now. False, and nothing has happened: with these attributes the calls
  // must be launched one by one.
  virtual bool replay() = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;
  virtual int threads() const = 0;

  // Bytes of its memory that are free; nothing where that is the system's.
  virtual std::optional<size_t> available_bytes() { return std::nullopt; }
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
  // Runs a call, or puts it behind those that the device has been given before: then it returns early, and what the
  // call points to may change meanwhile, but for tensors and scratch. Called on the executor's thread only. Once
  // *cancelled reads true the kernel may stop halfway, unless `cancelled` is null.
  virtual void launch(int kernel, Call& call, const std::atomic<bool>* cancelled) = 0;
  // Waits for what has been launched. Throws what a kernel found wrong with its data (ERR_ARGUMENT), if that was not
  // known when it was launched.
  virtual void synchronise() {}
  // The same for a run that has failed already: nothing more is said.
  virtual void abandon() noexcept {}
  // Makes calls ready to be launched as one; null where the device does not do that. `attributes`, `count` numbers, are
  // those of all calls: each call's lie among them.
  virtual std::unique_ptr<Recording> record(const std::vector<RecordedCall>& calls, const double* attributes,
                                            size_t count);
  virtual std::unique_ptr<Stopwatch> stopwatch(size_t calls);

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
