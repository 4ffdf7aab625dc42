// Arguments of cuda/ops/attention.cu and attention_backward.cu. ops/attention.h has the formulas and the legend.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// Kernels for the matrix unit are made for the head dimensions 64, 128 and 256, smaller ones are filled up with zeros;
// those for the vector units compute slices of the outputs' columns and take any head dimension.
constexpr int kMatrixThreads = 128, kVectorThreads = 256, kDeltaThreads = 256;
constexpr int kLargestMatrixHead = 256;

// Rows of a head that a block owns, whichever the kernel.
constexpr int matrix_forward_rows(int head) { return head <= 128 ? 128 : 64; }
constexpr int kMatrixBackwardRows = 64, kVectorRows = 64;

// Rows of a head that pass by at a time.
constexpr int kMatrixForwardKeys = 32;
constexpr int matrix_backward_rows(int head) { return head <= 128 ? 32 : 16; }

// Rows in shared memory are 16 bytes longer than they need be, so that those of eight neighbours lie in different
// banks.
constexpr int matrix_stride(int head) { return head + 8; }
constexpr int matrix_forward_bytes(int head) {
  return 2 * matrix_stride(head) * (matrix_forward_rows(head) + 4 * kMatrixForwardKeys);
}
constexpr int matrix_backward_bytes(int head) {
  return 2 * matrix_stride(head) * (2 * kMatrixBackwardRows + 4 * matrix_backward_rows(head));
}

// Columns of dk and dv that a block computes.
constexpr int matrix_slice(int head) { return head <= 128 ? head : 128; }

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
