#include "cuda/cuda_device.h"

#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/recording.h"
#include "cuda/staging.h"
#include "cuda/stopwatch.h"
#include "cuda/table.h"
#include "engine/read_file.h"
#include "engine/workers.h"

namespace diffuse {

namespace {

using namespace cuda;

DevicePointer address(const void* memory) { return reinterpret_cast<DevicePointer>(memory); }

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const CudaOptions& options)
      : checks_(options.checks),
        context_(options.ordinal),
        memory_(context_),
        staging_(context_),
        resources_(context_) {
    resources_.tf32 = options.tf32;
  }
  ~CudaDevice() override {
    executor().stop();
    context_.try_enter();
    context_.driver.cuStreamSynchronize.result(context_.stream());
  }

  std::string name() const override {
    return label() + " " + context_.gpu.name + " (" + context_.gpu.architecture() + ")";
  }
  int threads() const override { return context_.gpu.limits.multiprocessors; }

  std::optional<size_t> available_bytes() override {
    return use([&] {
      size_t available = 0, all = 0;
      context_.driver.cuMemGetInfo(&available, &all);
      return available;
    });
  }
  std::byte* allocate(size_t bytes) override {
    return use([&] { return reinterpret_cast<std::byte*>(memory_.allocate(bytes)); });
  }
  void release(std::byte* memory, size_t) override {
    // Of a closed device too.
    context_.try_enter();
    memory_.release(address(memory));
  }

  void upload(std::byte* to, const void* from, size_t bytes, const FileOrder* order) override {
    if (order) {
      std::vector<float> ordered(order->count());
      for (size_t block = 0; block < order->blocks(); block++)
        from_file_order(ordered.data(), static_cast<const float*>(from) + order->block_offset(block), *order, block);
      upload(to, ordered.data(), bytes, nullptr);
      return;
    }
    work([&] {
      staging_.upload(address(to), bytes, [&](std::byte* chunk, size_t offset, size_t count) {
        std::memcpy(chunk, static_cast<const std::byte*>(from) + offset, count);
      });
    });
  }
  void upload_file(std::byte* to, int file, size_t position, size_t bytes, const FileOrder* order) override {
    if (order) {
      std::vector<float> given(order->count());
      read_file(reinterpret_cast<std::byte*>(given.data()), file, position, bytes);
      upload(to, given.data(), bytes, order);
      return;
    }
    work([&] {
      staging_.upload(address(to), bytes, [&](std::byte* chunk, size_t offset, size_t count) {
        read_file(chunk, file, position + offset, count);
      });
    });
  }
  void download(void* to, const std::byte* from, size_t bytes, const FileOrder* order) override {
    if (order) {
      std::vector<float> ordered(order->count());
      download(ordered.data(), from, bytes, nullptr);
      for (size_t block = 0; block < order->blocks(); block++)
        to_file_order(static_cast<float*>(to) + order->block_offset(block), ordered.data(), *order, block);
      return;
    }
    work([&] { staging_.download(static_cast<std::byte*>(to), address(from), bytes); });
    synchronise();
  }

  size_t prepare(int kernel, Call& call) override {
    // How the CPU would compute it is nobody's question.
    Call check = call;
    check.workers = &nobody_;
    check.plan = nullptr;
    checks_[kernel].prepare(check);
    return cuda::kernel(kernel).scratch(call, context_.gpu.limits);
  }
  void launch(int kernel, Call& call, const std::atomic<bool>*) override {
    work([&] {
      StreamLauncher launcher(resources_, kernel, call, nullptr);
      cuda::kernel(kernel).run(call, launcher);
    });
  }

  void synchronise() override {
    use([&] {
      resources_.failures.fetch();
      context_.driver.cuStreamSynchronize(context_.stream());
      memory_.end_work();
      resources_.attributes.restart();
      if (const std::optional<Failure> failure = resources_.failures.take()) throw explain(*failure);
    });
  }
  void abandon() noexcept override {
    try {
      synchronise();
    } catch (const Error&) {
      // The run has failed by an error of its own.
    }
  }

  std::unique_ptr<Recording> record(const std::vector<RecordedCall>& calls, const double* attributes,
                                    size_t count) override;
  std::unique_ptr<Stopwatch> stopwatch(size_t calls) override;

 private:
  class Replay;
  class Times;

  std::string label() const { return "cuda:" + std::to_string(context_.gpu.ordinal); }

  // Runs `body` with the GPU at hand. What the driver fails with leaves the GPU in a state that nobody knows, except
  // that it may have no memory left: from then on the device says that it is closed.
  template <typename Body>
  std::invoke_result_t<Body> use(Body body) {
    require_open();
    try {
      context_.enter();
      return body();
    } catch (const DriverError& error) {
      if (error.code != "ERR_OUT_OF_MEMORY") close(error.message);
      throw;
    }
  }
  // The same for what is put on the stream.
  template <typename Body>
  void work(Body body) {
    use([&] {
      memory_.begin_work();
      body();
    });
  }
  void require_open() {
    std::lock_guard lock(mutex_);
    if (!closed_.empty())
      throw Error("ERR_DEVICE", label() + " is closed since an error, and must be opened anew: " + closed_);
  }
  void close(const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (closed_.empty()) closed_ = reason;
  }

  const Kernel* checks_;
  Workers nobody_{1};
  Context context_;
  MemoryPool memory_;
  Staging staging_;
  LaunchResources resources_;
  std::mutex mutex_;
  std::string closed_;  // why
};

class CudaDevice::Replay final : public Recording {
 public:
  Replay(CudaDevice& device, const std::vector<RecordedCall>& calls, const double* attributes, size_t count)
      : device_(device), graph_(std::in_place, device.resources_, calls, attributes, count) {}
  ~Replay() override {
    device_.context_.try_enter();
    graph_.reset();
  }
  bool replay() override {
    bool fits = false;
    device_.work([&] {
      fits = graph_->fits();
      if (fits) graph_->launch();
    });
    return fits;
  }

 private:
  CudaDevice& device_;
  std::optional<GraphRecording> graph_;
};

std::unique_ptr<Recording> CudaDevice::record(const std::vector<RecordedCall>& calls, const double* attributes,
                                              size_t count) {
  require_open();
  try {
    context_.enter();
    memory_.begin_work();
    return std::make_unique<Replay>(*this, calls, attributes, count);
  } catch (const Error&) {
    // Launched one by one, the calls fail in their own words, if they do.
    return nullptr;
  }
}

class CudaDevice::Times final : public Stopwatch {
 public:
  Times(CudaDevice& device, size_t calls) : device_(device), events_(device.context_, calls) {}
  void start() override {
    device_.work([&] { events_.start(); });
  }
  void stop() override {
    device_.work([&] { events_.stop(); });
  }
  std::vector<double> milliseconds() override {
    return device_.use([&] { return events_.milliseconds(); });
  }

 private:
  CudaDevice& device_;
  EventStopwatch events_;
};

std::unique_ptr<Stopwatch> CudaDevice::stopwatch(size_t calls) {
  return use([&] { return std::make_unique<Times>(*this, calls); });
}

}  // namespace

std::shared_ptr<Device> open_cuda_device(const CudaOptions& options) { return std::make_shared<CudaDevice>(options); }

}  // namespace diffuse
