// The backward pass by the matrix unit. p and dx are rounded to bf16 before they are multiplied.
//
// A task that computes dq, dk and dv turns p and dx over while they are in registers, two rows at a time: the words of
// two rows, turned over, are the lines of pᵀ and dxᵀ. It gathers G rows of them, since long sums are the faster ones.
#pragma once

#include "cpu/attention/matrix_operands.h"

#if defined(__AMX_BF16__)

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kMostGathered = 512;
constexpr int64_t kGatheredElements = 1 << 17;  // of pᵀ, as many of dxᵀ: 256 KiB each

DIFFUSE_INLINE float dot(const bf16* a, const bf16* b, int64_t n) {
  Vec sum = zero();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = madd(load(a + i), load(b + i), sum);
  if (i < n) sum = madd(load_first(a + i, n - i), load_first(b + i, n - i), sum);
  return sum_lanes(sum);
}

// Two vectors of numbers, in pairs of bf16.
DIFFUSE_INLINE Vec words_of(Vec low, Vec high) {
  const __m512i wide_low = _mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)narrow(low));
  const __m512i wide_high = _mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)narrow(high));
  return (Vec)_mm512_or_si512(wide_low, _mm512_maskz_slli_epi32(0xffff, wide_high, 16));
}

struct MatrixBackward : Areas {
  Layout l;
  int64_t G;  // rows that are gathered, a multiple of T
  struct {
    int64_t lines[2];             // [S, D]
    int64_t transposed[2];        // pairs [D, S]
    int64_t straight[3];          // pairs [S, D]
    int64_t x, dp;                // [T, S]
    int64_t p, dx;                // lines [T, S]
    int64_t p_turned, dx_turned;  // lines [S, G]
    int64_t sums[2];              // of dv and dk, [S, D] in squares, or one square where all rows are gathered at once
    int64_t log_sum_exp, delta;   // [S]
  } at;

  MatrixBackward(const Tensor& q, double heads, double scale) : l(matrix_layout_of(q, heads, scale)) {
    G = at_most(at_least(kGatheredElements / l.width / l.T * l.T, l.T), at_most(l.width, kMostGathered));
    for (auto& area : at.lines) area = take_bf16(lines_elements(l.S, l.D));
    for (auto& area : at.transposed) area = take_bf16(pairs_elements(l.D, l.S));
    for (auto& area : at.straight) area = take_bf16(pairs_elements(l.S, l.D));
    at.x = take(l.T * l.stride);
    at.dp = take(l.T * l.stride);
    at.p = take_bf16(lines_elements(l.T, l.S));
    at.dx = take_bf16(lines_elements(l.T, l.S));
    at.p_turned = take_bf16(lines_elements(l.S, G));
    at.dx_turned = take_bf16(lines_elements(l.S, G));
    for (auto& area : at.sums) area = take(G < l.width ? l.width * whole_squares(l.D) : kSquareFloats);
    at.log_sum_exp = take(l.width);
    at.delta = take(l.width);
  }

  // dq for the part's tiles of queries; with `whole`, where the part is the whole head, dk and dv too.
  void queries(const Call& call, const Part& part, float* scratch, bool whole) const;
  // dk and dv for the part's tiles of keys, from the transposed matrix. Every product and sum has the order that
  // queries() gives it, so the bits are the same.
  void keys(const Call& call, const Part& part, float* scratch) const;

 private:
  bf16* area(float* scratch, int64_t begin) const { return reinterpret_cast<bf16*>(scratch + begin); }
  // L and δ of the head's positions, zeros beyond S.
  void read_statistics(const Call& call, const Part& part, float* scratch) const;
  void turned_products(float* scratch, Pairs queries, Pairs dy, HeadMatrix<bf16> dk, HeadMatrix<bf16> dv, int64_t first,
                       int64_t gathered) const;
};

inline void MatrixBackward::read_statistics(const Call& call, const Part& part, float* scratch) const {
  const auto& [dq, dk, dv, dy_tensor, y_tensor, log_sum_exp_tensor, q, k, v] = tensors<9>(call);
  const HeadMatrix<bf16> dy = head_of<bf16>(dy_tensor, l, part), y = head_of<bf16>(y_tensor, l, part);
  const float* log_sum_exp = numbers_of(log_sum_exp_tensor, l, part);
  for (int64_t i = 0; i < l.width; i++) {
    scratch[at.log_sum_exp + i] = i < l.S ? log_sum_exp[i] : 0;
    scratch[at.delta + i] = i < l.S ? dot(dy.row(i), y.row(i), l.D) : 0;
  }
}

// 16 columns of a tile: p = exp(scale x - L) and dx = p (dp - δ); p is zero in columns from `columns`.
// statistics(i, L, δ) gives both of a row; take(i, p, p of i + 1, dx, dx of i + 1) receives two rows.
template <typename Statistics, typename Take>
DIFFUSE_INLINE void gradient_columns(const Layout& l, const float* x, const float* dp, int64_t columns,
                                     Statistics&& statistics, Take&& take) {
  const Vec scale = splat(l.scale);
  for (int64_t i = 0; i < kSquare; i += 2) {
    Vec p[2], dx[2];
    DIFFUSE_UNROLL
    for (int64_t r = 0; r < 2; r++) {
      Vec log_sum_exp, delta;
      statistics(i + r, log_sum_exp, delta);
      p[r] = first_lanes(exp(madd(scale, load(x + (i + r) * l.stride), -log_sum_exp)), columns);
      dx[r] = p[r] * (load(dp + (i + r) * l.stride) - delta);
    }
    take(i, p[0], p[1], dx[0], dx[1]);
  }
}

// lines[16][32], `stride` apart, of 16 columns of words.
DIFFUSE_INLINE void store_turned(Vec (&words)[kLanes], bf16* lines, int64_t stride) {
  exchange_all<1>(words);
  DIFFUSE_UNROLL
  for (int64_t j = 0; j < kLanes; j++) std::memcpy(lines + j * stride, &words[j], sizeof words[j]);
}

inline void MatrixBackward::queries(const Call& call, const Part& part, float* scratch, bool whole) const {
  const auto& [dq_tensor, dk, dv, dy_tensor, y, log_sum_exp_tensor, q_tensor, k_tensor, v_tensor] = tensors<9>(call);
  const auto head = [&](const Tensor& t) { return head_of<bf16>(t, l, part); };
  const HeadMatrix<bf16> q = head(q_tensor), dy = head(dy_tensor), k = head(k_tensor), dq = head(dq_tensor);
  const TileRegisters registers;
  read_statistics(call, part, scratch);
  const Lines query_lines = pack_lines(q, l.S, l.D, area(scratch, at.lines[0]));
  const Lines dy_lines = pack_lines(dy, l.S, l.D, area(scratch, at.lines[1]));
  const Pairs keys_transposed = pack_pairs_transposed(k, l.D, l.S, area(scratch, at.transposed[0]));
  const Pairs values_transposed = pack_pairs_transposed(head(v_tensor), l.D, l.S, area(scratch, at.transposed[1]));
  const Pairs keys = pack_pairs(k, l.S, l.D, area(scratch, at.straight[0]));
  Pairs query_pairs{}, dy_pairs{};
  if (whole) {
    query_pairs = pack_pairs(q, l.S, l.D, area(scratch, at.straight[1]));
    dy_pairs = pack_pairs(dy, l.S, l.D, area(scratch, at.straight[2]));
  }
  const Matrix x{scratch + at.x, l.stride}, dp{scratch + at.dp, l.stride};
  const int64_t dx_stride = lines_stride(l.S), turned_stride = lines_stride(G);
  bf16 *dx_lines = area(scratch, at.dx), *p_turned = area(scratch, at.p_turned);
  bf16* dx_turned = area(scratch, at.dx_turned);
  alignas(64) float square[kSquareFloats];
  for (int64_t begin = part.own.begin; begin < part.own.end; begin += l.T) {
    const int64_t rows = l.rows(begin, l.S), gathered = begin % G;
    multiply_lines(query_lines, begin, keys_transposed, l.D, l.width, x);
    multiply_lines(dy_lines, begin, values_transposed, l.D, l.width, dp);
    const float *log_sum_exp = scratch + at.log_sum_exp + begin, *delta = scratch + at.delta + begin;
    for (int64_t j = 0; j < l.width; j += kLanes) {
      Vec p_words[kLanes], dx_words[kLanes];
      gradient_columns(
          l, x.data + j, dp.data + j, l.S - j,
          [&](int64_t i, Vec& of_row, Vec& delta_of_row) {
            of_row = splat(log_sum_exp[i]);
            delta_of_row = splat(delta[i]);
          },
          [&](int64_t i, Vec p0, Vec p1, Vec dx0, Vec dx1) {
            store(dx_lines + i * dx_stride + j, dx0);
            store(dx_lines + (i + 1) * dx_stride + j, dx1);
            p_words[i / 2] = words_of(p0, p1);
            dx_words[i / 2] = words_of(dx0, dx1);
          });
      if (!whole) continue;
      store_turned(p_words, p_turned + j * turned_stride + gathered, turned_stride);
      store_turned(dx_words, dx_turned + j * turned_stride + gathered, turned_stride);
    }
    for (int64_t d = 0; d < l.D; d += kSquare) {
      multiply_square(dx_lines, dx_stride, keys.at(0, d), keys.step, l.width, square, kSquare, false);
      write_square(square, {dq.row(begin) + d, dq.stride}, rows, at_most(l.D - d, kSquare),
                   [&](int64_t) { return l.scale; });
    }
    if (whole && (gathered + l.T == G || begin + l.T >= l.S))
      turned_products(scratch, query_pairs, dy_pairs, head(dk), head(dv), begin - gathered, gathered + l.T);
  }
}

// dv = pᵀ dy and dk = scale dxᵀ q, summed over `gathered` rows from `first`; written when these are the last.
inline void MatrixBackward::turned_products(float* scratch, Pairs queries, Pairs dy, HeadMatrix<bf16> dk,
                                            HeadMatrix<bf16> dv, int64_t first, int64_t gathered) const {
  const int64_t stride = lines_stride(G);
  const bool last = first + gathered >= l.S;
  const auto product = [&](int64_t turned, Pairs right, float* sums, HeadMatrix<bf16> result, float factor) {
    const Lines left{area(scratch, turned), stride};
    for (int64_t j = 0; j < l.width; j += kSquare)
      for (int64_t d = 0; d < l.D; d += kSquare) {
        multiply_square(left.at(j, 0), stride, right.at(first, d), right.step, gathered, sums, kSquare, first > 0);
        if (last)
          write_square(sums, {result.row(j) + d, result.stride}, at_most(l.S - j, kSquare), at_most(l.D - d, kSquare),
                       [&](int64_t) { return factor; });
        if (G < l.width) sums += kSquareFloats;
      }
  };
  product(at.p_turned, dy, scratch + at.sums[0], dv, 1);
  product(at.dx_turned, queries, scratch + at.sums[1], dk, l.scale);
}

inline void MatrixBackward::keys(const Call& call, const Part& part, float* scratch) const {
  const auto& [dq, dk_tensor, dv_tensor, dy_tensor, y, log_sum_exp_tensor, q_tensor, k, v] = tensors<9>(call);
  const auto head = [&](const Tensor& t) { return head_of<bf16>(t, l, part); };
  const HeadMatrix<bf16> q = head(q_tensor), dy = head(dy_tensor);
  const TileRegisters registers;
  read_statistics(call, part, scratch);
  const Lines key_lines = pack_lines(head(k), l.S, l.D, area(scratch, at.lines[0]));
  const Lines value_lines = pack_lines(head(v), l.S, l.D, area(scratch, at.lines[1]));
  const Pairs queries_transposed = pack_pairs_transposed(q, l.D, l.S, area(scratch, at.transposed[0]));
  const Pairs dy_transposed = pack_pairs_transposed(dy, l.D, l.S, area(scratch, at.transposed[1]));
  const Pairs query_pairs = pack_pairs(q, l.S, l.D, area(scratch, at.straight[0]));
  const Pairs dy_pairs = pack_pairs(dy, l.S, l.D, area(scratch, at.straight[1]));
  const Matrix x{scratch + at.x, l.stride}, dp{scratch + at.dp, l.stride};
  const int64_t stride = lines_stride(l.S);
  bf16 *p_lines = area(scratch, at.p), *dx_lines = area(scratch, at.dx);
  for (int64_t begin = part.own.begin; begin < part.own.end; begin += l.T) {
    const int64_t rows = l.rows(begin, l.S);
    multiply_lines(key_lines, begin, queries_transposed, l.D, l.width, x);
    multiply_lines(value_lines, begin, dy_transposed, l.D, l.width, dp);
    for (int64_t j = 0; j < l.width; j += kLanes) {
      const Vec log_sum_exp = load(scratch + at.log_sum_exp + j), delta = load(scratch + at.delta + j);
      gradient_columns(
          l, x.data + j, dp.data + j, l.S - j,
          [&](int64_t, Vec& of_columns, Vec& delta_of_columns) {
            of_columns = log_sum_exp;
            delta_of_columns = delta;
          },
          [&](int64_t i, Vec p0, Vec p1, Vec dx0, Vec dx1) {
            store(p_lines + i * stride + j, p0);
            store(p_lines + (i + 1) * stride + j, p1);
            store(dx_lines + i * stride + j, dx0);
            store(dx_lines + (i + 1) * stride + j, dx1);
          });
    }
    const auto product = [&](const bf16* left, Pairs right, HeadMatrix<bf16> result, float factor) {
      alignas(64) float square[kSquareFloats];
      for (int64_t d = 0; d < l.D; d += kSquare) {
        multiply_square(left, stride, right.at(0, d), right.step, l.width, square, kSquare, false);
        write_square(square, {result.row(begin) + d, result.stride}, rows, at_most(l.D - d, kSquare),
                     [&](int64_t) { return factor; });
      }
    };
    product(p_lines, dy_pairs, head(dv_tensor), 1);
    product(dx_lines, query_pairs, head(dk_tensor), l.scale);
  }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA

#endif
