// The backward pass by the vector units, tile by tile like the forward pass.
#pragma once

#include "cpu/attention/vector_layout.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

DIFFUSE_INLINE float dot(const float* a, const float* b, int64_t n) {
  Vec sum = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    int64_t left = at_most(n - i, kLanes);
    sum = madd(load_first(a + i, left), load_first(b + i, left), sum);
  }
  return sum_lanes(sum);
}

// For images of T.
template <typename T>
struct VectorBackward : Areas {
  struct Head {
    Matrix dq, dk, dv, dy, y, q, k, v;
    const float* log_sum_exp;
  };

  Layout l;
  struct {
    int64_t transposed[2], straight[2];  // panels of [D, S] and [S, D]
    int64_t right_tile;                  // panels of [T, D]
    int64_t left, left_second;           // rows of [T, D] or [T, S]; of [T, S]
    int64_t left_transposed;             // rows of [S, T]
    int64_t x, dp;                       // [T, S]
    int64_t log_sum_exp, delta;          // [S]
    int64_t images[8];                   // [S, D] each, of bf16 images
  } at;

  VectorBackward(const Tensor& q, double heads, double scale) : l(vector_layout_of(q, heads, scale)) {
    for (auto& area : at.images) area = take(sizeof(T) == sizeof(bf16) ? l.S * l.D : 0);
    for (auto& area : at.transposed) area = take(transposed_floats(l));
    for (auto& area : at.straight) area = take(panels_floats(l.S, l.D));
    at.right_tile = take(panels_floats(l.T, l.D));
    at.left = take(rows_floats(l.T, larger(l.D, l.width)));
    at.left_second = take(rows_floats(l.T, l.width));
    at.left_transposed = take(rows_floats(l.S, l.T));
    at.x = take(l.T * l.stride);
    at.dp = take(l.T * l.stride);
    at.log_sum_exp = take(l.width);
    at.delta = take(l.width);
  }

  // dq for the part's tiles of queries; with `whole`, where the part is the whole head, dk and dv too.
  void queries(const Call& call, const Part& part, float* scratch, bool whole) const;
  // dk and dv for the part's tiles of keys, from the transposed matrix. Every product and sum has the order that
  // queries() gives it, tile of queries by tile of queries, so the bits are the same.
  void keys(const Call& call, const Part& part, float* scratch) const;

 private:
  Head head_at(const Call& call, const Part& part, Positions queries, Positions keys, float* scratch) const;
};

template <typename T>
typename VectorBackward<T>::Head VectorBackward<T>::head_at(const Call& call, const Part& part, Positions queries,
                                                            Positions keys, float* scratch) const {
  const auto& [dq, dk, dv, dy, y, log_sum_exp, q, k, v] = tensors<9>(call);
  int next = 0;
  auto read = [&](const Tensor& t, Positions of) {
    return widened(head_of<T>(t, l, part), of, l.D, scratch + at.images[next++]);
  };
  auto write = [&](const Tensor& t) { return to_be_rounded(head_of<T>(t, l, part), l.D, scratch + at.images[next++]); };
  Head head{};
  head.dq = write(dq), head.dk = write(dk), head.dv = write(dv);
  head.dy = read(dy, queries), head.y = read(y, queries), head.q = read(q, queries);
  head.k = read(k, keys), head.v = read(v, keys);
  head.log_sum_exp = numbers_of(log_sum_exp, l, part);
  return head;
}

// One row: p = exp(x - L) and dx = p (dp - δ). statistics(j, L, δ) gives both for the columns from j, take(j, p, dx)
// receives what they are there.
template <typename Statistics, typename Take>
DIFFUSE_INLINE void gradient_row(const Layout& l, const float* x, const float* dp, Statistics&& statistics,
                                 Take&& take) {
  for (int64_t j = 0; j < l.width; j += kLanes) {
    Vec log_sum_exp, delta;
    statistics(j, log_sum_exp, delta);
    Vec p = exp(load(x + j) - log_sum_exp);
    take(j, p, p * (load(dp + j) - delta));
  }
}

template <typename T>
void VectorBackward<T>::queries(const Call& call, const Part& part, float* scratch, bool whole) const {
  const Positions own = part.own, all{0, l.S};
  const Head head = head_at(call, part, own, all, scratch);
  Panels keys = pack_right(head.k, l.S, l.D, scratch + at.straight[0]);
  Matrix x{scratch + at.x, l.stride}, dp{scratch + at.dp, l.stride};
  for (int64_t begin = own.begin; begin < own.end; begin += l.T) {
    int64_t rows = l.rows(begin, own.end);
    Matrix q{head.q.row(begin), head.q.stride}, dy{head.dy.row(begin), head.dy.stride};
    multiply_transposed(l, rows, l.scale, pack_left(q, rows, l.D, scratch + at.left), head.k, begin == own.begin,
                        scratch + at.transposed[0], x);
    multiply_transposed(l, rows, 1, pack_left(dy, rows, l.D, scratch + at.left), head.v, begin == own.begin,
                        scratch + at.transposed[1], dp);
    Rows left = rows_at(rows, scratch + at.left);
    for (int64_t i = 0; i < rows; i++) {
      Vec log_sum_exp = splat(head.log_sum_exp[begin + i]);
      Vec delta = splat(dot(dy.row(i), head.y.row(begin + i), l.D));
      gradient_row(
          l, x.row(i), dp.row(i),
          [&](int64_t, Vec& of_row, Vec& delta_of_row) {
            of_row = log_sum_exp;
            delta_of_row = delta;
          },
          [&](int64_t j, Vec p, Vec dx) {
            store(left.at(i, j), dx);
            // In place: the transposed products read them.
            store(x.row(i) + j, p);
            store(dp.row(i) + j, dx);
          });
    }
    multiply(rows, l.D, l.S, l.scale, left, keys, {head.dq.row(begin), head.dq.stride});
    if (!whole) continue;
    left = pack_left_transposed(x, l.S, rows, scratch + at.left_transposed);
    multiply(l.S, l.D, rows, 1, left, pack_right(dy, rows, l.D, scratch + at.right_tile), head.dv, begin > 0);
    left = pack_left_transposed(dp, l.S, rows, scratch + at.left_transposed);
    multiply(l.S, l.D, rows, l.scale, left, pack_right(q, rows, l.D, scratch + at.right_tile), head.dk, begin > 0);
  }
  const auto& [dq, dk, dv, dy, y, log_sum_exp, q, k, v] = tensors<9>(call);
  write_rounded(head.dq, head_of<T>(dq, l, part), own, l.D);
  if (!whole) return;
  write_rounded(head.dk, head_of<T>(dk, l, part), own, l.D);
  write_rounded(head.dv, head_of<T>(dv, l, part), own, l.D);
}

template <typename T>
void VectorBackward<T>::keys(const Call& call, const Part& part, float* scratch) const {
  const Positions own = part.own, all{0, l.S};
  const Head head = head_at(call, part, all, own, scratch);
  Panels queries = pack_right(head.q, l.S, l.D, scratch + at.straight[0]);
  Panels dy = pack_right(head.dy, l.S, l.D, scratch + at.straight[1]);
  float *log_sum_exp = scratch + at.log_sum_exp, *delta = scratch + at.delta;
  for (int64_t i = 0; i < l.width; i++) {
    log_sum_exp[i] = i < l.S ? head.log_sum_exp[i] : 0;
    delta[i] = i < l.S ? dot(head.dy.row(i), head.y.row(i), l.D) : 0;
  }
  Matrix x{scratch + at.x, l.stride}, dp{scratch + at.dp, l.stride};
  for (int64_t begin = own.begin; begin < own.end; begin += l.T) {
    int64_t rows = l.rows(begin, own.end);
    Matrix k{head.k.row(begin), head.k.stride}, v{head.v.row(begin), head.v.stride};
    multiply_transposed(l, rows, l.scale, pack_left(k, rows, l.D, scratch + at.left), head.q, begin == own.begin,
                        scratch + at.transposed[0], x);
    multiply_transposed(l, rows, 1, pack_left(v, rows, l.D, scratch + at.left), head.dy, begin == own.begin,
                        scratch + at.transposed[1], dp);
    Rows p_rows = rows_at(rows, scratch + at.left), dx_rows = rows_at(rows, scratch + at.left_second);
    for (int64_t i = 0; i < rows; i++) {
      gradient_row(
          l, x.row(i), dp.row(i),
          [&](int64_t j, Vec& of_columns, Vec& delta_of_columns) {
            of_columns = load(log_sum_exp + j);
            delta_of_columns = load(delta + j);
          },
          [&](int64_t j, Vec p, Vec dx) {
            store(p_rows.at(i, j), p);
            store(dx_rows.at(i, j), dx);
          });
    }
    auto multiply_by_tiles = [&](float alpha, Rows a, Panels b, Matrix c) {
      for (int64_t i = 0; i < l.S; i += l.T)
        multiply(rows, l.D, l.rows(i, l.S), alpha, a.from_depth(i), b.from_depth(i), c, i > 0);
    };
    multiply_by_tiles(1, p_rows, dy, {head.dv.row(begin), head.dv.stride});
    multiply_by_tiles(l.scale, dx_rows, queries, {head.dk.row(begin), head.dk.stride});
  }
  const auto& [dq, dk, dv, dy_tensor, y, log_sum_exp_tensor, q, k, v] = tensors<9>(call);
  write_rounded(head.dk, head_of<T>(dk, l, part), own, l.D);
  write_rounded(head.dv, head_of<T>(dv, l, part), own, l.D);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
