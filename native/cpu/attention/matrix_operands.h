// Attention of bf16 images by the matrix unit (gemm/matrix_tiles.h): its operands, and the product of 32 x 32 outputs,
// which four registers hold while the whole sum runs.
//
//   lines  A[row][k]      rows of whole multiples of 32 bf16, 32 rows or more
//   pairs  B[k][column]   [tile of 16 columns][k / 2][16 columns][2]
//
// Sizes are filled up to multiples of 32 with zeros. (A product of a zero and a number that is not finite is none.)
#pragma once

#include "cpu/attention/layout.h"
#include "cpu/gemm/matrix_tiles.h"

#if defined(__AMX_BF16__)

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kSquare = 2 * kTileLines;
constexpr int64_t kSquareFloats = kSquare * kSquare;
static_assert(kSquare == kTileDepth && kLanes == kTileColumns);

DIFFUSE_INLINE int64_t whole_squares(int64_t count) { return round_up(count, kSquare); }

// A tile is as many rows as a product has.
DIFFUSE_INLINE Layout matrix_layout_of(const Tensor& q, double heads, double scale) {
  Layout l = sizes_of(q, heads, scale);
  l.T = l.unit = kSquare;
  l.tiles = divide_up(l.S, l.T);
  l.width = whole_squares(l.S);
  l.stride = l.width + kLanes;  // rows a power of two apart would compete for the same sets of L1
  return l;
}

struct Lines {
  const bf16* data;
  int64_t stride;
  const bf16* at(int64_t row, int64_t k) const { return data + row * stride + k; }
};
DIFFUSE_INLINE int64_t lines_stride(int64_t depth) { return whole_squares(depth) + kTileDepth; }
DIFFUSE_INLINE int64_t lines_elements(int64_t rows, int64_t depth) { return whole_squares(rows) * lines_stride(depth); }

struct Pairs {
  bf16* data;
  int64_t step;  // from one tile of columns to the next
  const bf16* at(int64_t k, int64_t column) const { return data + column / kTileColumns * step + k * kTileColumns; }
};
DIFFUSE_INLINE int64_t pairs_elements(int64_t depth, int64_t columns) {
  return whole_squares(depth) * whole_squares(columns);
}

// The first n of 32 elements, the others zero.
DIFFUSE_INLINE __m512i load_line(const bf16* from, int64_t n) {
  const __mmask32 mask = n >= kTileDepth ? 0xffffffff : n <= 0 ? 0 : (1u << n) - 1;
  return _mm512_maskz_loadu_epi16(mask, from);
}

// Where the matrix lies, if that is whole; else a copy that is.
static Lines pack_lines(HeadMatrix<bf16> m, int64_t rows, int64_t depth, bf16* to) {
  if (rows % kSquare == 0 && depth % kSquare == 0) return {m.data, m.stride};
  const int64_t stride = lines_stride(depth);
  for (int64_t i = 0; i < whole_squares(rows); i++)
    for (int64_t k = 0; k < depth; k += kTileDepth)
      _mm512_storeu_si512(to + i * stride + k, load_line(m.row(i < rows ? i : 0) + k, i < rows ? depth - k : 0));
  return {to, stride};
}

// B[k][column] = m[k][column].
static Pairs pack_pairs(HeadMatrix<bf16> m, int64_t depth, int64_t columns, bf16* to) {
  const int64_t step = whole_squares(depth) * kTileColumns;
  alignas(64) uint16_t low[32], high[32];
  for (uint16_t i = 0; i < 32; i++) {
    low[i] = static_cast<uint16_t>(i / 2 + i % 2 * 32);
    high[i] = static_cast<uint16_t>(low[i] + 16);
  }
  const __m512i first_columns = _mm512_load_si512(low), last_columns = _mm512_load_si512(high);
  for (int64_t column = 0; column < columns; column += kSquare) {
    bf16* tile = to + column / kTileColumns * step;
    for (int64_t k = 0; k < whole_squares(depth); k += 2, tile += 2 * kTileColumns) {
      const auto row = [&](int64_t i) {
        return load_line(m.row(i < depth ? i : 0) + column, i < depth ? columns - column : 0);
      };
      const __m512i even = row(k), odd = row(k + 1);
      _mm512_storeu_si512(tile, _mm512_permutex2var_epi16(even, first_columns, odd));
      _mm512_storeu_si512(tile + step, _mm512_permutex2var_epi16(even, last_columns, odd));
    }
  }
  return {to, step};
}

// B[k][column] = m[column][k]: the pairs are the matrix's words, turned over.
static Pairs pack_pairs_transposed(HeadMatrix<bf16> m, int64_t depth, int64_t columns, bf16* to) {
  const int64_t step = whole_squares(depth) * kTileColumns;
  for (int64_t column = 0; column < whole_squares(columns); column += kTileColumns)
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      Vec words[kLanes];
      DIFFUSE_UNROLL
      for (int64_t j = 0; j < kLanes; j++) {
        const bool exists = column + j < columns;
        words[j] = (Vec)load_line(m.row(exists ? column + j : 0) + k, exists ? depth - k : 0);
      }
      exchange_all<1>(words);
      bf16* tile = to + column / kTileColumns * step + k * kTileColumns;
      DIFFUSE_UNROLL
      for (int64_t i = 0; i < kLanes; i++) std::memcpy(tile + i * kTileDepth, &words[i], sizeof words[i]);
    }
  return {to, step};
}

// c[32][32] = the product of 32 rows of `a` and 32 columns of `b`, each from where the operand says; added with `add`.
// `depth` is a multiple of 32, strides and steps are elements.
__attribute__((noinline)) static void multiply_square(const bf16* a, int64_t a_stride, const bf16* b, int64_t b_step,
                                                      int64_t depth, float* c, int64_t c_stride, bool add) {
  const int64_t a_bytes = a_stride * 2, c_bytes = c_stride * 4;
  const bf16* a_below = a + kTileLines * a_stride;
  float* c_below = c + kTileLines * c_stride;
  asm volatile("" : : : "memory");  // loads of tiles do not tell the compiler that they read memory
  if (add) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + kTileColumns, c_bytes);
    _tile_loadd(2, c_below, c_bytes);
    _tile_loadd(3, c_below + kTileColumns, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < depth; k += kTileDepth, b += kTileElements) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a + k, a_bytes);
    _tile_loadd(7, b + b_step, 64);
    _tile_loadd(5, a_below + k, a_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + kTileColumns, c_bytes);
  _tile_stored(2, c_below, c_bytes);
  _tile_stored(3, c_below + kTileColumns, c_bytes);
}

// c[32][columns] = 32 rows of `a`, from (row, 0), times b[depth][columns].
DIFFUSE_INLINE void multiply_lines(Lines a, int64_t row, Pairs b, int64_t depth, int64_t columns, Matrix c) {
  for (int64_t j = 0; j < columns; j += kSquare)
    multiply_square(a.at(row, 0), a.stride, b.at(0, j), b.step, whole_squares(depth), c.data + j, c.stride, false);
}

// to[rows][columns] = factor(row) times a square of outputs; both are at most 32.
template <typename Factor>
DIFFUSE_INLINE void write_square(const float* square, HeadMatrix<bf16> to, int64_t rows, int64_t columns,
                                 Factor&& factor) {
  for (int64_t i = 0; i < rows; i++, square += kSquare) {
    const Vec by = splat(factor(i));
    if (columns == kSquare) {
      store(to.row(i), by * load(square));
      store(to.row(i) + kLanes, by * load(square + kLanes));
    } else {
      for (int64_t j = 0; j < columns; j += kLanes)
        store_first(to.row(i) + j, by * load(square + j), at_most(columns - j, kLanes));
    }
  }
}

// x where the lane's number is less than n, else zero.
DIFFUSE_INLINE Vec first_lanes(Vec x, int64_t n) {
  const __mmask16 mask = n >= kLanes ? 0xffff : n <= 0 ? 0 : (1u << n) - 1;
  return (Vec)_mm512_maskz_mov_ps(mask, (__m512)x);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA

#endif
