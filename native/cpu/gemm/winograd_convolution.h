// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications (winograd_transform.h).
//
//   inputs    V[point][block][tile][kBlock]            = Bᵀ d B of every 6x6 tile, channels in blocks
//   weights   U[panel][point][channel][kPanel]         = G g Gᵀ, output channels in panels
//   products  M[point][tile][kPanel]                   = V U, a matrix product at each of the 36 points
//   outputs   y                                        = Aᵀ M A, a tile of 4x4 pixels
//
// What is large must not travel far. There are three ways to walk, which compute the same sums in the same order and so
// give the same bits:
//
//   tiles outside   All weights are transformed first. A task takes a few tiles, whose V stays in its L2, over all
//                   panels: U comes from L3 once a task. For large images.
//   panels outside  All inputs are transformed first. A task takes one panel, transforms its weights into its L2, and
//                   takes it over all tiles: V comes from L3 once a panel and U is never written. For small images,
//                   where the weights are what is large.
//   few tiles       winograd_few_tiles.h: U stays in registers.
#pragma once

#include "cpu/gemm/winograd_few_tiles.h"
#include "cpu/gemm/winograd_outputs.h"
#include "cpu/parallel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Tiles of a task when tiles are outside; the weights come from L3 once for so many.
constexpr int64_t kTileBytes = 1 << 20;
constexpr int64_t kFewestTiles = 28, kMostTiles = 56;
// Tiles that are multiplied together when panels are outside.
constexpr int64_t kProductTiles = 112;

// Floats of U of a panel.
template <typename T>
DIFFUSE_INLINE int64_t panel_floats(const WinogradConvolution<T>& w) {
  return kPoints * w.x.image.C * kPanel;
}

// U of one panel, for one block of channels.
template <typename T>
static void transform_weights(const WinogradConvolution<T>& w, int64_t panel, int64_t channel, float* u) {
  const int64_t depth = at_most(w.x.image.C - channel, kBlock), point_step = w.x.image.C * kPanel;
  float taps[9 * kTapFloats];
  pack_taps(w, panel, channel, taps);
  u += channel * kPanel;
  for (int64_t at = 0; at < depth * kPanel; at += kLanes) {
    Vec rows[3][6], o[6];
    DIFFUSE_UNROLL
    for (int b = 0; b < 3; b++) {
      Vec g[3];
      DIFFUSE_UNROLL
      for (int a = 0; a < 3; a++) g[a] = load(taps + (a * 3 + b) * kTapFloats + at);
      map_weights(g, rows[b]);
    }
    DIFFUSE_UNROLL
    for (int i = 0; i < 6; i++) {
      Vec g[3] = {rows[0][i], rows[1][i], rows[2][i]};
      map_weights(g, o);
      DIFFUSE_UNROLL
      for (int j = 0; j < 6; j++) store(u + (i * 6 + j) * point_step + at, o[j]);
    }
  }
}

// M = V U at every point, for `tiles` tiles from `first` on and one panel.
template <typename T>
static void multiply_points(const TransformedTiles& v, int64_t first, int64_t tiles, const float* u, bool more_panels,
                            OutputWalk<T> outputs, float* m) {
  int64_t c_rows[kProductTiles], no_offset = 0;
  for (int64_t r = 0; r < tiles; r++) c_rows[r] = r * kPanel;
  const TileCut cut = cut_rows(tiles);
  const int64_t point_floats = v.channels * kPanel, blocks = divide_up(v.channels, kBlock);
  TileProduct tile{};
  tile.a_block = v.block_step();
  tile.taps = &no_offset;
  tile.tap_count = 1;
  tile.depth = v.channels;
  tile.b_block = kBlock * kPanel;
  tile.b_step = kPanel;
  tile.columns = kPanel;
  tile.alpha = 1;
  const int64_t pixels = divide_up(outputs.pixels(), kPoints * cut.tiles);
  for (int point = 0; point < kPoints; point++) {
    tile.a = v.data + point * v.point_step() + first * kBlock;
    tile.b = u + point * point_floats;
    // While a point is multiplied, the weights of the next come from L3 into L2.
    tile.ahead = tile.b + point_floats;
    tile.ahead_lines =
        point + 1 < kPoints || more_panels ? divide_up(point_floats / kLineFloats, cut.tiles * blocks) : 0;
    tile.c = m + point * product_step(tiles);
    tile.c_rows = c_rows;
    for (int64_t index = 0; index < cut.tiles; index++) {
      const int64_t height = cut.height + (index < cut.taller);
      outputs.ask(pixels);
      multiply_rows(tile, static_cast<int>(height));
      tile.a += height * kBlock;
      tile.c_rows += height;
      tile.ahead += blocks * tile.ahead_lines * kLineFloats;
    }
  }
}

// How the work is cut.
enum class WinogradWalk { tiles_outside, panels_outside, few_tiles };

struct WinogradTiling {
  WinogradWalk walk;
  TileCuts cuts;
  int64_t panels, panels_together, panel_groups;
  int64_t product_rows;   // of tiles that are multiplied together when panels are outside
  int64_t shared_floats;  // U when tiles are outside, else V
  int64_t own_floats;     // of each thread: V of a range, else U of a panel
  int64_t product_floats, pixel_floats, line_floats;

  int64_t thread_floats() const { return own_floats + product_floats + pixel_floats + line_floats; }
};

template <typename T>
static WinogradTiling choose_winograd_tiling(const WinogradConvolution<T>& w, int threads) {
  WinogradTiling g{};
  const TileGrid grid = w.grid();
  const int64_t range_tiles = kTileBytes / 4 / kPoints / round_up(w.x.image.C, kBlock);
  g.cuts = cut_tiles(grid, at_least(at_most(range_tiles, kMostTiles), kFewestTiles));
  g.panels = divide_up(w.y.K, kPanel);
  // Bytes that go to or come from L3.
  const TransformedTiles all{nullptr, grid.count(), w.x.image.C, kBlock},
      some{nullptr, g.cuts.tiles(), w.x.image.C, kBlock};
  const int64_t u = g.panels * panel_floats(w), v = all.floats();
  if (takes_few_tiles(w))
    g.walk = WinogradWalk::few_tiles;
  else if (grid.columns <= kProductTiles && v * (1 + g.panels) < u * (1 + g.cuts.ranges()))
    g.walk = WinogradWalk::panels_outside;
  const bool tiles_outside = g.walk == WinogradWalk::tiles_outside;
  g.product_rows = at_least(1, kProductTiles / grid.columns);
  g.shared_floats = round_up(tiles_outside ? u : v, kLineFloats);
  g.own_floats = round_up(tiles_outside ? some.floats() : panel_floats(w), kLineFloats);
  g.product_floats = kPoints * product_step(tiles_outside ? g.cuts.tiles() : kProductTiles);
  g.pixel_floats = pixel_floats(g.cuts);
  g.line_floats = line_floats(g.cuts);
  const int64_t wanted = threads > 1 ? 8 * threads : 1;
  g.panels_together = divide_up(g.panels, at_most(g.panels, divide_up(wanted, g.cuts.ranges())));
  if (g.walk == WinogradWalk::few_tiles) {
    g.panels_together = at_most(kPanelsTogether, divide_up(g.panels, threads));
    g.own_floats = g.panels_together * kPackedTaps;
    g.product_floats = g.panels_together * kPoints * product_step(grid.count());
  }
  g.panel_groups = divide_up(g.panels, g.panels_together);
  return g;
}

template <typename T>
static void winograd_tiles_outside(const Call& call, const WinogradConvolution<T>& w, const WinogradTiling& g,
                                   float* shared, float* scratch) {
  const TileGrid grid = w.grid();
  const int64_t blocks = divide_up(w.x.image.C, kBlock);
  parallel_for(call, g.panels * blocks, [&](int64_t index, int) {
    const int64_t panel = index / blocks;
    transform_weights(w, panel, index % blocks * kBlock, shared + panel * panel_floats(w));
  });
  int64_t held[kMaxThreads];
  for (int64_t& range : held) range = -1;
  parallel_for(call, g.cuts.ranges() * g.panel_groups, [&](int64_t index, int thread) {
    const int64_t of = index / g.panel_groups, first = index % g.panel_groups * g.panels_together;
    const int64_t last = at_most(first + g.panels_together, g.panels);
    const TileRange range = tile_range(grid, g.cuts, of);
    float* own = scratch + thread * g.thread_floats();
    float* m = own + g.own_floats;
    float* pixels = m + g.product_floats;
    const TransformedTiles v{own, range.count(), w.x.image.C, kBlock};
    if (held[thread] != of)
      transform_inputs(w.x, w.pad_top, w.pad_left, grid, range, v, 0, pixels, pixels + g.pixel_floats, 0, v.blocks());
    held[thread] = of;
    for (int64_t panel = first; panel < last; panel++) {
      multiply_points(v, 0, range.count(), shared + panel * panel_floats(w), panel + 1 < g.panels,
                      OutputWalk<T>(w, range, panel), m);
      transform_outputs(w, range, m, panel);
    }
  });
}

// V of all tiles.
template <typename T>
static TransformedTiles transform_all_inputs(const Call& call, const WinogradConvolution<T>& w, const WinogradTiling& g,
                                             float* shared, float* scratch) {
  const TileGrid grid = w.grid();
  const TransformedTiles v{shared, grid.count(), w.x.image.C, kBlock};
  // A few tiles are shared out by channels.
  const int64_t blocks = divide_up(w.x.image.C, kBlock), groups = at_most(blocks, divide_up(16, g.cuts.ranges()));
  parallel_for(call, g.cuts.ranges() * groups, [&](int64_t index, int thread) {
    const TileRange range = tile_range(grid, g.cuts, index / groups);
    const int64_t group = index % groups;
    float* pixels = scratch + thread * g.thread_floats() + g.own_floats + g.product_floats;
    transform_inputs(w.x, w.pad_top, w.pad_left, grid, range, v, first_tile(grid, range), pixels,
                     pixels + g.pixel_floats, group * blocks / groups, (group + 1) * blocks / groups);
  });
  return v;
}

template <typename T>
static void winograd_panels_outside(const Call& call, const WinogradConvolution<T>& w, const WinogradTiling& g,
                                    float* shared, float* scratch) {
  const TileGrid grid = w.grid();
  const TransformedTiles v = transform_all_inputs(call, w, g, shared, scratch);
  parallel_for(call, g.panels, [&](int64_t panel, int thread) {
    float* u = scratch + thread * g.thread_floats();
    float* m = u + g.own_floats;
    for (int64_t channel = 0; channel < w.x.image.C; channel += kBlock) transform_weights(w, panel, channel, u);
    for (int64_t row = 0; row < grid.rows(); row += g.product_rows) {
      const TileRange range{row, at_most(g.product_rows, grid.rows() - row), 0, grid.columns};
      multiply_points(v, first_tile(grid, range), range.count(), u, false, OutputWalk<T>(w, range, panel), m);
      transform_outputs(w, range, m, panel);
    }
  });
}

template <typename T>
static void winograd_few_tiles(const Call& call, const WinogradConvolution<T>& w, const WinogradTiling& g,
                               float* shared, float* scratch) {
  const TransformedTiles v = transform_all_inputs(call, w, g, shared, scratch);
  parallel_for(call, g.panel_groups, [&](int64_t group, int thread) {
    const int64_t panel = group * g.panels_together;
    float* taps = scratch + thread * g.thread_floats();
    few_tiles(w, v, panel, at_most(g.panels_together, g.panels - panel), taps, taps + g.own_floats);
  });
}

static_assert(kTile == kChunkRows);

template <typename T>
static size_t winograd_convolution_scratch(const Call& call, const WinogradConvolution<T>& w) {
  const int threads = thread_count(call.workers);
  const WinogradTiling g = choose_winograd_tiling(w, threads);
  return sizeof(float) * static_cast<size_t>(g.shared_floats + g.thread_floats() * threads);
}

template <typename T>
static void winograd_convolution(const Call& call, WinogradConvolution<T> w) {
  const Finish finish = w.y.finish;
  const WinogradTiling g = choose_winograd_tiling(w, thread_count(call.workers));
  float* shared = reinterpret_cast<float*>(call.scratch);
  float* scratch = shared + g.shared_floats;
  // Where rows of tiles are cut, no task sees a whole chunk.
  const bool apart = g.cuts.column_ranges > 1 && finish.finishing != Finishing::plain;
  if (apart) w.y.finish = {};
  switch (g.walk) {
    case WinogradWalk::tiles_outside:
      winograd_tiles_outside(call, w, g, shared, scratch);
      break;
    case WinogradWalk::panels_outside:
      winograd_panels_outside(call, w, g, shared, scratch);
      break;
    case WinogradWalk::few_tiles:
      winograd_few_tiles(call, w, g, shared, scratch);
      break;
  }
  w.y.finish = finish;
  if (apart) finish_outputs(call, w.y);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
