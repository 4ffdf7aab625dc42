// The team of threads that the CPU backend computes with.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace diffuse {

// A fixed team: the calling thread plus threads - 1 workers. Between jobs a worker spins for a few microseconds, since
// the next kernel usually follows at once, and then sleeps on a futex. Tasks are handed out one index at a time, so
// kernels must give the same result whichever thread runs which index.
class Workers {
 public:
  using Task = void (*)(void* context, int64_t index, int thread);

  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int threads() const { return static_cast<int>(team_.size()) + 1; }

  // Calls task(context, i, thread) for each i in [0, count), thread in [0, threads()). Returns when all are done.
  // Remaining indices are dropped once `cancelled` reads true: the caller then throws the results away.
  void run(int64_t count, Task task, void* context);

  // The flag that run() looks at between tasks; null means never.
  void watch(const std::atomic<bool>* cancelled) { cancelled_ = cancelled; }

 private:
  void serve(int thread);
  void work(int thread);

  std::vector<std::thread> team_;
  const std::atomic<bool>* cancelled_ = nullptr;
  Task task_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<int> busy_{0};
  std::atomic<bool> stopping_{false};
};

// Subnormal numbers are treated as zero in every thread that computes: they are 100 times slower and carry nothing
// here.
void flush_subnormals();

}  // namespace diffuse
