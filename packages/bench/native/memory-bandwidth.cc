// Measures how many bytes a second the CPU can read and write on a number of threads, far beyond its caches: the floor of ops that do
// little with each number. Prints GB/s, the best of several passes of two kinds: a copy whose stores go past the caches, and an update
// in place. An ordinary copy would read what it overwrites, a third of the traffic, and nobody would count it.
// Compiled on demand with -O3 -march=native. usage: memory-bandwidth THREADS

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

constexpr size_t floats = size_t{32} << 20;  // 128 MiB an array
constexpr int passes = 8;

struct Release {
  void operator()(float* memory) const { std::free(memory); }
};
using Array = std::unique_ptr<float, Release>;

Array allocate() {
  Array array(static_cast<float*>(std::aligned_alloc(size_t{2} << 20, floats * sizeof(float))));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (array) madvise(array.get(), floats * sizeof(float), MADV_HUGEPAGE);
#endif
  return array;
}

void copy(float* to, const float* from, size_t count) {
#if defined(__AVX512F__)
  for (size_t i = 0; i < count; i += 16) _mm512_stream_ps(to + i, _mm512_load_ps(from + i));
  _mm_sfence();
#elif defined(__AVX__)
  for (size_t i = 0; i < count; i += 8) _mm256_stream_ps(to + i, _mm256_load_ps(from + i));
  _mm_sfence();
#else
  for (size_t i = 0; i < count; i++) to[i] = from[i];
#endif
}

void update(float* x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = 0.5F * x[i] + 1.0F;
}

// GB/s of one pass that reads and writes every element once.
template <typename Body>
double pass(int threads, Body body) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> team;
  const size_t share = floats / threads / 16 * 16;
  for (int t = 0; t < threads; t++) team.emplace_back([=] { body(t * share, share); });
  for (auto& member : team) member.join();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  return 2.0 * sizeof(float) * static_cast<double>(share * threads) / elapsed.count() / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  const Array a = allocate();
  const Array b = allocate();
  if (!a || !b) return 1;
  float* x = a.get();
  float* y = b.get();
  std::fill(x, x + floats, 1.0F);
  std::fill(y, y + floats, 1.0F);
  double best = 0;
  for (int i = 0; i < passes; i++) {
    best = std::max(best, pass(threads, [=](size_t begin, size_t count) { copy(y + begin, x + begin, count); }));
    best = std::max(best, pass(threads, [=](size_t begin, size_t count) { update(x + begin, count); }));
  }
  std::printf("%.1f\n", best);
  return 0;
}
