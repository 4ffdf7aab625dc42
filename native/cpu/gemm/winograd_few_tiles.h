// Winograd's convolution of a few tiles: one image, deep in a U-Net. There is little to multiply, and writing the
// transformed weights to memory and reading them again would take most of the time. So they stay in registers: for a
// vector of output channels and a row of six points
//
//   M[point][tile] += V[point][tile][channel] U[point][channel]    for one channel after the other
//
// where the row of U is mapped anew for every few tiles. The weights are packed before: in memory their rows lie a
// power of two apart and would compete for the same sets of the caches. They are packed for so few channels that L1
// holds them over all rows of points, and for several panels at once, whose weights lie side by side: the caches are
// good at asking for what comes next, and rows of 128 bytes, one panel's, are too short for them to notice. Together
// that is a fifth of the time at 4x4 pixels, a tenth at 8x8 (256 channels). The sums have the order of the other
// walks, so the bits are the same.
#pragma once

#include "cpu/gemm/winograd_outputs.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Tiles from which on the weights are better transformed once.
constexpr int64_t kManyTiles = 20;
// Tiles whose sums at six points fit the registers.
constexpr int kTilesTogether = kRegisters == 32 ? 4 : 1;
constexpr int64_t kTapFloats = kBlock * kPanel;

template <typename T>
DIFFUSE_INLINE bool takes_few_tiles(const WinogradConvolution<T>& w) {
  return w.grid().count() < kManyTiles;
}

// Channels whose weights are packed together, of so many panels.
constexpr int64_t kTapChannels = 2 * kBlock;
constexpr int64_t kPanelsTogether = 4;
// Floats of them, of a panel: [block][tap][kBlock][kPanel].
constexpr int64_t kPackedTaps = kTapChannels / kBlock * 9 * kTapFloats;

// Channels [first, last) of all.
struct ChannelRange {
  int64_t first, last;
  bool begins, ends;  // whether it has the first, and the last, of all
};

// The nine taps of a block of channels.
template <typename T>
static void pack_taps(const WinogradConvolution<T>& w, int64_t panel, int64_t channel, float* taps) {
  const int64_t k = panel * kPanel;
  const int64_t columns = at_most(w.y.K - k, kPanel), depth = at_most(w.x.image.C - channel, kBlock);
  for (int tap = 0; tap < 9; tap++, taps += kTapFloats) {
    if (w.mirrored)
      pack_panel_transposed(w.weight + (8 - tap) * w.tap_step + k * w.k_step + channel, w.k_step, depth, columns, taps);
    else
      pack_panel(w.weight + tap * w.tap_step + channel * w.k_step + k, w.k_step, depth, columns, taps);
  }
}

// Row I of the points, tiles [tile, tile + T), one vector of output channels, whose weights `taps` points to; the sums
// of `range` are added to those of the channels before.
template <int I, int T>
static void multiply_point_row(const TransformedTiles& v, int64_t tile, const ChannelRange& range, const float* taps,
                               float* m, int64_t product_step) {
  const int64_t point_step = v.point_step();
  m += I * 6 * product_step + tile * kPanel;
  Vec acc[6][T];
  DIFFUSE_UNROLL
  for (int j = 0; j < 6; j++) DIFFUSE_UNROLL
  for (int t = 0; t < T; t++) acc[j][t] = range.begins ? zero() : load(m + j * product_step + t * kPanel);
  const float* a_block = v.data + I * 6 * point_step + range.first / kBlock * v.block_step() + tile * kBlock;
  for (int64_t channel = range.first; channel < range.last;
       channel += kBlock, a_block += v.block_step(), taps += 9 * kTapFloats) {
    const int64_t depth = at_most(range.last - channel, kBlock);
    for (int64_t c = 0; c < depth; c++) {
      Vec row[3], u[6];
      DIFFUSE_UNROLL
      for (int b = 0; b < 3; b++) {
        Vec g[3], mapped[6];
        DIFFUSE_UNROLL
        for (int a = 0; a < 3; a++) g[a] = load(taps + (a * 3 + b) * kTapFloats + c * kPanel);
        map_weights(g, mapped);
        row[b] = mapped[I];
      }
      map_weights(row, u);
      DIFFUSE_UNROLL
      for (int j = 0; j < 6; j++) DIFFUSE_UNROLL
      for (int t = 0; t < T; t++) accumulate(acc[j][t], splat(a_block[j * point_step + t * kBlock + c]), u[j]);
    }
  }
  // + 0 as in the products of the other walks.
  DIFFUSE_UNROLL
  for (int j = 0; j < 6; j++) DIFFUSE_UNROLL
  for (int t = 0; t < T; t++) store(m + j * product_step + t * kPanel, range.ends ? acc[j][t] + zero() : acc[j][t]);
}

template <int T>
static void multiply_all_points(const TransformedTiles& v, int64_t tile, const ChannelRange& range, const float* taps,
                                float* m, int64_t product_step) {
  multiply_point_row<0, T>(v, tile, range, taps, m, product_step);
  multiply_point_row<1, T>(v, tile, range, taps, m, product_step);
  multiply_point_row<2, T>(v, tile, range, taps, m, product_step);
  multiply_point_row<3, T>(v, tile, range, taps, m, product_step);
  multiply_point_row<4, T>(v, tile, range, taps, m, product_step);
  multiply_point_row<5, T>(v, tile, range, taps, m, product_step);
}

// All tiles for one panel and some channels.
static void multiply_few_tiles(const TransformedTiles& v, const ChannelRange& range, const float* taps, float* m,
                               int64_t product_step) {
  for (int part = 0; part < kPanel; part += kLanes) {
    int64_t tile = 0;
    for (; tile + kTilesTogether <= v.tiles; tile += kTilesTogether)
      multiply_all_points<kTilesTogether>(v, tile, range, taps + part, m + part, product_step);
    if constexpr (kTilesTogether > 2)
      for (; tile + 2 <= v.tiles; tile += 2)
        multiply_all_points<2>(v, tile, range, taps + part, m + part, product_step);
    for (; tile < v.tiles; tile++) multiply_all_points<1>(v, tile, range, taps + part, m + part, product_step);
  }
}

// All tiles for some panels. `taps` has room for kPackedTaps, `m` for the products of all tiles, for each of them.
template <typename T>
static void few_tiles(const WinogradConvolution<T>& w, const TransformedTiles& v, int64_t first_panel, int64_t panels,
                      float* taps, float* m) {
  const TileGrid grid = w.grid();
  const int64_t step = product_step(grid.count());
  for (int64_t first = 0; first < v.channels; first += kTapChannels) {
    const int64_t last = at_most(first + kTapChannels, v.channels);
    const ChannelRange range{first, last, first == 0, last == v.channels};
    for (int64_t channel = first; channel < last; channel += kBlock)
      for (int64_t p = 0; p < panels; p++)
        pack_taps(w, first_panel + p, channel, taps + p * kPackedTaps + (channel - first) / kBlock * 9 * kTapFloats);
    for (int64_t p = 0; p < panels; p++)
      multiply_few_tiles(v, range, taps + p * kPackedTaps, m + p * kPoints * step, step);
  }
  for (int64_t p = 0; p < panels; p++)
    transform_outputs(w, {0, grid.rows(), 0, grid.columns}, m + p * kPoints * step, first_panel + p);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
