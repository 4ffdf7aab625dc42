// A matrix product inside one task of one thread, for kernels that need small or medium products among other work.
//
//   C[M][N] = alpha * op(A)[M][K] * op(B)[K][N]        (+ C when `accumulate`)
//
//   op(A)   A is [M][K], or [K][M] when a_transposed; likewise op(B) is [K][N], stored as [N][K] when b_transposed
//   lda …   floats from one stored row to the next; any value, any alignment
//   scratch gemm_block_scratch(M, N, K) bytes, aligned to 64, of this thread alone
//
// The loops: depth in chunks, so that a panel of B stays in the nearer caches; rows in chunks that are packed once and
// stay in L2; panels of columns, packed one at a time; tiles of rows. Products that fill the machine go through
// tap_convolution.h instead, which divides the work among the threads.
#pragma once

#include "cpu/gemm/pack.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kGemmRows = 16 * kTileRows;
constexpr int64_t kGemmDepth = 512;

// In bytes.
DIFFUSE_INLINE size_t gemm_block_scratch(int64_t M, int64_t, int64_t K) {
  int64_t depth = round_up(at_most(K, kGemmDepth), kBlock) + (K == 0), rows = round_up(at_most(M, kGemmRows), kLanes);
  return sizeof(float) * static_cast<size_t>(depth * (rows + kPanel) + depth);
}

static void gemm_block(int64_t M, int64_t N, int64_t K, const float* A, int64_t lda, bool a_transposed, const float* B,
                       int64_t ldb, bool b_transposed, float* C, int64_t ldc, float alpha, bool accumulate,
                       float* scratch) {
  const int64_t tap = 0;
  int64_t row_chunk = at_most(M, kGemmRows), depth_chunk = round_up(at_most(K, kGemmDepth), kBlock) + (K == 0);
  float *panel = scratch, *strip = scratch + depth_chunk * kPanel;
  int64_t c_rows[kTileRows];
  for (int64_t r = 0; r < kTileRows; r++) c_rows[r] = r * ldc;

  for (int64_t k0 = 0; k0 == 0 || k0 < K; k0 += depth_chunk) {
    int64_t depth = at_most(K - k0, depth_chunk);
    for (int64_t m0 = 0; m0 < M; m0 += row_chunk) {
      int64_t rows = at_most(M - m0, row_chunk);
      // One cache line more than the rows need: blocks a power of two apart would compete for the same sets of L1.
      int64_t block_step = round_up(rows, kLanes) * kBlock + kBlock;
      if (a_transposed)
        pack_rows_transposed(A + k0 * lda + m0, lda, rows, depth, strip, block_step);
      else
        pack_rows(A + m0 * lda + k0, lda, rows, depth, strip, block_step);
      for (int64_t n0 = 0; n0 < N; n0 += kPanel) {
        int64_t columns = at_most(N - n0, kPanel);
        if (b_transposed)
          pack_panel_transposed(B + n0 * ldb + k0, ldb, depth, columns, panel);
        else
          pack_panel(B + k0 * ldb + n0, ldb, depth, columns, panel);
        TileCut cut = cut_rows(rows);
        int64_t row = 0;
        for (int64_t tile = 0; tile < cut.tiles; tile++) {
          int64_t height = cut.height + (tile < cut.taller);
          multiply_rows({.a = strip + row * kBlock,
                         .a_block = block_step,
                         .taps = &tap,
                         .tap_count = 1,
                         .depth = depth,
                         .b = panel,
                         .b_block = kBlock * kPanel,
                         .b_tap = 0,
                         .b_step = kPanel,
                         .c = C + (m0 + row) * ldc + n0,
                         .c_rows = c_rows,
                         .columns = columns,
                         .bias = nullptr,
                         .alpha = alpha,
                         .accumulate = accumulate || k0 > 0},
                        static_cast<int>(height));
          row += height;
        }
      }
    }
  }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
