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
  int64_t unit;      // rows by which a head is cut into tasks
  int64_t width;     // columns of a tile of scores, in whole units of work
  int64_t stride;    // floats from one of its rows to the next

  // Of the tile that begins with a row, where rows from `end` are left out.
  int64_t rows(int64_t begin, int64_t end) const { return at_most(T, end - begin); }
};

// What does not depend on the unit that computes.
DIFFUSE_INLINE Layout sizes_of(const Tensor& q, double heads, double scale) {
  Layout l{};
  l.N = q.shape[0], l.S = q.shape[1], l.H = static_cast<int64_t>(heads), l.D = q.shape[2] / l.H;
  l.scale = static_cast<float>(scale);
  return l;
}

// Rows of a head.
struct Positions {
  int64_t begin, end;
};
// Rows of head h of sample n: what a task computes.
struct Part {
  int64_t n, h;
  Positions own;
};

// A head is one task, unless there are too few heads to occupy the threads; then it is cut, and its packing done in
// each part.
DIFFUSE_INLINE int64_t parts_of(const Layout& l, int threads) {
  int64_t heads = l.N * l.H;
  return heads >= 2 * threads ? 1 : at_most(divide_up(l.S, l.unit), divide_up(4 * threads, heads));
}
DIFFUSE_INLINE Part part_at(const Layout& l, int64_t parts, int64_t index) {
  int64_t head = index / parts, part = index % parts, units = divide_up(l.S, l.unit);
  int64_t begin = units * part / parts * l.unit, end = units * (part + 1) / parts * l.unit;
  return {head / l.H, head % l.H, {begin, at_most(end, l.S)}};
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
