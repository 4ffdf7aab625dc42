// The forward pass by the vector units. A task packs what all tiles of its head share, then takes T rows of the S x S
// matrix after the other from scores to products while they are in cache.
#pragma once

#include "cpu/attention/vector_layout.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Packs exp(x - max) of a row of scores x as row i of a left operand and returns log Σ exp(x); `sum` receives
// Σ exp(x - max).
DIFFUSE_INLINE float exponentials(const Layout& l, float* x, Rows left, int64_t i, float& sum) {
  for (int64_t j = l.S; j < l.width; j++) x[j] = -__builtin_inff();
  Vec top = load(x);
  for (int64_t j = kLanes; j < l.width; j += kLanes) top = max(top, load(x + j));
  float largest = max_lanes(top);
  Vec total = zero();
  for (int64_t j = 0; j < l.width; j += kLanes) {
    Vec e = exp(load(x + j) - splat(largest));
    store(left.at(i, j), e);
    total = total + e;
  }
  sum = sum_lanes(total);
  return static_cast<float>(largest + __builtin_log(static_cast<double>(sum)));
}

// For images of T.
template <typename T>
struct VectorForward : Areas {
  Layout l;
  struct {
    int64_t keys, values, left, scores;
    int64_t images[4];  // [S, D] each, of bf16 images
  } at;

  VectorForward(const Tensor& q, double heads, double scale) : l(vector_layout_of(q, heads, scale)) {
    for (auto& area : at.images) area = take(sizeof(T) == sizeof(bf16) ? l.S * l.D : 0);
    at.keys = take(transposed_floats(l));
    at.values = take(panels_floats(l.S, l.D));
    at.left = take(rows_floats(l.T, larger(l.D, l.width)));
    at.scores = take(l.T * l.stride);
  }

  void run(const Call& call, const Part& part, float* scratch) const;
};

template <typename T>
void VectorForward<T>::run(const Call& call, const Part& part, float* scratch) const {
  const auto& [y_tensor, log_sum_exp_tensor, q_tensor, k_tensor, v_tensor] = tensors<5>(call);
  const Positions own = part.own, all{0, l.S};
  auto read = [&](const Tensor& t, Positions of, int64_t area) {
    return widened(head_of<T>(t, l, part), of, l.D, scratch + area);
  };
  Matrix q = read(q_tensor, own, at.images[0]);
  Matrix y = to_be_rounded(head_of<T>(y_tensor, l, part), l.D, scratch + at.images[3]);
  float* log_sum_exp = numbers_of(log_sum_exp_tensor, l, part);
  Matrix keys = read(k_tensor, all, at.images[1]);
  Panels values = pack_right(read(v_tensor, all, at.images[2]), l.S, l.D, scratch + at.values);
  Matrix scores{scratch + at.scores, l.stride};
  for (int64_t begin = own.begin; begin < own.end; begin += l.T) {
    int64_t rows = l.rows(begin, own.end);
    Matrix out{y.row(begin), y.stride};
    Rows left = pack_left({q.row(begin), q.stride}, rows, l.D, scratch + at.left);
    multiply_transposed(l, rows, l.scale, left, keys, begin == own.begin, scratch + at.keys, scores);
    left = rows_at(rows, scratch + at.left);
    float sums[kMostTileRows];
    for (int64_t i = 0; i < rows; i++) log_sum_exp[begin + i] = exponentials(l, scores.row(i), left, i, sums[i]);
    multiply(rows, l.D, l.S, 1, left, values, out);
    for (int64_t i = 0; i < rows; i++) {
      float inverse = 1 / sums[i], *row = out.row(i);
      for (int64_t d = 0; d < l.D; d++) row[d] *= inverse;
    }
  }
  write_rounded(y, head_of<T>(y_tensor, l, part), own, l.D);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
