#include "cpu/cpu_device.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "cpu/dispatch.h"
#include "engine/error.h"
#include "engine/read_file.h"
#include "engine/workers.h"

namespace diffuse {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;
const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

int available_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, const std::string& isa, bool direct)
      : kernels_(cpu_kernels(isa)),
        isa_(isa.empty() ? supported_isas().front() : isa),
        threads_(threads),
        direct_(direct) {
    // The team is made on the thread that will call it, so that its flush-to-zero setting is made there too.
    executor().submit([this] { flush_subnormals(); });
    workers_ = std::make_unique<Workers>(threads_);
  }
  ~CpuDevice() override { executor().stop(); }

  std::string name() const override { return "cpu " + isa_; }
  int threads() const override { return threads_; }

  std::byte* allocate(size_t bytes) override {
    // Straight from the system: zeroed, and given back at once when released. Large memory begins at a huge page, so
    // that all of it can be huge pages.
    const bool large = bytes >= kHugePage;
    const size_t slack = large ? kHugePage : 0;
    void* mapped = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
      throw Error("ERR_OUT_OF_MEMORY", "the system has no " + std::to_string(bytes >> 20) + " MiB of memory left");
    auto* memory = static_cast<std::byte*>(mapped);
    if (!large) return memory;
    const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage) % kHugePage;
    if (before) munmap(memory, before);
    memory += before;
    // Mappings are whole pages: what is kept of the last one is released with it.
    const size_t kept = (bytes + kPage - 1) / kPage * kPage;
    if (const size_t end = bytes + slack - before; kept < end) munmap(memory + kept, end - kept);
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
  }
  void release(std::byte* memory, size_t bytes) override { munmap(memory, bytes); }
  void upload(std::byte* to, const void* from, size_t bytes, const FileOrder* order) override {
    if (!order) {
      std::memcpy(to, from, bytes);
      return;
    }
    parallel(static_cast<int64_t>(order->blocks()), [&](int64_t block, int) {
      from_file_order(reinterpret_cast<float*>(to), static_cast<const float*>(from) + order->block_offset(block),
                      *order, block);
    });
  }
  void upload_file(std::byte* to, int file, size_t position, size_t bytes, const FileOrder* order) override {
    if (!order) {
      read_file(to, file, position, bytes);
      return;
    }
    const size_t block_bytes =
        std::min(order->outputs, FileOrder::kBlock) * order->inputs * order->taps * sizeof(float);
    // A block is read to where it stays in the cache until it is moved.
    std::vector<std::vector<std::byte>> staging(threads_);
    std::mutex mutex;
    std::optional<Error> failure;
    parallel(static_cast<int64_t>(order->blocks()), [&](int64_t block, int thread) {
      staging[thread].resize(block_bytes);
      try {
        read_file(staging[thread].data(), file, position + order->block_offset(block) * sizeof(float),
                  order->block_outputs(block) * order->inputs * order->taps * sizeof(float));
      } catch (const Error& error) {
        std::lock_guard lock(mutex);
        failure = error;
        return;
      }
      from_file_order(reinterpret_cast<float*>(to), reinterpret_cast<const float*>(staging[thread].data()), *order,
                      block);
    });
    if (failure) throw *failure;
  }
  void download(void* to, const std::byte* from, size_t bytes, const FileOrder* order) override {
    if (!order) {
      std::memcpy(to, from, bytes);
      return;
    }
    parallel(static_cast<int64_t>(order->blocks()), [&](int64_t block, int) {
      to_file_order(static_cast<float*>(to) + order->block_offset(block), reinterpret_cast<const float*>(from), *order,
                    block);
    });
  }

  size_t prepare(int kernel, Call& call) override {
    call.workers = workers_.get();
    call.direct = direct_;
    return kernels_[kernel].prepare(call);
  }
  void launch(int kernel, Call& call, const std::atomic<bool>* cancelled) override {
    call.workers = workers_.get();
    call.direct = direct_;
    workers_->watch(cancelled);
    kernels_[kernel].run(call);
    workers_->watch(nullptr);
  }

 private:
  template <typename Body>
  void parallel(int64_t count, Body body) {
    workers_->watch(nullptr);
    workers_->run(
        count, [](void* context, int64_t index, int thread) { (*static_cast<Body*>(context))(index, thread); }, &body);
  }

  const Kernel* kernels_;
  std::string isa_;
  int threads_;
  bool direct_;
  std::unique_ptr<Workers> workers_;
};

}  // namespace

std::shared_ptr<Device> open_cpu_device(int threads, const std::string& isa, bool direct) {
  if (threads < 0 || threads > 1024) throw Error("ERR_DEVICE", "threads must be 0 (all cores) to 1024");
  return std::make_shared<CpuDevice>(threads ? threads : available_cores(), isa, direct);
}

}  // namespace diffuse
