// Images as the matrix unit multiplies them: rows that begin at multiples of 16 bytes, plain. What an image of a
// convolution stands for (ops/conv2d.h) is worked out in shared memory where the convolution reads patches
// (cuda/gemm/convolution_patch.h). Elsewhere it is worked out first, into scratch memory, by the op that it is: the
// tiles of a window of 3 x 3 would work it out nine times and more, and the exponential of SiLU costs as much as the
// products of a pixel with 128 channels, so that to write it once and read it is the smaller part of the time.
#pragma once

#include "cuda/ops/kernels.h"
#include "ops/conv2d.h"

namespace diffuse::cuda {

constexpr int64_t kMultipliedBytes = 16;

static inline int64_t element_bytes(const Tensor& image) { return image.dtype == DType::bf16 ? 2 : 4; }
// Elements that are loaded at once.
static inline int64_t chunk_of(const Tensor& image) { return kMultipliedBytes / element_bytes(image); }
static inline int64_t whole_chunks(const Tensor& image, int64_t channels) {
  return blocks_of(channels, chunk_of(image)) * chunk_of(image);
}

// Whether an image is copied: where it stands for another, and where rows begin differently between multiples of 16
// bytes. Known before its memory is.
static inline bool is_copied(const Tensor& image, bool stands_for_another) {
  return stands_for_another || image.row_stride % chunk_of(image) != 0;
}

// The copy: contiguous but for the elements that fill up the last chunk of a row, which nobody writes or reads.
static inline Tensor copy_of(const Tensor& image, std::byte* data) {
  Tensor copy = image;
  copy.data = data;
  copy.row_stride = whole_chunks(image, channels(image));
  return copy;
}
static inline int64_t copy_bytes(const Tensor& image) {
  return rows(image) * whole_chunks(image, channels(image)) * element_bytes(image);
}

// x as it is multiplied; `scratch` holds the copy if it is copied.
static inline Tensor multiplied_x(const Tensor& x, const Conv2dNorm& norm, bool silu, std::byte* scratch,
                                  Launcher& launcher) {
  if (!is_copied(x, norm.mean.data)) return x;
  const Tensor copied = copy_of(x, scratch);
  const Tensor tensors[] = {copied, x, norm.mean, norm.rstd, norm.gamma, norm.beta};
  const double attributes[] = {silu ? 1.0 : 0.0};
  const Call call{tensors, attributes, nullptr, nullptr};
  norm.mean.data ? normalise_forward(call, launcher) : copy(call, launcher);
  return copied;
}

// The same for dy.
static inline Tensor multiplied_dy(const Tensor& dy, const Tensor& normalised, const Tensor& coefficients,
                                   std::byte* scratch, Launcher& launcher) {
  if (!is_copied(dy, normalised.data)) return dy;
  const Tensor copied = copy_of(dy, scratch);
  const Tensor tensors[] = {copied, dy, normalised, coefficients, {}};
  const Call call{tensors, nullptr, nullptr, nullptr};
  normalised.data ? normalise_gradient(call, launcher) : copy(call, launcher);
  return copied;
}

}  // namespace diffuse::cuda
