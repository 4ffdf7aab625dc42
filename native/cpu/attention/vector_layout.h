// Attention by the vector units: tiles, and images of bf16 computed in float32.
#pragma once

#include "cpu/attention/layout.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// High tiles leave most in L2 between two uses; CPUs with short vectors often have little of it.
constexpr int64_t kMostTileRows = kRegisters == 32 ? 256 : 64;
constexpr int64_t kTileFloats = 1 << 16;  // the most of the S x S matrix that a tile should hold: 256 KiB
constexpr int64_t kUnitRows = 64;
static_assert(kMostTileRows % kBlock == 0, "tiles are whole blocks where their rows are the depth of a product");

DIFFUSE_INLINE Layout vector_layout_of(const Tensor& q, double heads, double scale) {
  Layout l = sizes_of(q, heads, scale);
  l.T = kTileFloats / l.S / kBlock * kBlock;
  l.T = l.T < kBlock ? kBlock : at_most(l.T, kMostTileRows);
  l.tiles = divide_up(l.S, l.T);
  l.unit = at_most(l.T, kUnitRows);
  l.width = round_up(l.S, kPanel);
  l.stride = round_up(l.width, kBlock) + kBlock;  // rows a power of two apart would compete for the same sets of L1
  return l;
}

// Floats of the panels that multiply_transposed() packs.
DIFFUSE_INLINE int64_t transposed_floats(const Layout& l) {
  return l.tiles > 1 ? panels_floats(l.D, l.S) : panels_floats(l.D, kPanel);
}
// c[rows, width] = alpha left mᵀ for a head's matrix m. Panels are packed just before they are used for the first time,
// and where that is the only time all in one place, which stays in L1.
static void multiply_transposed(const Layout& l, int64_t rows, float alpha, Rows left, Matrix m, bool first,
                                float* panels, Matrix c) {
  for (int64_t j = 0; j < l.width; j += kPanel) {
    float* panel = l.tiles > 1 ? panels + j * l.D : panels;
    if (first) pack_panel_transposed(m.row(j), m.stride, l.D, at_most(l.S - j, kPanel), panel);
    multiply(rows, kPanel, l.D, alpha, left, {panel, 0, kPanel}, {c.data + j, c.stride});
  }
}

template <typename From, typename To>
DIFFUSE_INLINE void copy_row(const From* from, To* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
  if (i < n) store_first(to + i, load_first(from + i, n - i), n - i);
}

// Matrices of bf16 are computed with in float32: widened before they are read, rounded when they are complete.

DIFFUSE_INLINE Matrix widened(HeadMatrix<float> m, Positions, int64_t, float*) { return {m.data, m.stride}; }
// Rows of m, at the same rows of the [S, D] matrix `to`.
DIFFUSE_INLINE Matrix widened(HeadMatrix<bf16> m, Positions of, int64_t D, float* to) {
  for (int64_t i = of.begin; i < of.end; i++) copy_row(m.row(i), to + i * D, D);
  return {to, D};
}

// Where to compute what belongs in m; write_rounded() then brings it there.
DIFFUSE_INLINE Matrix to_be_rounded(HeadMatrix<float> m, int64_t, float*) { return {m.data, m.stride}; }
DIFFUSE_INLINE Matrix to_be_rounded(HeadMatrix<bf16>, int64_t D, float* to) { return {to, D}; }
DIFFUSE_INLINE void write_rounded(Matrix, HeadMatrix<float>, Positions, int64_t) {}
DIFFUSE_INLINE void write_rounded(Matrix from, HeadMatrix<bf16> m, Positions of, int64_t D) {
  for (int64_t i = of.begin; i < of.end; i++) copy_row(from.row(i), m.row(i), D);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
