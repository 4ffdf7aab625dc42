#include "cuda/kernel.h"

namespace diffuse::cuda {

static int64_t element_size(DType dtype) { return dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4; }

View view(const Tensor& tensor) {
  constexpr int32_t kMost = 8;
  if (!tensor.data) return {nullptr, 0, 0, 0, kMost};
  const int64_t size = element_size(tensor.dtype), count = rows(tensor);
  // A single row has no stride.
  const int64_t stride = count > 1 ? tensor.row_stride : channels(tensor);
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(tensor.data));
  int32_t alignment = kMost;
  while (alignment > 1 && (address % (alignment * size) || stride % alignment || channels(tensor) % alignment))
    alignment /= 2;
  return {tensor.data, count, stride, static_cast<int32_t>(channels(tensor)), alignment};
}

const char* image_suffix(const Tensor& tensor) { return tensor.dtype == DType::bf16 ? "bf16" : "f32"; }

}  // namespace diffuse::cuda
