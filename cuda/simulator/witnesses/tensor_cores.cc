// Matrix products and attention in bf16 and f16 by mma.sync, ldmatrix and cp.async; and one attention in float32 beside
// them.
//
//   gau-nernst/learn-cuda, 02b_matmul_sm80 and 07_attention       bf16, float32 sums
//   m96-chan/PyGPUkit, native/ops/matmul/gemm/f32_f32              tf32, float32 sums
//   xlite-dev/LeetCUDA, kernels/hgemm and kernels/flash-attn      f16, f16 sums
//   tspeterkim/flash-attention-minimal                            float32
#include <cmath>
#include <limits>

#include "witnesses/references.h"

namespace simulator::witnesses {
namespace {

constexpr size_t kBf16Bytes = 2, kHalfBytes = 2;
// Results are rounded to the nearest; f16 sums and weights are rounded at every step.
constexpr double kBf16 = 1.0 / 256, kHalfSums = 6e-3, kBf16Weights = 2.0 / 256;

// --- learn-cuda: a (m, k), b (n, k) ---

void check_matmul(const Kernel& kernel, size_t shared_bytes) {
  constexpr int kM = 256, kN = 128, kK = 192;
  const Values a = random_values(kM * kK, 1), b = random_values(kN * kK, 2);
  const Array x(Format::bf16, a), w(Format::bf16, b), out(Format::bf16, kM * kN);
  launch(kernel, {kM / 128 * kN / 128}, {128}, shared_bytes, {x, w, out, kM, kN, kK});
  expect_near(out.values(), matrix_product(a, b, kM, kN, kK, true), kBf16);
}
constexpr size_t kTileBytes = (128 + 128) * 64 * kBf16Bytes, kPaddedBytes = (128 + 128) * 72 * kBf16Bytes;
WITNESS(learn_cuda_matmul_v1, matmul_v1) { check_matmul({"matmul_v1_kernel", "ELi64ELb0ELb0E"}, kTileBytes); }
WITNESS(learn_cuda_matmul_v1, matmul_v2) { check_matmul({"matmul_v1_kernel", "ELi64ELb1ELb0E"}, kTileBytes); }
WITNESS(learn_cuda_matmul_v1, matmul_v3) { check_matmul({"matmul_v1_kernel", "ELi72ELb1ELb0E"}, kPaddedBytes); }
WITNESS(learn_cuda_matmul_v1, matmul_v4) { check_matmul({"matmul_v1_kernel", "ELi64ELb1ELb1E"}, kTileBytes); }
WITNESS(learn_cuda_matmul_v5, matmul_v5) { check_matmul({"matmul_v5_kernel", ""}, kTileBytes); }
WITNESS(learn_cuda_matmul_v6, matmul_v6) { check_matmul({"matmul_v6_kernel", "ELi2ELi0EE"}, 2 * kTileBytes); }
WITNESS(learn_cuda_matmul_v6, matmul_v6b) { check_matmul({"matmul_v6_kernel", "ELi2ELi8EE"}, 2 * kTileBytes); }

// --- learn-cuda: (batch, length, 128) ---

void check_attention(const char* kernel, int queries, size_t rows) {
  constexpr int kBatch = 1, kLength = 256, kDepth = 128;
  const Values q = random_values(kBatch * kLength * kDepth, 1), k = random_values(q.size(), 2),
               v = random_values(q.size(), 3);
  const Array a(Format::bf16, q), b(Format::bf16, k), c(Format::bf16, v), out(Format::bf16, q.size());
  launch({kernel, ""}, {unsigned(kBatch * kLength / queries)}, {128}, rows * kDepth * kBf16Bytes,
         {a, b, c, out, kBatch, kLength, kLength});
  expect_near(out.values(), attention(q, k, v, kBatch, kLength, kDepth, false), kBf16Weights);
}
WITNESS(learn_cuda_attention_v1, attention_v1_kernel) { check_attention("attention_v1_kernel", 128, 128); }
WITNESS(learn_cuda_attention_v2, attention_v2_kernel) { check_attention("attention_v2_kernel", 64, 128); }
WITNESS(learn_cuda_attention_v3, attention_v3_kernel) { check_attention("attention_v3_kernel", 64, 128); }
WITNESS(learn_cuda_attention_v4, attention_v4_kernel) { check_attention("attention_v4_kernel", 64, 128); }
WITNESS(learn_cuda_attention_v5, attention_v5_kernel) { check_attention("attention_v5_kernel", 64, 192); }

// --- PyGPUkit: a (m, k), b (k, n) ---

// Numbers that tf32 holds too: only the sums are rounded.
WITNESS(pygpukit_tf32_mma, sgemm_tf32_v2_kernel) {
  constexpr int kM = 256, kN = 128, kK = 96;
  const Values a = random_values(kM * kK, 1), b = random_values(kN * kK, 2);
  const Array x(Format::f32, a), w(Format::f32, b), out(Format::f32, kM * kN);
  launch({"sgemm_tf32_v2_kernel", ""}, {kN / 128, kM / 128}, {256}, 0, {x, w, out, kM, kN, kK});
  expect_near(out.values(), matrix_product(a, b, kM, kN, kK, false), 1e-6);
}

// --- LeetCUDA ---

void check_hgemm(const Kernel& kernel, Extent tile, unsigned threads, size_t shared_bytes, bool transposed) {
  constexpr int kM = 128, kN = 256, kK = 96;
  const Values a = random_values(kM * kK, 1), b = random_values(kN * kK, 2);
  const Array x(Format::f16, a), w(Format::f16, b), out(Format::f16, kM * kN);
  launch(kernel, {kN / tile.x, kM / tile.y}, {threads}, shared_bytes, {x, w, out, kM, kN, kK});
  expect_near(out.values(), matrix_product(a, b, kM, kN, kK, transposed), kHalfSums);
}
WITNESS(leet_cuda_hgemm_mma, hgemm_mma_m16n8k16_naive) {
  check_hgemm({"hgemm_mma_m16n8k16_naive_kernel", ""}, {8, 16}, 32, 0, false);
}
WITNESS(leet_cuda_hgemm_mma, hgemm_mma_m16n8k16_mma2x4_warp4x4) {
  check_hgemm({"hgemm_mma_m16n8k16_mma2x4_warp4x4_kernel", ""}, {128, 128}, 256, 0, false);
}
// Tiles of 16 columns, two of them a stage; b's have a margin of 8.
void check_staged_hgemm(int stages) {
  const size_t bytes = size_t(stages) * 128 * (16 + 16 + 8) * 2 * kHalfBytes;
  check_hgemm({"hgemm_mma_m16n8k16_mma2x4_warp4x4x2_stages_dsmem_tn_swizzle_x4_kernel",
               "ELi" + std::to_string(stages) + "ELb0ELb1EE"},
              {128, 128}, 256, bytes, true);
}
WITNESS(leet_cuda_hgemm_mma_stage_tn_swizzle_x4, hgemm_of_2_stages) { check_staged_hgemm(2); }
WITNESS(leet_cuda_hgemm_mma_stage_tn_swizzle_x4, hgemm_of_3_stages) { check_staged_hgemm(3); }

// (batch, heads, length, depth); tiles of 64 queries and 64 keys.
void check_half_attention(int stages) {
  constexpr int kHeads = 2, kLength = 128, kDepth = 64;
  const Values q = random_values(kHeads * kLength * kDepth, 1), k = random_values(q.size(), 2),
               v = random_values(q.size(), 3);
  const Array a(Format::f16, q), b(Format::f16, k), c(Format::f16, v), out(Format::f16, q.size());
  launch({"flash_attn_mma_stages_split_q_kernel",
          "ILi64ELi16ELi8ELi16ELi4ELi1ELi4ELi1ELi1ELi8ELi1ELi8ELi" + std::to_string(stages)},
         {kLength / 64, kHeads}, {128}, size_t(2 + stages) * 64 * (kDepth + 8) * kHalfBytes,
         {a, b, c, out, kLength, kHeads});
  expect_near(out.values(), attention(q, k, v, kHeads, kLength, kDepth, false), kHalfSums);
}
WITNESS(leet_cuda_flash_attn_mma_split_q, flash_attn_of_1_stage) { check_half_attention(1); }
WITNESS(leet_cuda_flash_attn_mma_split_q, flash_attn_of_2_stages) { check_half_attention(2); }

// --- flash-attention-minimal ---

WITNESS(flash_attention_minimal_flash, forward_kernel) {
  constexpr int kBatch = 1, kHeads = 2, kLength = 64, kDepth = 32, kTile = 32, kTiles = kLength / kTile;
  const Values q = random_values(kBatch * kHeads * kLength * kDepth, 1), k = random_values(q.size(), 2),
               v = random_values(q.size(), 3);
  const Array a(Format::f32, q), b(Format::f32, k), c(Format::f32, v), out(Format::f32, Values(q.size()));
  const Array sums(Format::f32, Values(kBatch * kHeads * kLength)),
      largest(Format::f32, Values(kBatch * kHeads * kLength, -std::numeric_limits<double>::infinity()));
  launch({"forward_kernel", ""}, {kBatch, kHeads}, {kTile}, (3 * kTile * kDepth + kTile * kTile) * sizeof(float),
         {a, b, c, kLength, kDepth, kTiles, kTiles, kTile, kTile, float(1 / std::sqrt(double(kDepth))), sums, largest,
          out});
  expect_near(out.values(), attention(q, k, v, kBatch * kHeads, kLength, kDepth, false), 2e-6);
}

}  // namespace
}  // namespace simulator::witnesses
