// Products of small matrices by the micro-kernel, which multiplies packed rows by packed panels (pack.h). Packing is
// separate here, since panels may be used by many products and rows by several panels.
#pragma once

#include "cpu/gemm/pack.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kChunk = 256;  // depth of a product that is summed in one go: short sums round less

struct Matrix {
  float* data;
  int64_t stride;
  float* row(int64_t i) const { return data + i * stride; }
};

// A left operand: [block][row][kBlock].
struct Rows {
  float* data;
  int64_t step;
  Rows from_depth(int64_t k) const { return {data + k / kBlock * step, step}; }
  float* at(int64_t row, int64_t k) const { return data + k / kBlock * step + row * kBlock + k % kBlock; }
};
DIFFUSE_INLINE int64_t rows_step(int64_t rows) { return round_up(rows, kLanes) * kBlock + kBlock; }
DIFFUSE_INLINE int64_t rows_floats(int64_t rows, int64_t depth) {
  return round_up(depth, kBlock) / kBlock * rows_step(rows);
}

DIFFUSE_INLINE Rows rows_at(int64_t rows, float* to) { return {to, rows_step(rows)}; }

static Rows pack_left(Matrix a, int64_t rows, int64_t depth, float* to) {
  pack_rows(a.data, a.stride, rows, depth, to, rows_step(rows));
  return rows_at(rows, to);
}
static Rows pack_left_transposed(Matrix a, int64_t rows, int64_t depth, float* to) {
  pack_rows_transposed(a.data, a.stride, rows, depth, to, rows_step(rows));
  return rows_at(rows, to);
}

// A right operand: [panel][depth][kPanel], or a matrix of whole panels where it lies.
struct Panels {
  const float* data;
  int64_t step, row_step;  // floats from one panel to the next, from one row of it to the next
  Panels from_depth(int64_t k) const { return {data + k * row_step, step, row_step}; }
};
DIFFUSE_INLINE int64_t panels_floats(int64_t depth, int64_t columns) { return depth * round_up(columns, kPanel); }

static Panels pack_right(Matrix b, int64_t depth, int64_t columns, float* to) {
  if (columns % kPanel == 0) return {b.data, kPanel, b.stride};
  int64_t step = depth * kPanel;
  for (int64_t j = 0; j < columns; j += kPanel)
    pack_panel(b.data + j, b.stride, depth, at_most(columns - j, kPanel), to + j / kPanel * step);
  return {to, step, kPanel};
}
static Panels pack_right_transposed(Matrix b, int64_t depth, int64_t columns, float* to) {
  int64_t step = depth * kPanel;
  for (int64_t j = 0; j < columns; j += kPanel)
    pack_panel_transposed(b.row(j), b.stride, depth, at_most(columns - j, kPanel), to + j / kPanel * step);
  return {to, step, kPanel};
}

// C[rows, columns] = alpha A[rows, depth] B[depth, columns], added to C with `add`.
static void multiply(int64_t rows, int64_t columns, int64_t depth, float alpha, Rows a, Panels b, Matrix c,
                     bool add = false) {
  const int64_t tap = 0;
  int64_t c_rows[kTileRows];
  for (int64_t r = 0; r < kTileRows; r++) c_rows[r] = r * c.stride;
  TileCut cut = cut_rows(rows);
  for (int64_t k = 0; k < depth; k += kChunk) {
    Rows left = a.from_depth(k);
    Panels right = b.from_depth(k);
    for (int64_t j = 0; j < columns; j += kPanel) {
      for (int64_t tile = 0, row = 0; tile < cut.tiles; tile++) {
        int64_t height = cut.height + (tile < cut.taller);
        multiply_rows({.a = left.data + row * kBlock,
                       .a_block = left.step,
                       .taps = &tap,
                       .tap_count = 1,
                       .depth = at_most(depth - k, kChunk),
                       .b = right.data + j / kPanel * right.step,
                       .b_block = kBlock * right.row_step,
                       .b_tap = 0,
                       .b_step = right.row_step,
                       .c = c.row(row) + j,
                       .c_rows = c_rows,
                       .columns = at_most(columns - j, kPanel),
                       .bias = nullptr,
                       .addend = nullptr,
                       .addend_rows = nullptr,
                       .alpha = alpha,
                       .accumulate = add || k > 0,
                       .ahead = nullptr,
                       .ahead_lines = 0},
                      static_cast<int>(height));
        row += height;
      }
    }
  }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
