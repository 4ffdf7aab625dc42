// Gradient of the weights of a convolution on the GPU (ops/conv2d.h): sums over splits of the pixels, then their sum.
#include "cuda/arguments/conv2d_weight_gradient.h"

#include <algorithm>
#include <climits>

#include "cuda/norm.h"
#include "cuda/ops/multiplied_image.h"

namespace diffuse::cuda {
namespace {

constexpr int64_t kScratchAlignment = 256;

// What the work is cut for, since numbers may not depend on the GPU: an A100 runs two blocks at once on each of 108
// multiprocessors, a block does some 350 multiply-adds of bf16 a cycle, and memory delivers some 1200 bytes.
constexpr int64_t kRound = 216, kBlockProducts = 350, kMemoryBytes = 1200;
// Rounds of blocks, each of which leaves 14 MB of sums.
constexpr int64_t kMostRounds = 4;
// Pixels below which the sum of a split costs less than writing it.
constexpr int64_t kLeastPixels = 256;
// A stage takes 32 pixels at most.
constexpr int64_t kPixelStep = 32;
// Lines of a ring of pixels: 16 KB, which with dy leave room for two blocks where a multiprocessor has 100 KB.
constexpr int64_t kMostRingLines = 512;
// Rows of an image, and elements from one to the next, are numbers of 32 bits on the GPU, with some to spare.
constexpr int64_t kMostRows = INT_MAX / 8;

int64_t round_up(int64_t count, int64_t step) { return blocks_of(count, step) * step; }

// How pixels are shared out among splits, and what that is reckoned to take.
struct Cut {
  int64_t split_pixels, splits, cycles;
};

// That which is done first: more splits fill the last round of blocks, and leave more sums to be written and read.
Cut best_cut(int64_t pixels, int64_t tiles, int64_t tile_products, int64_t weights) {
  Cut best{};
  const int64_t most = std::max<int64_t>(1, std::min(kMostRounds * kRound / tiles, pixels / kLeastPixels));
  for (int64_t wanted = 1; wanted <= most; wanted++) {
    Cut cut{round_up(blocks_of(pixels, wanted), kPixelStep), 0, 0};
    cut.splits = blocks_of(pixels, cut.split_pixels);
    const int64_t rounds = blocks_of(tiles * cut.splits, kRound), sums = cut.splits > 1 ? cut.splits * weights * 4 : 0;
    cut.cycles = rounds * cut.split_pixels * tile_products / kBlockProducts + 2 * sums / kMemoryBytes;
    if (wanted == 1 || cut.cycles < best.cycles) best = cut;
  }
  return best;
}

// How the work is done, by the shape alone, and where scratch memory goes.
struct Plan {
  int64_t pixels, split_pixels, splits;
  int64_t weights;
  bool narrow;
  int64_t ring_lines;                   // 0: without patches
  bool fused;                           // x is normalised there
  size_t x, dy, dweight, dbias, bytes;  // of scratch memory, from its beginning

  // Rows of a tile, each a channel of x at a tap, and the channels that one tap has there at least.
  int64_t rows() const {
    return ring_lines ? kWeightGradientPatchChannels * kWeightGradientPatchTaps : kWeightGradientRows;
  }
  int64_t channel_step(const Tensor& x) const { return ring_lines ? kWeightGradientPatchChannels : chunk_of(x); }
  int64_t columns() const { return narrow ? kWeightGradientNarrow : kWeightGradientWide; }
};

// Lines of the ring from which all taps of a window read x (cuda/gemm/weight_gradient_patch.h); 0 where they have none.
int64_t ring_lines_of(const Conv2dShape& s, const Tensor& x) {
  const bool same_grid =
      s.kh == 3 && s.kw == 3 && s.stride == 1 && s.pad_top == 1 && s.pad_left == 1 && s.OH == s.H && s.OW == s.W;
  if (!same_grid || x.dtype != DType::bf16) return 0;
  // What a step sees, and two parts that are on their way or being finished.
  const int64_t halo = blocks_of(2 * (s.W + 1), kWeightGradientPatchLines);
  int64_t lines = kWeightGradientPatchLines;
  while (lines < (halo + 3) * kWeightGradientPatchLines) lines *= 2;
  return lines <= kMostRingLines ? lines : 0;
}

Plan plan_of(const Call& call) {
  const auto& [dweight, dbias, x, dy, norm, normalised, coefficients] = conv2d_weight_gradient_args(call);
  const Conv2dShape s = conv2d_shape(call, x, dy, dweight);
  Plan plan{};
  plan.pixels = s.N * s.OH * s.OW;
  for (const auto& [name, image] : {std::pair{"x", &x}, {"dy", &dy}})
    if (rows(*image) > kMostRows || image->row_stride > kMostRows)
      fail("ERR_SHAPE", "conv2d_weight_gradient", "%s has %lld pixels, %lld elements apart; a GPU takes %lld of either",
           name, static_cast<long long>(rows(*image)), static_cast<long long>(image->row_stride),
           static_cast<long long>(kMostRows));
  plan.weights = s.kh * s.kw * s.C * s.K;
  plan.narrow = s.K <= kWeightGradientNarrow;
  plan.ring_lines = ring_lines_of(s, x);
  plan.fused = plan.ring_lines && !is_copied(x, false);
  const int64_t padded_rows = s.kh * s.kw * round_up(s.C, plan.channel_step(x));
  const int64_t tiles = blocks_of(padded_rows, plan.rows()) * blocks_of(s.K, plan.columns());
  const Cut cut = best_cut(plan.pixels, tiles, plan.rows() * plan.columns(), plan.weights);
  plan.split_pixels = cut.split_pixels;
  plan.splits = cut.splits;

  const auto reserve = [&](int64_t bytes) {
    const size_t begin = plan.bytes;
    plan.bytes += static_cast<size_t>(round_up(bytes, kScratchAlignment));
    return begin;
  };
  plan.x = reserve(!plan.fused && is_copied(x, norm.mean.data) ? copy_bytes(x) : 0);
  plan.dy = reserve(is_copied(dy, normalised.data) ? copy_bytes(dy) : 0);
  plan.dweight = reserve(plan.splits > 1 ? plan.splits * plan.weights * 4 : 0);
  plan.dbias = reserve(plan.splits > 1 && dbias.data ? plan.splits * s.K * 4 : 0);
  return plan;
}

AlignedImage aligned(const Tensor& image) {
  const int64_t beyond = static_cast<int64_t>(reinterpret_cast<uintptr_t>(image.data) % kMultipliedBytes);
  const int64_t skipped = beyond / element_bytes(image);
  return {static_cast<const std::byte*>(image.data) - beyond,
          static_cast<int32_t>(image.row_stride * element_bytes(image)),
          static_cast<int32_t>(channels(image) + skipped), static_cast<int32_t>(skipped)};
}

}  // namespace

size_t conv2d_weight_gradient_scratch(const Call& call, const Limits&) { return plan_of(call).bytes; }

void conv2d_weight_gradient(const Call& call, Launcher& launcher) {
  const auto& [dweight, dbias, x, dy, norm, normalised, coefficients] = conv2d_weight_gradient_args(call);
  const Conv2dShape s = conv2d_shape(call, x, dy, dweight);
  const Plan plan = plan_of(call);
  std::byte* const scratch = launcher.scratch();
  const auto part = [&](size_t begin) { return reinterpret_cast<float*>(scratch + begin); };

  Conv2dWeightGradientArguments a{};
  const bool silu = call.attributes[3] != 0;
  a.x = aligned(plan.fused ? x : multiplied_x(x, norm, silu, scratch + plan.x, launcher));
  if (plan.fused) a.norm = norm_arguments(&norm.mean);
  a.silu = silu;
  a.ring_lines = static_cast<int32_t>(plan.ring_lines);
  a.sample_pixels = divisor_of(s.H * s.W);
  a.dy = aligned(multiplied_dy(dy, normalised, coefficients, scratch + plan.dy, launcher));
  a.dweight = plan.splits > 1 ? part(plan.dweight) : f32(dweight);
  a.dbias = plan.splits > 1 && dbias.data ? part(plan.dbias) : f32(dbias);
  a.output_height = divisor_of(s.OH);
  a.output_width = divisor_of(s.OW);
  const int64_t padded_channels = round_up(a.x.channels, plan.channel_step(x));
  a.padded_channels = divisor_of(padded_channels);
  a.kernel_width = divisor_of(s.kw);
  a.taps = static_cast<int32_t>(s.kh * s.kw);
  a.stride = static_cast<int32_t>(s.stride);
  a.pad_top = static_cast<int32_t>(s.pad_top);
  a.pad_left = static_cast<int32_t>(s.pad_left);
  a.height = static_cast<int32_t>(s.H);
  a.width = static_cast<int32_t>(s.W);
  a.pixels = static_cast<int32_t>(plan.pixels);
  a.split_pixels = static_cast<int32_t>(plan.split_pixels);

  const Grid grid{blocks_of(a.taps * padded_channels, plan.rows()), blocks_of(a.dy.channels, plan.columns()),
                  plan.splits};
  const int64_t ring_bytes = plan.ring_lines * kWeightGradientPatchChannels * element_bytes(x);
  const int64_t stage_bytes =
      kWeightGradientStageBytes * (plan.columns() + (plan.ring_lines ? 0 : kWeightGradientRows));
  const char* suffix = x.dtype == DType::f32 && launcher.tf32() ? "tf32" : image_suffix(x);
  launcher.launch("conv2d_weight_gradient",
                  std::string("conv2d_weight_gradient_") + (plan.ring_lines ? "patch_" : "") +
                      (plan.narrow ? "narrow_" : "") + suffix,
                  grid, plan.ring_lines ? kWeightGradientPatchThreads : kWeightGradientThreads, a,
                  static_cast<size_t>(ring_bytes + (plan.ring_lines ? kWeightGradientZeroBytes : 0) +
                                      kWeightGradientStages * stage_bytes));
  if (plan.splits == 1) return;
  const Conv2dWeightGradientSumArguments sum{a.dweight,
                                             a.dbias,
                                             f32(dweight),
                                             f32(dbias),
                                             plan.weights,
                                             static_cast<int32_t>(dbias.data ? s.K : 0),
                                             static_cast<int32_t>(plan.splits)};
  launcher.launch("conv2d_weight_gradient", "conv2d_weight_gradient_sum",
                  {blocks_of(plan.weights + sum.channels, kWeightGradientSumThreads)}, kWeightGradientSumThreads, sum);
}

}  // namespace diffuse::cuda
