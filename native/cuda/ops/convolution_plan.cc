#include "cuda/ops/convolution_plan.h"

#include <algorithm>
#include <climits>

#include "cuda/ops/multiplied_image.h"

namespace diffuse::cuda {
namespace {

constexpr int64_t kScratchAlignment = 256;
// Of moments and sums.
constexpr int64_t kChunkRows = 4;
// Columns of the widest tile.
constexpr int64_t kOutputStep = 128;
static_assert(kOutputStep % kPackTile == 0);
// Pixels are numbered in 31 bits, and the rows of a tile and its patch may reach over their end.
constexpr int64_t kMostPixels = INT_MAX - 512;
// Patches leave room for two blocks where a multiprocessor has 100 KB, 1 KB of a block for the system.
constexpr int64_t kPatchSharedBytes = 49 * 1024;
// Pixels of a patch that a block fetches and finishes between two taps (cuda/gemm/convolution_patch.h).
constexpr int64_t kPatchPart = 32;
// Taps that it tells inside from outside of the image, a bit each.
constexpr int64_t kMostPatchTaps = 32;

int64_t round_up(int64_t count, int64_t step) { return blocks_of(count, step) * step; }
int32_t narrow(int64_t value) { return static_cast<int32_t>(value); }

// One dimension of a lattice.
struct Extent {
  int64_t first, count, window, source, weight;
};

Extent forward_extent(int64_t outputs, int64_t window, int64_t pad) { return {0, outputs, window, -pad, 0}; }

// The outputs `parity`, parity + stride, … of a data gradient: output u sees the taps a for which u + pad - a is a
// multiple of the stride, and reads dy at the quotient; the last such tap reads the first pixel.
Extent data_gradient_extent(int64_t outputs, int64_t window, int64_t stride, int64_t pad, int64_t parity) {
  const int64_t first_tap = (parity + pad) % stride;
  const int64_t taps = window > first_tap ? blocks_of(window - first_tap, stride) : 0;
  return {parity, blocks_of(outputs - parity, stride), taps, (parity + pad - first_tap) / stride - (taps - 1),
          first_tap + stride * (taps - 1)};
}

// Pixels of the units of which statistics are taken: those that fill up a sample best, the largest if several do.
// Not those that suit a tile, so that a sample has the same bits in every batch.
int64_t best_unit(int64_t pixels) {
  int64_t best = kFinishedRows;
  for (int64_t unit : {32, 16})
    if (round_up(pixels, unit) < round_up(pixels, best)) best = unit;
  return best;
}

// What the tiles of a convolution read around them, whose samples of H x W outputs are `sample_rows` rows of the
// product. Where tiles begin at the left edge of an image, no tap reaches over it.
ConvolutionPatch patch_of(const Extent& down, const Extent& across, int64_t samples, int64_t sample_rows) {
  const int64_t W = across.count;
  const bool whole_rows = kSquarePatchTile.rows % W == 0 && sample_rows % W == 0;
  const int64_t left = whole_rows ? 0 : -across.source, right = whole_rows ? 0 : across.source + across.window - 1;
  const int64_t above = std::min(-down.source, down.count - 1);
  const int64_t below = std::min(down.source + down.window - 1, down.count - 1);
  return {narrow(std::max<int64_t>(0, above * W + left)), narrow(std::max<int64_t>(0, below * W + right)),
          narrow(samples), divisor_of(sample_rows)};
}

// Whether patches are worth it. That follows from the shape alone, since products are summed in another order.
bool reads_patches(const Tensor& source, const ConvolutionPatch& patch, int64_t taps) {
  if (taps > kMostPatchTaps) return false;
  // Chunks are multiplied whole: at most a quarter more than there is may be zeros that fill up the last.
  const int64_t C = channels(source), chunk = kTileRowBytes / element_bytes(source);
  if (4 * round_up(C, chunk) > 5 * whole_chunks(source, C)) return false;
  // A part is fetched with every tap and finished behind the next. So patches of 3 x 3 taps have 256 pixels at most,
  // twice those of a tile.
  if (blocks_of(patch_pixels(patch, kWidePatchTile.rows), kPatchPart) > taps - 1) return false;
  return shared_bytes(kWidePatchTile, patch) <= kPatchSharedBytes;
}

}  // namespace

ConvolutionPlan plan_convolution(const char* kernel, const Conv2dShape& shape, bool data_gradient, bool scalar,
                                 const Tensor& source, bool stands_for_another, const Tensor& to, int64_t numbers) {
  const auto expect_numbers = [&](int64_t pixels) {
    if (pixels <= kMostPixels) return;
    fail("ERR_SHAPE", kernel, "%lld pixels are more than a GPU numbers here, %lld at most",
         static_cast<long long>(pixels), static_cast<long long>(kMostPixels));
  };
  expect_numbers(rows(source));
  expect_numbers(rows(to));
  const int64_t size = element_bytes(source);
  const int64_t step = data_gradient ? shape.stride : 1;

  ConvolutionPlan plan{};
  plan.data_gradient = data_gradient;
  plan.tap_step = data_gradient ? narrow(-step) : 1;
  plan.padded_outputs = narrow(round_up(channels(to), kOutputStep));
  ConvolutionArguments& a = plan.sizes;
  a.source_rows = narrow(source.shape[1]);
  a.source_columns = narrow(source.shape[2]);
  a.source_channels = narrow(channels(source));
  a.source_step = narrow(data_gradient ? 1 : shape.stride);
  a.groups = narrow(numbers ? shape.N : 1);
  a.samples_of_group = narrow(numbers ? 1 : shape.N);
  a.output_step = narrow(step);
  a.to.channels = narrow(channels(to));
  a.output_rows = narrow(to.shape[1]);
  a.output_columns = narrow(to.shape[2]);
  a.unit_pixels = narrow(best_unit(blocks_of(to.shape[1], step) * blocks_of(to.shape[2], step)));

  const auto down_of = [&](int64_t parity) {
    return data_gradient ? data_gradient_extent(shape.H, shape.kh, step, shape.pad_top, parity)
                         : forward_extent(shape.OH, shape.kh, shape.pad_top);
  };
  const auto across_of = [&](int64_t parity) {
    return data_gradient ? data_gradient_extent(shape.W, shape.kw, step, shape.pad_left, parity)
                         : forward_extent(shape.OW, shape.kw, shape.pad_left);
  };
  if (!scalar && shape.stride == 1 && source.shape[1] == to.shape[1] && source.shape[2] == to.shape[2]) {
    const int64_t pixels = to.shape[1] * to.shape[2];
    a.patch = patch_of(down_of(0), across_of(0), shape.N, numbers ? round_up(pixels, a.unit_pixels) : pixels);
    plan.patches = reads_patches(source, a.patch, shape.kh * shape.kw);
  }
  plan.fused = plan.patches && stands_for_another && !is_copied(source, false);
  const int64_t padded_channels =
      plan.patches ? round_up(channels(source), kTileRowBytes / size) : whole_chunks(source, channels(source));
  a.padded_channels = narrow(padded_channels);

  int64_t weights = 0;
  for (int64_t y = 0; y < step; y++)
    for (int64_t x = 0; x < step; x++) {
      const Extent down = down_of(y), across = across_of(x);
      const int64_t pixels = down.count * across.count;
      if (pixels == 0) continue;
      ConvolutionLattice& lattice = a.lattice[plan.lattices++];
      lattice.first_row = narrow(down.first);
      lattice.first_column = narrow(across.first);
      lattice.columns = divisor_of(across.count);
      lattice.pixels = divisor_of(pixels);
      lattice.window_rows = narrow(down.window);
      lattice.window_columns = narrow(across.window);
      lattice.source_row = narrow(down.source);
      lattice.source_column = narrow(across.source);
      lattice.weight_row = narrow(down.weight);
      lattice.weight_column = narrow(across.weight);
      lattice.depth = narrow(round_up(down.window * across.window * padded_channels, kTileRowBytes / size));
      const int64_t padded_pixels = numbers ? round_up(pixels, a.unit_pixels) : pixels * shape.N;
      expect_numbers(padded_pixels * a.groups);
      lattice.padded_pixels = divisor_of(padded_pixels);
      lattice.chunk_pixels = divisor_of(kChunkRows / step * across.count);
      lattice.first_segment = a.segments_of_sample;
      lattice.first_weight = weights;
      a.segments_of_sample += narrow(blocks_of(pixels, a.unit_pixels) + blocks_of(to.shape[1], kChunkRows));
      weights += static_cast<int64_t>(lattice.depth) * plan.padded_outputs;
    }
  a.chunks_are_segments = plan.lattices == 1 && a.unit_pixels % a.lattice[0].chunk_pixels.value == 0;
  if (a.chunks_are_segments) a.segments_of_sample = narrow(blocks_of(to.shape[1], kChunkRows));
  // Those that take longest begin first.
  std::stable_sort(
      a.lattice, a.lattice + plan.lattices,
      [](const ConvolutionLattice& one, const ConvolutionLattice& other) { return one.depth > other.depth; });

  const auto reserve = [&](int64_t bytes) {
    const size_t begin = plan.bytes;
    plan.bytes += static_cast<size_t>(round_up(bytes, kScratchAlignment));
    return begin;
  };
  plan.source = reserve(!plan.fused && is_copied(source, stands_for_another) ? copy_bytes(source) : 0);
  plan.weights = reserve(weights * size);
  plan.segments = reserve(a.chunks_are_segments ? 0 : shape.N * a.segments_of_sample * numbers * channels(to) * 4);
  return plan;
}

int32_t shared_bytes_of(const ConvolutionPlan& plan, const ConvolutionTile& tile) {
  return plan.patches ? shared_bytes(tile, plan.sizes.patch) : shared_bytes(tile);
}

Grid grid_of(const ConvolutionPlan& plan, const ConvolutionTile& tile) {
  const ConvolutionArguments& a = plan.sizes;
  int64_t most = 0;
  for (int32_t i = 0; i < plan.lattices; i++)
    most = std::max(most, blocks_of(int64_t{a.groups} * a.lattice[i].padded_pixels.value, tile.rows));
  return {most * blocks_of(a.to.channels, tile.columns), plan.lattices};
}

NamedTile best_tile(const ConvolutionPlan& plan, const Limits& limits, bool scalar) {
  if (plan.sizes.to.channels <= kNarrowTile.columns)
    return plan.patches ? NamedTile{"patch_narrow", kNarrowPatchTile} : NamedTile{"narrow", kNarrowTile};
  const NamedTile wide = plan.patches ? NamedTile{"patch_wide", kWidePatchTile}
                                      : NamedTile{"wide", scalar ? kWideScalarTile : kWideMatrixTile};
  const NamedTile square =
      plan.patches ? NamedTile{"patch_square", kSquarePatchTile} : NamedTile{"square", kSquareTile};
  // The products that the busiest multiprocessor computes.
  const auto products = [&](const ConvolutionTile& tile) {
    const Grid grid = grid_of(plan, tile);
    return static_cast<double>(blocks_of(grid.x * grid.y, limits.multiprocessors) * tile.rows * tile.columns);
  };
  // What square tiles lose to fetching: each of their operands serves half as many products.
  constexpr double kSquareEfficiency = 0.75;
  return products(wide.tile) <= products(square.tile) / kSquareEfficiency ? wide : square;
}

}  // namespace diffuse::cuda
