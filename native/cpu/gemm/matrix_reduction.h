// Gradients of the weights of convolutions and linear maps of bf16 images on the matrix unit: the reduction over all
// pixels of weight_gradient.h, whose legend holds.
//
//   dweight[t, c, k] = Σ over p of  A[c][p + offset of tap t]  B[p][k]
//
//   A   x turned over,  [group][c][plane][row][column][image]     bf16
//   B   dy in pairs,    [group][16 outputs][p / 2][16][2]         bf16, zero where a row is padded
//
// Up to 16 images are a group, whose pixels lie side by side: p = (row * width + column) * images + image. Rows of both
// are padded to what x needs at its edges, so that a tap is one offset and the sum one run. With stride 2 x is divided
// into planes of equal parity.
//
// First all threads write A and B; then a task sums up 32 input channels and some output channels for all taps. Three
// taps share the tiles of B, with six tiles of sums. Small weights, which give few tasks, get several parts of the run,
// each with its own sums, which are added in order; their number depends on the shape alone.
#pragma once

#include "cpu/gemm/matrix_pixels.h"

#if defined(__AMX_BF16__)

namespace diffuse::DIFFUSE_ISA {
namespace {

// Tiles of sums under way, [tile][16][16], and where they belong.
struct TileSums {
  float* dweight;  // [tap][C][K]
  int64_t C, K;
  int64_t channel, output;  // first of the tile

  void write(const float* tile, int64_t tap, int64_t channel_tile, int64_t output_tile) const {
    const int64_t c = channel + channel_tile * kTileLines, k = output + output_tile * kTileColumns;
    const int64_t rows = at_most(C - c, kTileLines), columns = at_most(K - k, kTileColumns);
    if (columns <= 0) return;
    for (int64_t r = 0; r < rows; r++)
      store_first(dweight + (tap * C + c + r) * K + k, load(tile + r * kTileColumns), columns);
  }
};

// A stretch of the sum that lies in one group.
struct Stretch {
  const bf16* a;  // of the first channel, at the first p
  const bf16* b;  // of the first outputs, at the first p
  int64_t steps;
};

// Three taps, 32 channels, 16 outputs.
template <typename Stretches>
static void reduce_three_taps(const Stretches& stretches, const int64_t* offsets, int64_t tap,
                              const MatrixReductionTiling& g, const TileSums& sums) {
  zero_tiles<6>();
  const int64_t line = g.channel * sizeof(bf16);
  stretches([&](const Stretch& s) {
    const bf16 *low = s.a, *high = s.a + kTileLines * g.channel, *b = s.b;
    const int64_t o0 = offsets[tap], o1 = offsets[tap + 1], o2 = offsets[tap + 2];
    for (int64_t step = 0; step < s.steps; step++, low += kTileDepth, high += kTileDepth, b += kTileElements) {
      _tile_loadd(7, b, 64);
      _tile_loadd(6, low + o0, line);
      _tile_dpbf16ps(0, 6, 7);
      _tile_loadd(6, high + o0, line);
      _tile_dpbf16ps(1, 6, 7);
      _tile_loadd(6, low + o1, line);
      _tile_dpbf16ps(2, 6, 7);
      _tile_loadd(6, high + o1, line);
      _tile_dpbf16ps(3, 6, 7);
      _tile_loadd(6, low + o2, line);
      _tile_dpbf16ps(4, 6, 7);
      _tile_loadd(6, high + o2, line);
      _tile_dpbf16ps(5, 6, 7);
    }
  });
  alignas(64) float tiles[6][kTileLines * kTileColumns];
  store_tiles(tiles);
  for (int i = 0; i < 6; i++) sums.write(tiles[i], tap + i / 2, i % 2, 0);
}

// One tap, 32 channels, 32 outputs.
template <typename Stretches>
static void reduce_one_tap(const Stretches& stretches, const int64_t* offsets, int64_t tap,
                           const MatrixReductionTiling& g, const TileSums& sums) {
  zero_tiles<4>();
  const int64_t line = g.channel * sizeof(bf16);
  stretches([&](const Stretch& s) {
    const bf16 *low = s.a + offsets[tap], *high = low + kTileLines * g.channel, *b = s.b;
    for (int64_t step = 0; step < s.steps; step++, low += kTileDepth, high += kTileDepth, b += kTileElements) {
      _tile_loadd(4, low, line);
      _tile_loadd(6, b, 64);
      _tile_loadd(7, b + g.outputs, 64);
      _tile_loadd(5, high, line);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  });
  alignas(64) float tiles[4][kTileLines * kTileColumns];
  store_tiles(tiles);
  for (int i = 0; i < 4; i++) sums.write(tiles[i], tap, i / 2, i % 2);
}

// Part `part` of the sums of a block of channels and some tiles of outputs.
static void reduce_matrix_block(const WeightGradient<bf16>& w, const MatrixReductionTiling& g, const bf16* a,
                                const bf16* b, int64_t part, int64_t block, int64_t first_tile, int64_t last_tile,
                                float* dweight) {
  const Window& o = w.window;
  int64_t offsets[kMaxTaps];
  for (int64_t tap = 0; tap < w.taps(); tap++) {
    const int64_t down = tap / w.kernel_width(), right = tap % w.kernel_width();
    const int64_t plane = down % o.S * o.S + right % o.S;
    offsets[tap] = ((plane * g.plane_rows + down / o.S) * g.width + right / o.S) * g.images;
  }
  const int64_t begin = part * g.groups * g.steps / g.parts, end = (part + 1) * g.groups * g.steps / g.parts;
  const bool three = w.taps() % 3 == 0;
  for (int64_t tile = first_tile; tile < last_tile; tile += three ? 1 : 2) {
    const auto stretches = [&](auto&& body) {
      for (int64_t at = begin; at < end;) {
        const int64_t group = at / g.steps, step = at % g.steps, steps = at_most(end - at, g.steps - step);
        body(Stretch{a + (group * g.channel_blocks + block) * kMatrixChannels * g.channel + step * kTileDepth,
                     b + (group * round_up(g.output_tiles, 2) + tile) * g.outputs + step * kTileElements, steps});
        at += steps;
      }
    };
    memory_fence();
    const TileSums sums{dweight, w.x.image.C, w.dy.image.C, block * kMatrixChannels, tile * kTileColumns};
    for (int64_t tap = 0; tap < w.taps(); tap += three ? 3 : 1)
      three ? reduce_three_taps(stretches, offsets, tap, g, sums) : reduce_one_tap(stretches, offsets, tap, g, sums);
  }
}

static size_t matrix_reduction_scratch(const Call& call, const WeightGradient<bf16>& w) {
  const MatrixReductionTiling g = choose_matrix_reduction(w, thread_count(call.workers));
  return static_cast<size_t>(g.a_elements + g.b_elements + g.piece_elements * thread_count(call.workers)) *
             sizeof(bf16) +
         static_cast<size_t>(g.sum_floats + g.parts * g.partial_floats) * sizeof(float);
}

static void matrix_reduction(const Call& call, const WeightGradient<bf16>& w) {
  const MatrixReductionTiling g = choose_matrix_reduction(w, thread_count(call.workers));
  bf16* a = reinterpret_cast<bf16*>(call.scratch);
  bf16* b = a + g.a_elements;
  float* sums = reinterpret_cast<float*>(b + g.b_elements);
  float* partial = sums + g.sum_floats;
  bf16* pieces = reinterpret_cast<bf16*>(partial + g.parts * g.partial_floats);
  write_a(call, w, g, pieces, a);
  write_b(call, w, g, pieces, b, sums);
  parallel_for(call, g.parts * g.channel_blocks * g.output_blocks, [&](int64_t index, int) {
    const TileRegisters registers;
    const int64_t part = index / g.output_blocks / g.channel_blocks, block = index / g.output_blocks % g.channel_blocks;
    const int64_t tile = index % g.output_blocks * g.tiles_together;
    reduce_matrix_block(w, g, a, b, part, block, tile, at_most(tile + g.tiles_together, g.output_tiles),
                        g.parts > 1 ? partial + part * g.partial_floats : w.dweight);
  });
  if (g.parts > 1) add_parts(call, w.dweight, w.weights(), partial, g.partial_floats, g.parts);
  if (w.dbias) add_parts(call, w.dbias, w.dy.image.C, sums, g.sum_row, g.groups * g.row_chunks);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA

#endif
