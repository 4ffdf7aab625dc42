// Arguments of cuda/ops/attention.cu and attention_backward.cu. ops/attention.h has the formulas and the legend.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// Kernels for the matrix unit are made for the head dimensions 64, 128 and 256 (as tf32: 64 and 128), smaller ones are
// filled up with zeros; those for the vector units compute slices of the outputs' columns and take any head dimension.
// `bytes` are those of an element of the images: 2, or 4 where float32 is multiplied as tf32.
constexpr int kVectorThreads = 256, kDeltaThreads = 256;
constexpr int largest_matrix_head(int bytes) { return 512 / bytes; }

// Rows of a head that a block owns, whichever the kernel.
constexpr int kMatrixForwardRows = 128, kVectorRows = 64;
constexpr int matrix_backward_rows(int head, int bytes) { return head * bytes <= 128 ? 128 : 64; }

// Of the largest heads the rows of a block and what passes by fill the 99 KB that one block may have: so it has eight
// warps, two for each scheduler of the multiprocessor, and less passes by at a time.
constexpr bool is_large(int head, int bytes) { return head * bytes > 256; }
constexpr int matrix_forward_threads(int head, int bytes) { return is_large(head, bytes) ? 256 : 128; }

// Rows of a head that pass by at a time.
constexpr int matrix_forward_keys(int head, int bytes) { return is_large(head, bytes) ? 16 : 64 / bytes; }
constexpr int matrix_streamed_rows(int head, int bytes) {
  return matrix_backward_rows(head, bytes) == 128 || head > 128 ? 16 : 64 / bytes;
}

// Rows in shared memory are 16 bytes longer than they need be, so that those of eight neighbours lie in different
// banks.
constexpr int matrix_stride(int head, int bytes) { return head + 16 / bytes; }
constexpr int matrix_forward_bytes(int head, int bytes) {
  return bytes * matrix_stride(head, bytes) * (kMatrixForwardRows + 4 * matrix_forward_keys(head, bytes));
}
constexpr int matrix_backward_bytes(int head, int bytes) {
  return bytes * matrix_stride(head, bytes) *
         (2 * matrix_backward_rows(head, bytes) + 4 * matrix_streamed_rows(head, bytes));
}

// Columns of dk and dv that a warp computes; others of its block compute the rest. Those of dq are a warp's all.
constexpr int matrix_slice(int head) { return head <= 128 ? head : 128; }
constexpr int kMatrixQueriesThreads = 128;
constexpr int matrix_keys_threads(int head) { return 128 * (head / matrix_slice(head)); }

struct AttentionShape {
  const double* attributes;  // the second is scale
  int32_t positions, heads, head_channels;
  int32_t tiles;  // of a head's rows, a block each
  int32_t wide;   // 128 bits (on the vector units, four elements) can be loaded and stored at once
};

struct AttentionForwardArguments {
  View y, q, k, v;
  float* log_sum_exp;
  AttentionShape shape;
};

struct AttentionBackwardArguments {
  View dq, dk, dv, dy, y, q, k, v;
  const float* log_sum_exp;
  float* delta;  // [N, H, S]
  AttentionShape shape;
};

constexpr int kDeltaLanes = 8;  // of a row of a head: together they load 64 bf16, or 32 float32, at once

struct AttentionDeltaArguments {
  View dy, y;
  float* delta;
  AttentionShape shape;
  int64_t samples;
};

}  // namespace diffuse::cuda
