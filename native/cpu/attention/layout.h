// How attention is cut into tasks and tiles, on every unit.
//
// Legend of cpu/attention: N samples, S positions, H heads, D channels a head, T rows of a tile.
#pragma once

#include "cpu/expect.h"
#include "cpu/gemm/packed_product.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

struct Layout {
  int64_t N, S, H, D;
  float scale;
  int64_t T, tiles;  // rows of a tile (the last one may have fewer), tiles of a head
  int64_t width,
      stride;  // columns of a tile of scores, in whole units of work; floats from one of its rows to the next

  int64_t begin(int64_t tile) const { return tile * T; }
  int64_t rows(int64_t tile) const { return at_most(T, S - tile * T); }
};

// All but T, tiles, width and stride.
DIFFUSE_INLINE Layout sizes_of(const Tensor& q, double heads, double scale) {
  Layout l{};
  l.N = q.shape[0], l.S = q.shape[1], l.H = static_cast<int64_t>(heads), l.D = q.shape[2] / l.H;
  l.scale = static_cast<float>(scale);
  return l;
}

// Tiles [begin, end) of a head of a sample: what a task computes.
struct Part {
  int64_t n, h, begin, end;
};

// A head is one task, unless there are too few heads to occupy the threads; then it is cut, and its packing done in
// each part.
DIFFUSE_INLINE int64_t parts_of(const Layout& l, int threads) {
  int64_t heads = l.N * l.H;
  return heads >= 2 * threads ? 1 : at_most(l.tiles, (4 * threads + heads - 1) / heads);
}
DIFFUSE_INLINE Part part_at(const Layout& l, int64_t parts, int64_t index) {
  int64_t head = index / parts, part = index % parts;
  return {head / l.H, head % l.H, l.tiles * part / parts, l.tiles * (part + 1) / parts};
}

// The [S, D] matrix of a part's head; its [S] numbers of a [N, H, S] tensor.
template <typename T>
struct HeadMatrix {
  T* data;
  int64_t stride;
  T* row(int64_t i) const { return data + i * stride; }
};
template <typename T>
DIFFUSE_INLINE HeadMatrix<T> head_of(const Tensor& t, const Layout& l, const Part& part) {
  return {data_of<T>(t) + part.n * l.S * t.row_stride + part.h * l.D, t.row_stride};
}
DIFFUSE_INLINE float* numbers_of(const Tensor& t, const Layout& l, const Part& part) {
  return f32(t) + (part.n * l.H + part.h) * l.S;
}

// Rows of a head, and those of a part's tiles.
struct Positions {
  int64_t begin, end;
};
DIFFUSE_INLINE Positions positions_of(const Layout& l, const Part& part) {
  return {l.begin(part.begin), at_most(l.begin(part.end), l.S)};
}

// Where a thread's areas begin in its scratch, in floats.
struct Areas {
  int64_t floats = 0;
  int64_t take(int64_t count) {
    int64_t begin = floats;
    floats += round_up(count, 16);
    return begin;
  }
  int64_t take_bf16(int64_t count) { return take(divide_up(count, 2)); }
};

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
