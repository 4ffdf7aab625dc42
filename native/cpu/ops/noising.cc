// Noising of a training batch on the CPU (ops/noising.h has the formulas).
#include "ops/noising.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int kTableColumns = 6;

struct NoiseLevel {
  float signal, noise, target_x0, target_eps, weight, told;
};

// Elements [first, first + count) of an image in [-1, 1], mirrored left to right or not.
Run load_image(const Tensor& images, int64_t n, bool mirrored, int64_t first, int64_t count) {
  const int64_t C = channels(images), W = images.rank > 2 ? images.shape[images.rank - 2] : 1,
                rows_a_sample = rows(images) / images.shape[0];
  float buffer[kRun] = {};
  int64_t r = first / C, c = first % C;
  for (int64_t i = 0; i < count; i++) {
    const int64_t x = r % W, source = n * rows_a_sample + (mirrored ? r - x + (W - 1 - x) : r);
    const int64_t at = source * images.row_stride + c;
    // (v - 127.5) is exact, so this rounds once.
    buffer[i] = images.dtype == DType::u8 ? (static_cast<float>(u8(images)[at]) - 127.5f) / 127.5f : f32(images)[at];
    if (++c == C) c = 0, r++;
  }
  Run run;
  DIFFUSE_UNROLL for (int v = 0; v < 4; v++) run.at[v] = load(buffer + v * kLanes);
  return run;
}

// The level that is given, or floor(T u) without rounding: u is a multiple of 2^-24.
int64_t level_index(const char* kernel, const Tensor& given, int64_t n, int64_t T, const Stream& timesteps) {
  if (!given.data)
    return static_cast<int64_t>(static_cast<uint64_t>(philox_word(timesteps, static_cast<uint32_t>(n), 0) >> 8) *
                                    static_cast<uint64_t>(T) >>
                                24);
  const float level = f32(given)[n];
  if (!(level >= 0 && level < static_cast<float>(T)) || level != static_cast<float>(static_cast<int64_t>(level)))
    fail("ERR_ARGUMENT", kernel, "the level %g is not an integer in [0, %lld)", static_cast<double>(level),
         (long long)T);
  return static_cast<int64_t>(level);
}

int64_t round_up_to_run(int64_t count) { return (count + kRun - 1) / kRun * kRun; }

}  // namespace

size_t noising_prepare(const Call& call) {
  const char* kernel = "noising";
  const auto& [xt, target, timestep, weight, extra, images, table, level] = tensors<8>(call);
  expect_rank(kernel, "images", images, 2, kMaxRank);
  if (images.dtype != DType::u8 && images.dtype != DType::f32)
    fail("ERR_DTYPE", kernel, "images must be uint8 or float32");
  expect_same_shape(kernel, "xt", xt, images);
  expect_same_shape(kernel, "target", target, images);
  expect_shape(kernel, "timestep", timestep, images.shape[0]);
  expect_shape(kernel, "weight", weight, images.shape[0]);
  if (table.rank != 2 || table.shape[1] < kTableColumns)
    fail("ERR_SHAPE", kernel, "table has shape %s, expected levels of %d numbers or more", describe(table).text,
         kTableColumns);
  expect_contiguous(kernel, "table", table);
  if (level.data) expect_shape(kernel, "level", level, images.shape[0]);
  const int64_t further = table.shape[1] - kTableColumns;
  if (extra.data) expect_shape(kernel, "extra", extra, images.shape[0], further);
  if (!extra.data && further > 0) fail("ERR_ARGUMENT", kernel, "a table of further numbers needs extra");
  const int64_t shifts = round_up_to_run(channels(images));
  return images.shape[0] * (sizeof(NoiseLevel) + sizeof(float) * shifts + sizeof(bool));
}

void noising(const Call& call) {
  const char* kernel = "noising";
  const auto& [xt_, target_, timestep, weight, extra, images_, table, level_] = tensors<8>(call);
  const auto& [seedLow, seedHigh, step, sampleOffset, flip, offsetNoise] = attributes<6>(call);
  const Tensor &xt = xt_, &target = target_, &images = images_;
  if (flip != 0 && images.rank < 3) fail("ERR_SHAPE", kernel, "only images [N, H, W, C] can be flipped");
  const Samples size = samples(xt);
  const auto stream = [&, &low = seedLow, &high = seedHigh, &s = step, &offset = sampleOffset](Purpose purpose) {
    return make_stream(kernel, low, high, s, purpose, offset);
  };
  const Stream timesteps = stream(kPurposeTimestep), flips = stream(kPurposeFlip), noises = stream(kPurposeNoise),
               offsets = stream(kPurposeOffsetNoise);

  auto* levels = reinterpret_cast<NoiseLevel*>(call.scratch);
  // offsetNoise times a normal number for each channel of each sample
  auto* shifts = reinterpret_cast<float*>(levels + size.N);
  const int64_t C = channels(images), shift_step = round_up_to_run(C);
  const Vec strength = splat(static_cast<float>(offsetNoise));
  auto* mirrored = reinterpret_cast<bool*>(shifts + size.N * shift_step);
  for (int64_t n = 0; n < size.N; n++) {
    const auto sample = static_cast<uint32_t>(n);
    const float* numbers = f32(table) + level_index(kernel, level_, n, table.shape[0], timesteps) * table.shape[1];
    __builtin_memcpy(&levels[n], numbers, sizeof(NoiseLevel));
    if (extra.data)
      __builtin_memcpy(row(extra, n), numbers + kTableColumns, sizeof(float) * static_cast<size_t>(channels(extra)));
    mirrored[n] = flip != 0 && philox_word(flips, sample, 0) >> 31;
    f32(timestep)[n] = levels[n].told;
    f32(weight)[n] = levels[n].weight;
    if (offsetNoise == 0) continue;
    for (int64_t c = 0; c < C; c += kRun) {
      const Run z = normal_run(offsets, n, c);
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) store(shifts + n * shift_step + c + v * kLanes, strength * z.at[v]);
    }
  }
  parallel_runs(call, size, [&](int64_t n, int64_t first, int64_t count) {
    const NoiseLevel level = levels[n];
    const Run x0 = load_image(images, n, mirrored[n], first, count);
    Run noisy, wanted, eps = normal_run(noises, n, first);
    if (offsetNoise != 0) {
      float shift[kRun] = {};
      for (int64_t i = 0; i < count; i++) shift[i] = shifts[n * shift_step + (first + i) % C];
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) eps.at[v] += load(shift + v * kLanes);
    }
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) {
      noisy.at[v] = splat(level.signal) * x0.at[v] + splat(level.noise) * eps.at[v];
      wanted.at[v] = splat(level.target_x0) * x0.at[v] + splat(level.target_eps) * eps.at[v];
    }
    store_run(elements_of(xt, n), first, count, noisy);
    store_run(elements_of(target, n), first, count, wanted);
  });
}

}  // namespace diffuse::DIFFUSE_ISA
