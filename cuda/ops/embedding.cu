// Embedding (native/ops/embedding.h has the formulas).
// @promises ld.global.v4 st.global.v4
// @moves 32 embedding_forward
#include "common/failure.h"
#include "common/pixels.h"
#include "common/warp.h"
#include "cuda/arguments/embedding.h"

namespace diffuse::cuda {

// Bound by bytes: rows are copied.
extern "C" __global__ void __launch_bounds__(kEmbeddingThreads)
    embedding_forward_f32(const __grid_constant__ EmbeddingArguments arguments) {
  const View &y = arguments.rows, &table = arguments.table;
  const int32_t* index = arguments.index;
  const auto is_wrong = [&](int64_t n) { return index[n] < 0 || index[n] >= table.rows; };
  const auto body = [&](auto width, int64_t n, int32_t c) {
    constexpr int N = decltype(width)::value;
    const bool wrong = is_wrong(n);
    if (wrong && c == 0)
      report_first(arguments.reporter, kNoClass, index[n], static_cast<double>(table.rows), n, is_wrong);
    float values[N];
    load(values, row<const float>(table, wrong ? 0 : index[n]) + c);
    store(row<float>(y, n) + c, values);
  };
  for_each_pack_of<kWide<float>>(y, body, table);
}

// Each thread sums one channel of one class over the samples in order, so nothing is added atomically. A warp looks
// through 32 indices at a time. Bound by the latency of that where classes are many; both are few.
extern "C" __global__ void __launch_bounds__(kEmbeddingThreads)
    embedding_backward_f32(const __grid_constant__ EmbeddingArguments arguments) {
  const View &dtable = arguments.table, &dy = arguments.rows;
  const int32_t columns = (dtable.channels + kEmbeddingThreads - 1) / kEmbeddingThreads;
  const int64_t k = blockIdx.x / columns;
  const int32_t c = static_cast<int32_t>(blockIdx.x % columns * kEmbeddingThreads + threadIdx.x);
  const bool reports = blockIdx.x == 0 && threadIdx.x < kWarp;
  float sum = 0;
  for (int64_t first = 0; first < dy.rows; first += kWarp) {
    const int64_t n = first + threadIdx.x % kWarp;
    // The class of what lies beyond the samples is the first: right, and not counted.
    const int32_t index = n < dy.rows ? arguments.index[n] : 0;
    if (reports) {
      const unsigned wrong = __ballot_sync(kAllLanes, index < 0 || index >= dtable.rows);
      if (wrong && __ffs(static_cast<int>(wrong)) == static_cast<int>(threadIdx.x) + 1)
        report(arguments.reporter, kNoClass, index, static_cast<double>(dtable.rows), static_cast<double>(n));
    }
    unsigned own = __ballot_sync(kAllLanes, n < dy.rows && index == k);
    for (; own; own &= own - 1) {
      const int64_t sample = first + __ffs(static_cast<int>(own)) - 1;
      if (c < dtable.channels) sum += row<const float>(dy, sample)[c];
    }
  }
  if (c < dtable.channels) row<float>(dtable, k)[c] = sum;
}

}  // namespace diffuse::cuda
