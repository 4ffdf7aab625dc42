// The innermost loops of every matrix product and convolution: one register tile.
//
// A tile is R rows (pixels) by V vectors (output channels) of C, held in R * V accumulators while the whole reduction
// runs:
//
//   C[r][column] = alpha * sum over blocks, taps, k of  A[tap + block][r][k] * B[block][tap][k][column]
//
// For each k the tile loads V vectors of B and broadcasts R numbers of A; each is used V resp. R times, so that the two
// multiply-add units, not the load units, are the limit: 14 x 2 vectors with 32 registers, 6 x 2 with 16.
//
//   R, V    rows and vectors of the tile (template parameters: every offset is an immediate)
//   block   kBlock consecutive input channels; A lies as [block][pixel][kBlock], so row r is always r * kBlock further
//   tap     one position of the convolution window: an offset into A. A matrix product has one tap
//   panel   kPanel consecutive output channels; B lies as [panel][block][tap][k][kPanel]
//
// Blocks are the outer loop and taps the inner one: the few cache lines of A that the taps share stay in L1, and B is
// read once from front to back. The order of the sum for one output does not depend on the tile that it falls into, so
// neither do the bits of the result.
#pragma once

#include "cpu/simd.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int kTileRows = kRegisters == 32 ? 14 : 6;
constexpr int kTileVectors = 2;
constexpr int kPanel = kTileVectors * kLanes;
constexpr int kBlock = 16;
constexpr int kLineFloats = 16;  // of a cache line

struct TileProduct {
  const float* a;       // row 0 of the tile in block 0 at tap offset 0
  int64_t a_block;      // floats from one block of A to the next
  const int64_t* taps;  // offset in floats of each tap, added to a
  int64_t tap_count;
  int64_t depth;  // input channels; the last block has depth % kBlock of them and only these are read
  const float* b;
  int64_t b_block, b_tap, b_step;  // floats from one block, tap, k of B to the next
  float* c;
  const int64_t* c_rows;  // offset in floats of each row, added to c
  int64_t columns;        // 1 .. V * kLanes; nothing is written beyond
  const float* bias;      // [columns] or null
  // Added to C, or null: row r begins addend_rows[r] floats from here.
  const float* addend;
  const int64_t* addend_rows;
  float alpha;
  bool accumulate;  // C += instead of C =
  // What is needed next, usually of the next panel: each block of the sum asks for `ahead_lines` cache lines of it.
  const float* ahead;
  int64_t ahead_lines;
};

// acc += a * b. As an instruction of its own: left to itself the compiler folds the broadcast of `a` into each
// multiply-add, which doubles the loads, and copies accumulators to and fro.
DIFFUSE_INLINE void accumulate(Vec& acc, Vec a, Vec b) {
#if defined(__AVX512F__) || defined(__AVX2__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
#else
  acc = madd(a, b, acc);
#endif
}

// acc[r][v] += a[r] * b[v] for one k.
template <int R, int V>
DIFFUSE_INLINE void multiply_step(Vec (&acc)[R][V], const float* a, const float* b) {
  Vec bv[V];
  DIFFUSE_UNROLL
  for (int v = 0; v < V; v++) bv[v] = load(b + v * kLanes);
  DIFFUSE_UNROLL
  for (int r = 0; r < R; r++) {
    Vec ar = splat(a[r * kBlock]);
    DIFFUSE_UNROLL
    for (int v = 0; v < V; v++) accumulate(acc[r][v], ar, bv[v]);
  }
}

template <int R, int V>
DIFFUSE_INLINE void write_tile(const TileProduct& t, Vec (&acc)[R][V]) {
  Vec alpha = splat(t.alpha), base[V];
  int64_t left[V];
  DIFFUSE_UNROLL
  for (int v = 0; v < V; v++) {
    left[v] = t.columns - v * kLanes < kLanes ? t.columns - v * kLanes : kLanes;
    base[v] = t.bias && left[v] > 0 ? load_first(t.bias + v * kLanes, left[v]) : zero();
  }
  bool whole = t.columns == V * kLanes;
  DIFFUSE_UNROLL
  for (int r = 0; r < R; r++) {
    float* c = t.c + t.c_rows[r];
    const float* addend = t.addend ? t.addend + t.addend_rows[r] : nullptr;
    DIFFUSE_UNROLL
    for (int v = 0; v < V; v++) {
      if (whole) {
        Vec before = t.accumulate ? load(c + v * kLanes) : base[v];
        if (addend) before = before + load(addend + v * kLanes);
        store(c + v * kLanes, madd(alpha, acc[r][v], before));
      } else if (left[v] > 0) {
        Vec before = t.accumulate ? load_first(c + v * kLanes, left[v]) : base[v];
        if (addend) before = before + load_first(addend + v * kLanes, left[v]);
        store_first(c + v * kLanes, madd(alpha, acc[r][v], before), left[v]);
      }
    }
  }
}

template <int R, int V>
__attribute__((noinline)) void multiply_tile(const TileProduct& t) {
  constexpr int kUnroll = 4;
  Vec acc[R][V];
  DIFFUSE_UNROLL
  for (int r = 0; r < R; r++) DIFFUSE_UNROLL
  for (int v = 0; v < V; v++) acc[r][v] = zero();
  // The outputs are asked for now and arrive while the tile is computed. Into L2: their rows often compete for one set
  // of L1.
  for (int r = 0; r < R; r++) DIFFUSE_UNROLL
  for (int v = 0; v < V; v++) __builtin_prefetch(t.c + t.c_rows[r] + v * kLanes, 1, 2);

  const int64_t b_step = t.b_step;
  const float *a_block = t.a, *b_block = t.b, *ahead = t.ahead;
  for (int64_t left = t.depth; left > 0; left -= kBlock, a_block += t.a_block, b_block += t.b_block) {
    // The rows of the next block jump to another page's worth of addresses, which the hardware does not foresee.
    for (int r = 0; r < R; r++) __builtin_prefetch(a_block + t.a_block + r * kBlock, 0, 3);
    for (int64_t line = 0; line < t.ahead_lines; line++, ahead += kLineFloats) __builtin_prefetch(ahead, 0, 2);
    const float* b_tap = b_block;
    for (int64_t tap = 0; tap < t.tap_count; tap++, b_tap += t.b_tap) {
      const float *a = a_block + t.taps[tap], *b = b_tap;
      int64_t k = left < kBlock ? left : kBlock;
      for (; k >= kUnroll; k -= kUnroll, a += kUnroll) {
        DIFFUSE_UNROLL
        for (int u = 0; u < kUnroll; u++, b += b_step) multiply_step<R, V>(acc, a + u, b);
      }
      for (; k > 0; k--, a++, b += b_step) multiply_step<R, V>(acc, a, b);
    }
  }
  write_tile<R, V>(t, acc);
}

// multiply_tile for `rows` rows, 1 .. kTileRows, and as few vectors as `columns` needs.
DIFFUSE_INLINE void multiply_rows(const TileProduct& t, int rows) {
  using Tile = void (*)(const TileProduct&);
#define DIFFUSE_TILES(V)                                                                                   \
  multiply_tile<1, V>, multiply_tile<2, V>, multiply_tile<3, V>, multiply_tile<4, V>, multiply_tile<5, V>, \
      multiply_tile<6, V>
#define DIFFUSE_LARGE_TILES(V)                                                                               \
  multiply_tile<7, V>, multiply_tile<8, V>, multiply_tile<9, V>, multiply_tile<10, V>, multiply_tile<11, V>, \
      multiply_tile<12, V>, multiply_tile<13, V>, multiply_tile<14, V>
#if defined(__AVX512F__)
  static const Tile one_vector[] = {DIFFUSE_TILES(1), DIFFUSE_LARGE_TILES(1)};
  static const Tile two_vectors[] = {DIFFUSE_TILES(2), DIFFUSE_LARGE_TILES(2)};
#else
  static const Tile one_vector[] = {DIFFUSE_TILES(1)};
  static const Tile two_vectors[] = {DIFFUSE_TILES(2)};
#endif
#undef DIFFUSE_TILES
#undef DIFFUSE_LARGE_TILES
  (t.columns <= kLanes ? one_vector : two_vectors)[rows - 1](t);
}

// How a run of `count` rows is cut into tiles: as few as possible, of nearly equal height (32 → 11, 11, 10).
struct TileCut {
  int64_t tiles, height, taller;  // the first `taller` tiles have one row more than `height`
};
DIFFUSE_INLINE TileCut cut_rows(int64_t count) {
  int64_t tiles = (count + kTileRows - 1) / kTileRows;
  return {tiles, tiles ? count / tiles : 0, tiles ? count % tiles : 0};
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
