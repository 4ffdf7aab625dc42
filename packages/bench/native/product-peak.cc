// Measures how many multiply-adds a second the CPU can do on a number of threads: the ceiling that kernels are compared with. They are
// of float32; with DIFFUSE_BF16, of bf16 with float32 sums, by the matrix unit or by vectors, whichever the CPU has. A CPU with
// neither has to widen bf16, so that its ceiling is that of float32.
// Prints GFLOP/s (a multiply-add counts two), the best of several windows, so that a neighbour's short burst does not lower it.
// Compiled on demand with -O3 -march=native. usage: product-peak THREADS

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

#if defined(DIFFUSE_BF16) && defined(__AVX512BF16__)
#include <immintrin.h>
#endif
#if defined(DIFFUSE_BF16) && defined(__AMX_BF16__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr int windows = 10;
constexpr double seconds = 0.05;
/// Steps between two looks at the clock.
constexpr int steps = 20000;

#if defined(DIFFUSE_BF16) && defined(__AMX_BF16__)

// Four sums of two tiles by two: the tiles of one instruction are free again before it is their turn.
constexpr double step_flops = 4 * 2.0 * 16 * 16 * 32;

/// Asks the system for the tiles, on behalf of all threads.
bool prepare() {
  constexpr int request_permission = 0x1023;
  constexpr int tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

float chunk(float) {
  struct alignas(64) Configuration {
    unsigned char palette = 1;
    unsigned char reserved[15] = {};
    unsigned short columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } configuration;
  static const std::vector<unsigned short> ones(16 * 32, 0x3f80);
  alignas(64) float result[256];
  _tile_loadconfig(&configuration);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, ones.data(), 64);
  _tile_loadd(5, ones.data(), 64);
  _tile_loadd(6, ones.data(), 64);
  _tile_loadd(7, ones.data(), 64);
  for (int n = 0; n < steps; n++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, result, 64);
  _tile_release();
  return result[0];
}

#else

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
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(float));

#if defined(DIFFUSE_BF16) && defined(__AVX512BF16__)
constexpr double step_flops = 2.0 * 2 * lanes * sums;

Vector multiply_add(Vector x, Vector a, Vector) {
  const auto pairs = (__m512bh)(a);
  return (Vector)_mm512_dpbf16_ps((__m512)x, pairs, pairs);
}
#else
constexpr double step_flops = 2.0 * lanes * sums;

Vector multiply_add(Vector x, Vector a, Vector b) { return x * a + b; }
#endif

bool prepare() { return true; }

/// The numbers stay near 1.
float chunk(float seed) {
  Vector x[sums];
  // Every loop over the sums is unrolled: indexed by a variable, they would live in memory and not in registers.
#pragma GCC unroll 12
  for (int i = 0; i < sums; i++) x[i] = Vector{} + (seed + 0.01F * static_cast<float>(i));
  const Vector a = Vector{} + 0.999F;
  const Vector b = Vector{} + 0.001F;
  for (int n = 0; n < steps; n++) {
#pragma GCC unroll 12
    for (int i = 0; i < sums; i++) {
      x[i] = multiply_add(x[i], a, b);
      asm volatile("" : DIFFUSE_VECTOR_REGISTER(x[i]));  // keeps every sum in a register of its own
    }
  }
  float sink = 0;
#pragma GCC unroll 12
  for (int i = 0; i < sums; i++) sink += x[i][0];
  return sink;
}

#endif

// CPU time of this thread: the ceiling is that of the hardware, whoever else is running.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Multiply-adds for about `seconds`; returns GFLOP/s.
double window(float seed, float& sink) {
  long chunks = 0;
  const double begin = cpu_seconds();
  double elapsed = 0;
  do {
    sink += chunk(seed);
    chunks++;
    elapsed = cpu_seconds() - begin;
  } while (elapsed < seconds);
  return step_flops * steps * static_cast<double>(chunks) / elapsed / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  if (!prepare()) {
    std::fprintf(stderr, "the system does not allow the matrix unit\n");
    return 1;
  }
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
