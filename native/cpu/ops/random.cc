// Random tensors on the CPU (ops/random.h defines the numbers, cpu/philox.h makes them).
#include "ops/random.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {

size_t random_normal_prepare(const Call&) { return 0; }

void random_normal(const Call& call) {
  const auto& [y_] = tensors<1>(call);
  const auto& [seedLow, seedHigh, purpose, step, sampleOffset] = attributes<5>(call);
  const Tensor& y = y_;
  const Stream stream = make_stream("random_normal", seedLow, seedHigh, step, purpose, sampleOffset);
  parallel_runs(call, samples(y), [&](int64_t n, int64_t first, int64_t count) {
    store_run(elements_of(y, n), first, count, normal_run(stream, n, first));
  });
}

size_t random_uniform_prepare(const Call&) { return 0; }

void random_uniform(const Call& call) {
  const auto& [y_] = tensors<1>(call);
  const auto& [seedLow, seedHigh, purpose, step, sampleOffset, low, high] = attributes<7>(call);
  const Tensor& y = y_;
  const Stream stream = make_stream("random_uniform", seedLow, seedHigh, step, purpose, sampleOffset);
  const Vec base = splat(static_cast<float>(low)), range = splat(static_cast<float>(high - low));
  parallel_runs(call, samples(y), [&](int64_t n, int64_t first, int64_t count) {
    Run run = uniform_run(stream, n, first);
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) run.at[v] = base + range * run.at[v];
    store_run(elements_of(y, n), first, count, run);
  });
}

}  // namespace diffuse::DIFFUSE_ISA
