// Copies matrices into the two layouts that the micro-kernel reads (micro_kernel.h):
//
//   rows    A[row][k]     → [block][row][kBlock], blocks `block_step` floats apart
//   panel   B[k][column]  → [k][kPanel], for up to kPanel columns; columns that do not exist are zero
//
// Each has a twin for a matrix that is stored the other way round. Images may be bf16, what is packed is float32.
#pragma once

#include "cpu/gemm/micro_kernel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

DIFFUSE_INLINE int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }
DIFFUSE_INLINE int64_t at_least(int64_t value, int64_t limit) { return value > limit ? value : limit; }
DIFFUSE_INLINE int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
DIFFUSE_INLINE int64_t round_up(int64_t value, int64_t to) { return divide_up(value, to) * to; }

// One stage of the butterfly below: exchanges the lanes of `a` that have bit D set with those of `b` that have not.
template <int D>
DIFFUSE_INLINE void exchange_lanes(Vec& a, Vec& b) {
  // first[l] = l & D ? b[l - D] : a[l], second[l] = l & D ? b[l] : a[l + D]; lanes of b count from kLanes.
#define DIFFUSE_FIRST(l) ((l)&D ? (l)-D + kLanes : (l))
#define DIFFUSE_SECOND(l) ((l)&D ? (l) + kLanes : (l) + D)
#define DIFFUSE_FOUR(map, l) map(l), map(l + 1), map(l + 2), map(l + 3)
#if defined(__AVX512F__)
#define DIFFUSE_ALL(map) DIFFUSE_FOUR(map, 0), DIFFUSE_FOUR(map, 4), DIFFUSE_FOUR(map, 8), DIFFUSE_FOUR(map, 12)
#elif defined(__AVX2__)
#define DIFFUSE_ALL(map) DIFFUSE_FOUR(map, 0), DIFFUSE_FOUR(map, 4)
#else
#define DIFFUSE_ALL(map) DIFFUSE_FOUR(map, 0)
#endif
  Vec first = __builtin_shufflevector(a, b, DIFFUSE_ALL(DIFFUSE_FIRST));
  b = __builtin_shufflevector(a, b, DIFFUSE_ALL(DIFFUSE_SECOND));
  a = first;
#undef DIFFUSE_FIRST
#undef DIFFUSE_SECOND
#undef DIFFUSE_FOUR
#undef DIFFUSE_ALL
}

template <int D>
DIFFUSE_INLINE void exchange_all(Vec (&v)[kLanes]) {
  if constexpr (D < kLanes) {
    DIFFUSE_UNROLL
    for (int i = 0; i < kLanes; i++)
      if (!(i & D)) exchange_lanes<D>(v[i], v[i + D]);
    exchange_all<2 * D>(v);
  }
}

// to[j][i] = from[i][j] for rows <= kLanes, columns <= kLanes; to's rows are filled up to kLanes with zeros when `pad`.
DIFFUSE_INLINE void transpose_square(const float* from, int64_t from_step, int64_t rows, int64_t columns, float* to,
                                     int64_t to_step, bool pad) {
  Vec v[kLanes];
  if (rows == kLanes && columns == kLanes) {
    DIFFUSE_UNROLL
    for (int i = 0; i < kLanes; i++) v[i] = load(from + i * from_step);
    exchange_all<1>(v);
    DIFFUSE_UNROLL
    for (int j = 0; j < kLanes; j++) store(to + j * to_step, v[j]);
    return;
  }
  for (int i = 0; i < kLanes; i++) v[i] = i < rows ? load_first(from + i * from_step, columns) : zero();
  exchange_all<1>(v);
  for (int j = 0; j < columns; j++) store_first(to + j * to_step, v[j], pad ? kLanes : rows);
}

// to[0 .. count) = from[0 .. count), count <= kBlock.
template <typename T>
DIFFUSE_INLINE void copy_block(const T* from, float* to, int64_t count) {
  if (count == kBlock) {
    DIFFUSE_UNROLL
    for (int i = 0; i < kBlock; i += kLanes) store(to + i, load(from + i));
  } else {
    for (int64_t i = 0; i < count; i += kLanes) {
      int64_t left = count - i < kLanes ? count - i : kLanes;
      store_first(to + i, load_first(from + i, left), left);
    }
  }
}

// from[row][k], rows `from_step` apart.
template <typename T>
static void pack_rows(const T* from, int64_t from_step, int64_t rows, int64_t depth, float* to, int64_t block_step) {
  for (int64_t r = 0; r < rows; r++, from += from_step, to += kBlock)
    for (int64_t k = 0; k < depth; k += kBlock)
      copy_block(from + k, to + k / kBlock * block_step, depth - k < kBlock ? depth - k : kBlock);
}

// from[k][row], k `from_step` apart.
static void pack_rows_transposed(const float* from, int64_t from_step, int64_t rows, int64_t depth, float* to,
                                 int64_t block_step) {
  for (int64_t k = 0; k < depth; k += kLanes)
    for (int64_t r = 0; r < rows; r += kLanes)
      transpose_square(from + k * from_step + r, from_step, depth - k < kLanes ? depth - k : kLanes,
                       rows - r < kLanes ? rows - r : kLanes, to + k / kBlock * block_step + r * kBlock + k % kBlock,
                       kBlock, false);
}

// from[k][column], k `from_step` apart, columns <= kPanel.
template <typename T>
static void pack_panel(const T* from, int64_t from_step, int64_t depth, int64_t columns, float* to) {
  for (int64_t k = 0; k < depth; k++, from += from_step, to += kPanel) {
    if (columns == kPanel) {
      DIFFUSE_UNROLL
      for (int v = 0; v < kPanel; v += kLanes) store(to + v, load(from + v));
    } else {
      for (int64_t v = 0; v < kPanel; v += kLanes) {
        int64_t left = columns - v < 0 ? 0 : columns - v < kLanes ? columns - v : kLanes;
        store(to + v, load_first(from + (left ? v : 0), left));
      }
    }
  }
}

// from[column][k], columns `from_step` apart.
static void pack_panel_transposed(const float* from, int64_t from_step, int64_t depth, int64_t columns, float* to) {
  for (int64_t k = 0; k < depth; k += kLanes)
    for (int64_t v = 0; v < kPanel; v += kLanes) {
      int64_t left = columns - v < 0 ? 0 : columns - v < kLanes ? columns - v : kLanes;
      transpose_square(from + (left ? v * from_step : 0) + k, from_step, left, depth - k < kLanes ? depth - k : kLanes,
                       to + k * kPanel + v, kPanel, true);
    }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
