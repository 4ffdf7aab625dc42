#include "engine/workers.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace diffuse {

namespace {

// About 20 µs: longer than the gap between two kernels of a program, far shorter than a scheduler slice.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until value differs from `old`: spins first, then sleeps.
template <typename T>
T wait_for_change(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; i++) {
    if (T now = value.load(std::memory_order_acquire); now != old) return now;
    pause();
  }
  while (true) {
    value.wait(old, std::memory_order_acquire);
    if (T now = value.load(std::memory_order_acquire); now != old) return now;
  }
}

}  // namespace

void flush_subnormals() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);  // FTZ | DAZ
#elif defined(__aarch64__)
  uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  asm volatile("msr fpcr, %0" ::"r"(fpcr | (1ull << 24)));
#endif
}

Workers::Workers(int threads) {
  for (int i = 1; i < threads; i++) team_.emplace_back([this, i] { serve(i); });
}

Workers::~Workers() {
  stopping_.store(true, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& thread : team_) thread.join();
}

void Workers::work(int thread) {
  for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
    if (cancelled_ && cancelled_->load(std::memory_order_relaxed)) return;
    task_(context_, i, thread);
  }
}

void Workers::serve(int thread) {
  flush_subnormals();
  uint32_t seen = 0;
  while (true) {
    seen = wait_for_change(generation_, seen);
    if (stopping_.load(std::memory_order_acquire)) return;
    work(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

void Workers::run(int64_t count, Task task, void* context) {
  task_ = task;
  context_ = context;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  if (count <= 1 || team_.empty()) {
    work(0);
    return;
  }
  busy_.store(static_cast<int>(team_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  work(0);
  for (int left = busy_.load(std::memory_order_acquire); left != 0;) left = wait_for_change(busy_, left);
}

}  // namespace diffuse
