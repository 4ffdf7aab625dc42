// Dynamic thresholding on the CPU (ops/dynamic_threshold.h has the formula).
#include "ops/dynamic_threshold.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// |value| as an integer: in the same order, since it has no sign.
DIFFUSE_INLINE uint32_t magnitude_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x7fffffff;
}
DIFFUSE_INLINE float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// body(bits of |element|) for the elements of sample n.
template <typename Body>
DIFFUSE_INLINE void each_magnitude(const Tensor& t, const Sizes& size, int64_t n, Body&& body) {
  for (int64_t p = n * size.P; p < (n + 1) * size.P; p++)
    for (int64_t c = 0; c < size.C; c++) body(magnitude_bits(row(t, p)[c]));
}

// An element by its place in order of size: its bits, and how many elements are at most as large.
struct Selected {
  uint32_t bits;
  int64_t at_most;
};

// The element that has `rank` others before it. Eleven bits are decided at a time, then ten, then ten: the elements
// that share the bits decided so far are counted by their next ones.
Selected select(const Tensor& t, const Sizes& size, int64_t n, int64_t rank) {
  uint32_t bits = 0, decided = 0;
  int64_t before = 0, same = 0;
  for (const auto& [shift, width] : (const int[3][2]){{20, 11}, {10, 10}, {0, 10}}) {
    const uint32_t mask = (1u << width) - 1;
    int64_t count[2048] = {};
    each_magnitude(t, size, n, [&, shift = shift](uint32_t element) {
      if ((element & decided) == bits) count[element >> shift & mask]++;
    });
    uint32_t digit = 0;
    for (; before + count[digit] <= rank; digit++) before += count[digit];
    same = count[digit];
    bits |= digit << shift;
    decided |= mask << shift;
  }
  return {bits, before + same};
}

// The quantile of the magnitudes of sample n.
double quantile_of(const Tensor& t, const Sizes& size, int64_t n, double quantile) {
  const double position = quantile * static_cast<double>(size.P * size.C - 1);
  const int64_t rank = static_cast<int64_t>(position);
  const double share = position - static_cast<double>(rank);
  const Selected low = select(t, size, n, rank);
  if (share == 0) return from_bits(low.bits);
  uint32_t next = low.bits;
  if (low.at_most == rank + 1) {
    next = UINT32_MAX;
    each_magnitude(t, size, n, [&](uint32_t element) {
      if (element > low.bits && element < next) next = element;
    });
  }
  const double from = from_bits(low.bits), to = from_bits(next);
  return from + share * (to - from);
}

}  // namespace

size_t dynamic_threshold_prepare(const Call& call) {
  const auto& [x0, x, prediction] = tensors<3>(call);
  expect_rank("dynamic_threshold", "x", x, 1, kMaxRank);
  expect_same_shape("dynamic_threshold", "x0", x0, x);
  expect_same_shape("dynamic_threshold", "prediction", prediction, x);
  return 0;
}

void dynamic_threshold(const Call& call) {
  const char* kernel = "dynamic_threshold";
  const auto& [x0_, x_, prediction_] = tensors<3>(call);
  const auto& [x0FromX, x0FromPrediction, quantile_, max_] = attributes<4>(call);
  const Tensor &x0 = x0_, &x = x_, &prediction = prediction_;
  const double quantile = quantile_, largest = max_;
  if (!(quantile >= 0 && quantile <= 1)) fail("ERR_ARGUMENT", kernel, "quantile must be from 0 to 1, got %g", quantile);
  if (!(largest >= 1)) fail("ERR_ARGUMENT", kernel, "max must be at least 1 (Infinity for none), got %g", largest);
  const Vec from_x = splat(static_cast<float>(x0FromX)), from_p = splat(static_cast<float>(x0FromPrediction));
  transform(
      call, [=](Vec at, Vec p) { return from_x * at + from_p * p; }, x0, x, prediction);

  const Sizes size = sizes(x0);
  parallel_items(call, size.N, size.P * size.C, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      const double found = quantile_of(x0, size, n, quantile);
      const Vec limit = splat(static_cast<float>(found < 1 ? 1 : found > largest ? largest : found));
      for (int64_t p = n * size.P; p < (n + 1) * size.P; p++) {
        for_each_panel(size.C, [&](auto panel, int64_t c) {
          // The operands' order lets NaN through.
          DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
              panel.store(row(x0, p) + c, v, min(limit, max(-limit, panel.load(row(x0, p) + c, v))) / limit);
        });
      }
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
