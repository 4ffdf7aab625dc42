// The forward pass by the matrix unit: 32 rows of the S x S matrix after the other. p is rounded to bf16 before it is
// multiplied; the sum that it is divided by is that of the numbers before.
#pragma once

#include "cpu/attention/matrix_operands.h"

#if defined(__AMX_BF16__)

namespace diffuse::DIFFUSE_ISA {
namespace {

// Turns a row of sums into p = exp(scale x - max), bf16, zeros beyond S; tells the maximum and Σ p.
DIFFUSE_INLINE void exponentials(const Layout& l, float* x, bf16* p, float& largest, float& sum) {
  const Vec scale = splat(l.scale);
  for (int64_t j = l.S; j < l.width; j++) x[j] = x[0];
  Vec top = scale * load(x);
  for (int64_t j = kLanes; j < l.width; j += kLanes) top = max(top, scale * load(x + j));
  largest = max_lanes(top);
  const Vec minus_largest = splat(-largest);
  Vec total = zero();
  const auto numbers = [&](int64_t j) { return exp(madd(scale, load(x + j), minus_largest)); };
  int64_t j = 0;
  for (; j + kLanes <= l.S; j += kLanes) {
    Vec e = numbers(j);
    store(p + j, e);
    total = total + e;
  }
  for (; j < l.width; j += kLanes) {
    Vec e = first_lanes(numbers(j), l.S - j);
    store(p + j, e);
    total = total + e;
  }
  sum = sum_lanes(total);
}

struct MatrixForward : Areas {
  Layout l;
  struct {
    int64_t queries, keys, values;  // lines [S, D], pairs [D, S], [S, D]
    int64_t scores, p;              // [T, S], lines [T, S]
  } at;

  MatrixForward(const Tensor& q, double heads, double scale) : l(matrix_layout_of(q, heads, scale)) {
    at.queries = take_bf16(lines_elements(l.S, l.D));
    at.keys = take_bf16(pairs_elements(l.D, l.S));
    at.values = take_bf16(pairs_elements(l.S, l.D));
    at.scores = take(l.T * l.stride);
    at.p = take_bf16(lines_elements(l.T, l.S));
  }

  void run(const Call& call, const Part& part, float* scratch) const {
    const auto& [y_tensor, log_sum_exp_tensor, q, k, v] = tensors<5>(call);
    const TileRegisters registers;
    const auto area = [&](int64_t begin) { return reinterpret_cast<bf16*>(scratch + begin); };
    const Lines queries = pack_lines(head_of<bf16>(q, l, part), l.S, l.D, area(at.queries));
    const Pairs keys = pack_pairs_transposed(head_of<bf16>(k, l, part), l.D, l.S, area(at.keys));
    const Pairs values = pack_pairs(head_of<bf16>(v, l, part), l.S, l.D, area(at.values));
    const HeadMatrix<bf16> y = head_of<bf16>(y_tensor, l, part);
    float* log_sum_exp = numbers_of(log_sum_exp_tensor, l, part);
    const Matrix scores{scratch + at.scores, l.stride};
    const int64_t p_stride = lines_stride(l.S);
    bf16* p = area(at.p);
    alignas(64) float square[kSquareFloats];
    for (int64_t begin = part.own.begin; begin < part.own.end; begin += l.T) {
      const int64_t rows = l.rows(begin, l.S);
      multiply_lines(queries, begin, keys, l.D, l.width, scores);
      float largest[kSquare], sums[kSquare] = {};
      for (int64_t i = 0; i < rows; i++) exponentials(l, scores.row(i), p + i * p_stride, largest[i], sums[i]);
      for (int64_t i = 0; i < rows; i++)
        log_sum_exp[begin + i] = static_cast<float>(largest[i] + __builtin_log(static_cast<double>(sums[i])));
      for (int64_t d = 0; d < l.D; d += kSquare) {
        multiply_square(p, p_stride, values.at(0, d), values.step, l.width, square, kSquare, false);
        write_square(square, {y.row(begin) + d, y.stride}, rows, at_most(l.D - d, kSquare),
                     [&](int64_t i) { return 1 / sums[i]; });
      }
    }
  }
};

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA

#endif
