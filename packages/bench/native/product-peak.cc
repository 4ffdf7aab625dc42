// Measures how many float32 multiply-adds a second the CPU can do on a number of threads: the ceiling that kernels are compared with.
// Prints GFLOP/s (a multiply-add counts two), the best of several windows, so that a neighbour's short burst does not lower it.
// Compiled on demand with -O3 -march=native. usage: fma-peak THREADS

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
// The letter by which inline assembly names a vector register.
#if defined(__AVX512F__)
#define DIFFUSE_VECTOR_REGISTER "+v"
#elif defined(__x86_64__)
#define DIFFUSE_VECTOR_REGISTER "+x"
#else
#define DIFFUSE_VECTOR_REGISTER "+w"
#endif
using Vector = float __attribute__((vector_size(vector_bytes)));

// Independent sums: more than latency (4-5 cycles) times issue rate (2 a cycle), and all fit the registers.
constexpr int sums = 12;
constexpr int windows = 10;
constexpr double seconds = 0.05;

// CPU time of this thread: the ceiling is that of the hardware, whoever else is running.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Multiply-adds for about `seconds`; returns GFLOP/s. The numbers stay near 1.
double window(float seed, float& sink) {
  Vector x[sums];
  // Every loop over the sums is unrolled: indexed by a variable, they would live in memory and not in registers.
#pragma GCC unroll 12
  for (int i = 0; i < sums; i++) x[i] = Vector{} + (seed + 0.01F * static_cast<float>(i));
  const Vector a = Vector{} + 0.999F;
  const Vector b = Vector{} + 0.001F;
  constexpr int chunk = 20000;
  long chunks = 0;
  const double begin = cpu_seconds();
  double elapsed = 0;
  do {
    for (int n = 0; n < chunk; n++) {
#pragma GCC unroll 12
      for (int i = 0; i < sums; i++) {
        x[i] = x[i] * a + b;
        asm volatile("" : DIFFUSE_VECTOR_REGISTER(x[i]));  // keeps every sum in a register of its own
      }
    }
    chunks++;
    elapsed = cpu_seconds() - begin;
  } while (elapsed < seconds);
#pragma GCC unroll 12
  for (int i = 0; i < sums; i++) sink += x[i][0];
  constexpr int lanes = vector_bytes / static_cast<int>(sizeof(float));
  return 2.0 * lanes * sums * chunk * static_cast<double>(chunks) / elapsed / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  double best = 0;
  float total = 0;
  for (int w = 0; w < windows; w++) {
    std::vector<double> rate(threads, 0.0);
    std::vector<float> sink(threads, 0.0F);
    std::vector<std::thread> team;
    for (int t = 0; t < threads; t++) team.emplace_back([&, t] { rate[t] = window(1.0F, sink[t]); });
    for (auto& member : team) member.join();
    double sum = 0;
    for (int t = 0; t < threads; t++) {
      sum += rate[t];
      total += sink[t];
    }
    best = std::max(best, sum);
  }
  std::printf("%.1f\n", best);
  return total == total ? 0 : 1;
}
