// One tensor of a kernel's call with its memory, a block of exactly its size.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include "tests/bf16.h"
#include "tests/harness.h"
#include "tests/kernel_cases.h"

namespace diffuse::testing {

inline constexpr int64_t kGap = 3;          // channels of the wider tensor that a view leaves out
inline constexpr float kUntouched = 12352;  // what they hold, in either format
inline constexpr uint8_t kUntouchedByte = 99;

// Numbers in [0, 1), the same on every run.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  double next() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return static_cast<double>(state_ >> 40) / (1 << 24);
  }

 private:
  uint64_t state_;
};

using Bytes = std::unique_ptr<std::byte, decltype(&std::free)>;

// 64-byte aligned like every tensor and scratch of a program; all bits set, which reads as NaN.
inline Bytes allocate(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, bytes ? bytes : 1) != 0) failed(text("no memory for %zu bytes", bytes));
  std::memset(memory, 0xff, bytes);
  return {static_cast<std::byte*>(memory), &std::free};
}

inline DType dtype_of(const TensorCase& c) {
  return c.values == Values::bytes     ? DType::u8
         : c.values == Values::indices ? DType::i32
         : c.format == Format::bf16    ? DType::bf16
                                       : DType::f32;
}

// One tensor of a call with its memory.
struct Operand {
  Tensor tensor;
  size_t bytes = 0;  // from the first to just behind the last element
  Bytes memory{nullptr, &std::free};

  // `gap` channels of the wider tensor are left out, where the case may be a view.
  Operand(const TensorCase& c, int64_t gap, bool fill, uint64_t seed) {
    if (c.shape.empty()) return;
    tensor.dtype = dtype_of(c);
    tensor.rank = static_cast<int>(c.shape.size());
    for (int i = 0; i < tensor.rank; i++) tensor.shape[i] = c.shape[static_cast<size_t>(i)];
    tensor.row_stride = channels(tensor) + (c.may_be_view ? gap : 0);
    size_t size = tensor.dtype == DType::u8 ? 1 : tensor.dtype == DType::bf16 ? 2 : 4;
    bytes = size * static_cast<size_t>((rows(tensor) - 1) * tensor.row_stride + channels(tensor));
    memory = allocate(bytes);
    tensor.data = memory.get();
    Noise noise(seed);
    each([&](int64_t at, bool inside) {
      double u = inside ? noise.next() : 0;
      if (tensor.dtype == DType::u8) {
        reinterpret_cast<uint8_t*>(memory.get())[at] = inside ? static_cast<uint8_t>(256 * u) : kUntouchedByte;
      } else if (tensor.dtype == DType::i32) {
        reinterpret_cast<int32_t*>(memory.get())[at] = static_cast<int32_t>(u * c.limit);
      } else if (!inside) {
        set(at, kUntouched);
      } else if (fill) {
        const float value = static_cast<float>(c.values == Values::zeros      ? 0
                                               : c.values == Values::positive ? 0.5 + u
                                                                              : 4 * u - 2);
        set(at, c.format == Format::rounded ? widened(nearest(value)) : value);
      }
    });
  }

  bool holds_floats() const { return memory && (tensor.dtype == DType::f32 || tensor.dtype == DType::bf16); }
  float get(int64_t at) const {
    return tensor.dtype == DType::bf16 ? widened(data_of<bf16>(tensor)[at].bits) : f32(tensor)[at];
  }
  void set(int64_t at, float value) {
    if (tensor.dtype == DType::bf16)
      data_of<bf16>(tensor)[at].bits = nearest(value);
    else
      f32(tensor)[at] = value;
  }

  // body(offset, inside): every element, and those between the rows of a view.
  template <typename Body>
  void each(Body&& body) const {
    for (int64_t row = 0, all = rows(tensor); row < all; row++) {
      int64_t width = row + 1 < all ? tensor.row_stride : channels(tensor);
      for (int64_t i = 0; i < width; i++) body(row * tensor.row_stride + i, i < channels(tensor));
    }
  }
};

}  // namespace diffuse::testing
