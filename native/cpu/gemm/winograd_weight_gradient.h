// Gradient of the weights of 3x3 convolutions of stride 1 by Winograd's F(3x3, 4x4) (winograd_transform.h).
//
//   inputs     V[point][block][tile][kBlock]    = Bᵀ d B of the 6x6 tiles of x
//   gradients  Z[point][panel][tile][kPanel]    = A e Aᵀ of the 4x4 tiles of dy
//   products   D[point][channel][column]        = Σ over tiles of V Z, a matrix product at each of the 36 points
//   dweight                                     = Gᵀ D G
//
// The tiles are taken in parts, so that V and Z of a part stay in L3 and are of bounded size. Within a part all threads
// transform; then a task is a point and some panels, whose V and Z it brings into its L2. How tiles are cut depends on
// the shape alone, and so do the bits of the result.
#pragma once

#include "cpu/gemm/weight_gradient.h"
#include "cpu/gemm/winograd_tiles.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

template <typename T>
struct WinogradWeightGradient {
  Source<T> x, dy;
  int64_t pad_top, pad_left;
  float* dweight;  // [tap][C][K]
  float* dbias;    // [K] or null

  TileGrid grid() const { return tile_grid(dy.image.N, dy.image.H, dy.image.W); }
};

// Z = A e Aᵀ of one row of tiles, for the block of channels that begins at `channel`, into the places from `first` on.
static void transform_gradient_row(const float* pixels, int64_t columns, float* lines, const TransformedTiles& z,
                                   int64_t channel, int64_t first) {
  for (int part = 0; part < kBlock && channel + part < z.channels; part += kLanes) {
    const int64_t k = channel + part;
    float* to = z.data + k / kPanel * z.block_step() + first * kPanel + k % kPanel;
    map_tile_row<4>(pixels + part, columns, lines, to, kPanel, z.point_step(),
                    [](const Vec(&e)[4], Vec(&o)[6]) { map_output_gradients(e, o); });
  }
}

// sums[kBlock] += the sum of `count` packed pixels.
DIFFUSE_INLINE void add_pixels(const float* pixels, int64_t count, float* sums) {
  for (int part = 0; part < kBlock; part += kLanes) {
    Vec sum = zero();
    for (int64_t p = 0; p < count; p++) sum = sum + load(pixels + p * kBlock + part);
    store(sums + part, load(sums + part) + sum);
  }
}

// Transforms the tiles of a range of dy; leaves the sums of its pixels in `sums`, [channels in whole blocks].
template <typename T>
static void transform_gradients(const WinogradWeightGradient<T>& w, const TileGrid& grid, const TileRange& range,
                                const TransformedTiles& z, int64_t first, float* sums, float* pixels, float* lines) {
  const int64_t width = range.columns * kTile;
  Numbers<kBlock> numbers;
  with_reading(w.dy.reading, [&](auto reading) {
    for (int64_t channel = 0; channel < w.dy.image.C; channel += kBlock) {
      for (int part = 0; part < kBlock; part += kLanes) store(sums + channel + part, zero());
      int64_t at = first;
      for_each_image(grid, range, [&](int64_t image, int64_t row, int64_t rows) {
        gather(numbers, w.dy, image, channel);
        gather_pixels<decltype(reading)::value>(w.dy, numbers, image, row * kTile, rows * kTile, range.column * kTile,
                                                width, channel, pixels);
        add_pixels(pixels, rows * kTile * width, sums + channel);
        for (int64_t r = 0; r < rows; r++, at += range.columns)
          transform_gradient_row(pixels + r * kTile * width * kBlock, range.columns, lines, z, channel, at);
      });
    }
  });
}

// D (+)= Vᵀ Z at one point for some panels; d_row floats from one channel of D to the next.
static void reduce_point(const TransformedTiles& v, const TransformedTiles& z, int point, int64_t tiles,
                         int64_t first_panel, int64_t last_panel, float* d, int64_t d_row, bool begin) {
  constexpr int64_t kRun = 256;  // tiles whose panel of Z stays in L1 while all channels pass over it
  TileReduction t{};
  t.rows = 1;
  t.d_row = d_row;
  t.columns = kPanel;
  for (int64_t tile = 0; tile < tiles; tile += kRun) {
    t.run = at_most(tiles - tile, kRun);
    t.first = begin && tile == 0;
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
      t.b = z.data + point * z.point_step() + panel * z.block_step() + tile * kPanel;
      for (int64_t c = 0; c < v.channels;) {
        const int64_t rows = at_most(at_most(kRowsOneTap, v.channels - c), kBlock - c % kBlock);
        t.a = v.data + point * v.point_step() + c / kBlock * v.block_step() + tile * kBlock + c % kBlock;
        t.d = d + c * d_row + panel * kPanel;
        reduce_rows(t, 1, static_cast<int>(rows));
        c += rows;
      }
    }
  }
}

// dweight = Gᵀ D G for one input channel, D the sum of `parts` of them, in order.
template <typename T>
static void transform_weight_gradient(const WinogradWeightGradient<T>& w, const float* d, int64_t point_step,
                                      int64_t part_step, int64_t parts, int64_t channel) {
  const int64_t tap_step = w.x.image.C * w.dy.image.C;
  for (int64_t k = 0; k < w.dy.image.C; k += kLanes) {
    const int64_t left = at_most(w.dy.image.C - k, kLanes);
    // The rows of D first: they lie one after the other.
    Vec columns[3][6];
    const float* from = d + k;
    DIFFUSE_UNROLL
    for (int i = 0; i < 6; i++) {
      Vec m[6], h[3];
      DIFFUSE_UNROLL
      for (int j = 0; j < 6; j++) {
        m[j] = load(from);
        for (int64_t part = 1; part < parts; part++) m[j] = m[j] + load(from + part * part_step);
        next_point(from, point_step);
      }
      map_weight_gradients(m, h);
      DIFFUSE_UNROLL
      for (int j = 0; j < 3; j++) columns[j][i] = h[j];
    }
    float* to = w.dweight + channel * w.dy.image.C + k;
    DIFFUSE_UNROLL
    for (int j = 0; j < 3; j++) {
      Vec h[3];
      map_weight_gradients(columns[j], h);
      DIFFUSE_UNROLL
      for (int i = 0; i < 3; i++) store_first(to + (i * 3 + j) * tap_step, h[i], left);
    }
  }
}

// How the work is cut; all but the panels of a task depends on the shape alone.
struct WinogradReductionTiling {
  bool own_sums;
  TileCuts cuts;        // ranges that are transformed by one task
  int64_t part_ranges;  // ranges of a part
  int64_t parts, part_tiles;
  int64_t panels, panels_together, panel_groups;
  int64_t v_floats, z_floats, d_row, d_point, d_floats, sum_row, sum_floats, pixel_floats, line_floats, own_floats;

  int64_t thread_floats() const { return own_floats + pixel_floats + line_floats; }
  int64_t all_d_floats() const { return d_floats * (own_sums ? parts : 1); }
};

constexpr int64_t kTransformTiles = 32;
constexpr int64_t kPartBytes = 12 << 20;
// D of so many bytes stays in L2 beside V and Z of kTransformTiles.
constexpr int64_t kOwnSumBytes = 640 << 10;
constexpr int64_t kOwnSums = 16;

template <typename T>
static WinogradReductionTiling choose_winograd_reduction(const WinogradWeightGradient<T>& w, int threads) {
  WinogradReductionTiling g{};
  const TileGrid grid = w.grid();
  g.cuts = cut_tiles(grid, kTransformTiles);
  g.panels = divide_up(w.dy.image.C, kPanel);
  g.d_row = g.panels * kPanel;
  g.d_point = w.x.image.C * g.d_row + kPointPadding;
  g.d_floats = kPoints * g.d_point;
  g.own_sums = g.d_floats * 4 <= kOwnSumBytes;
  const int64_t tile_bytes = 4 * kPoints * (round_up(w.x.image.C, kBlock) + round_up(w.dy.image.C, kPanel));
  const int64_t ranges = at_least(1, kPartBytes / tile_bytes / g.cuts.tiles());
  g.parts = g.own_sums ? at_most(kOwnSums, g.cuts.ranges()) : divide_up(g.cuts.ranges(), ranges);
  g.part_ranges = divide_up(g.cuts.ranges(), g.parts);
  g.parts = divide_up(g.cuts.ranges(), g.part_ranges);
  g.part_tiles = g.own_sums ? g.cuts.tiles() : g.part_ranges * g.cuts.tiles();
  const int64_t wanted = threads > 1 ? 8 * threads : 1;
  g.panels_together = divide_up(g.panels, at_most(g.panels, divide_up(wanted, kPoints)));
  g.panel_groups = divide_up(g.panels, g.panels_together);
  g.v_floats = TransformedTiles{nullptr, g.part_tiles, w.x.image.C, kBlock}.floats();
  g.z_floats = TransformedTiles{nullptr, g.part_tiles, w.dy.image.C, kPanel}.floats();
  g.sum_row = round_up(w.dy.image.C, kBlock);
  g.sum_floats = g.cuts.ranges() * g.sum_row;
  g.pixel_floats = pixel_floats(g.cuts);
  g.line_floats = line_floats(g.cuts);
  if (g.own_sums) {
    // V and Z are a thread's own, D is a part's.
    g.own_floats = g.v_floats + g.z_floats;
    g.v_floats = g.z_floats = 0;
  }
  return g;
}

template <typename T>
static size_t winograd_weight_gradient_scratch(const Call& call, const WinogradWeightGradient<T>& w) {
  const int threads = thread_count(call.workers);
  const WinogradReductionTiling g = choose_winograd_reduction(w, threads);
  return sizeof(float) *
         static_cast<size_t>(g.v_floats + g.z_floats + g.all_d_floats() + g.sum_floats + g.thread_floats() * threads);
}

// Small D: a part of the tiles is transformed and summed up within L2.
template <typename T>
static void winograd_own_sums(const Call& call, const WinogradWeightGradient<T>& w, const WinogradReductionTiling& g,
                              float* d, float* sums, float* scratch) {
  const TileGrid grid = w.grid();
  parallel_for(call, g.parts, [&](int64_t part, int thread) {
    const int64_t begin = part * g.part_ranges, end = at_most(begin + g.part_ranges, g.cuts.ranges());
    float *own = scratch + thread * g.thread_floats(), *pixels = own + g.own_floats, *lines = pixels + g.pixel_floats;
    for (int64_t index = begin; index < end; index++) {
      const TileRange range = tile_range(grid, g.cuts, index);
      const TransformedTiles v{own, range.count(), w.x.image.C, kBlock};
      const TransformedTiles z{own + v.floats(), range.count(), w.dy.image.C, kPanel};
      transform_inputs(w.x, w.pad_top, w.pad_left, grid, range, v, 0, pixels, lines, 0, v.blocks());
      transform_gradients(w, grid, range, z, 0, sums + index * g.sum_row, pixels, lines);
      for (int point = 0; point < kPoints; point++)
        reduce_point(v, z, point, range.count(), 0, g.panels, d + part * g.d_floats + point * g.d_point, g.d_row,
                     index == begin);
    }
  });
}

// Large D: all tiles of a part are transformed, then each point is summed up by a task.
template <typename T>
static void winograd_shared_sums(const Call& call, const WinogradWeightGradient<T>& w, const WinogradReductionTiling& g,
                                 float* v_data, float* z_data, float* d, float* sums, float* scratch) {
  const TileGrid grid = w.grid();
  for (int64_t part = 0; part < g.parts; part++) {
    const int64_t begin = part * g.part_ranges, end = at_most(begin + g.part_ranges, g.cuts.ranges());
    const int64_t first = first_tile(grid, tile_range(grid, g.cuts, begin));
    const TileRange last = tile_range(grid, g.cuts, end - 1);
    const int64_t tiles = first_tile(grid, last) + last.count() - first;
    const TransformedTiles v{v_data, tiles, w.x.image.C, kBlock}, z{z_data, tiles, w.dy.image.C, kPanel};
    parallel_for(call, end - begin, [&](int64_t index, int thread) {
      const TileRange range = tile_range(grid, g.cuts, begin + index);
      const int64_t at = first_tile(grid, range) - first;
      float *pixels = scratch + thread * g.thread_floats(), *lines = pixels + g.pixel_floats;
      transform_inputs(w.x, w.pad_top, w.pad_left, grid, range, v, at, pixels, lines, 0, v.blocks());
      transform_gradients(w, grid, range, z, at, sums + (begin + index) * g.sum_row, pixels, lines);
    });
    parallel_for(call, kPoints * g.panel_groups, [&](int64_t index, int) {
      const int point = static_cast<int>(index / g.panel_groups);
      const int64_t panel = index % g.panel_groups * g.panels_together;
      reduce_point(v, z, point, tiles, panel, at_most(panel + g.panels_together, g.panels), d + point * g.d_point,
                   g.d_row, part == 0);
    });
  }
}

template <typename T>
static void winograd_weight_gradient(const Call& call, const WinogradWeightGradient<T>& w) {
  const WinogradReductionTiling g = choose_winograd_reduction(w, thread_count(call.workers));
  float* v_data = reinterpret_cast<float*>(call.scratch);
  float* z_data = v_data + g.v_floats;
  float* d = z_data + g.z_floats;
  float* sums = d + g.all_d_floats();
  float* scratch = sums + g.sum_floats;
  if (g.own_sums)
    winograd_own_sums(call, w, g, d, sums, scratch);
  else
    winograd_shared_sums(call, w, g, v_data, z_data, d, sums, scratch);
  parallel_ranges(call, w.x.image.C, 4, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++)
      transform_weight_gradient(w, d + c * g.d_row, g.d_point, g.d_floats, g.own_sums ? g.parts : 1, c);
  });
  if (w.dbias) add_parts(call, w.dbias, w.dy.image.C, sums, g.sum_row, g.cuts.ranges());
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
