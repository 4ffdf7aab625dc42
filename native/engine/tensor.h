// What a kernel sees of memory: plain structs, no ownership.
#pragma once

#include <cstddef>
#include <cstdint>

namespace diffuse {

enum class DType : uint8_t { f32, u8, i32, bf16 };

// The upper half of a float32: as wide a range, 8 bits of precision. A format of storage; computing is done in float32.
struct bf16 {
  uint16_t bits;
};

constexpr int kMaxRank = 5;

// A view [shape[0], …, shape[rank-1]] whose last dimension, the channels, is contiguous. All other dimensions together
// are the rows; consecutive rows lie `row_stride` elements apart. row_stride > channels where a tensor is a slice of
// the channels of a wider one: so a skip connection is written where the concatenation will be read, and nothing is
// copied.
struct Tensor {
  void* data = nullptr;  // null: an optional tensor that is absent
  DType dtype = DType::f32;
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t row_stride = 0;  // in elements
};

// Free functions with internal linkage, since files that are compiled once per instruction set include this header: a
// shared inline function could be linked in its AVX-512 version and crash an older CPU.
static inline float* f32(const Tensor& t) { return static_cast<float*>(t.data); }
// The elements of an image, whose T is float or bf16 (ops/kernels.def).
template <typename T>
static inline T* data_of(const Tensor& t) {
  return static_cast<T*>(t.data);
}
static inline const uint8_t* u8(const Tensor& t) { return static_cast<const uint8_t*>(t.data); }
static inline const int32_t* i32(const Tensor& t) { return static_cast<const int32_t*>(t.data); }
static inline int64_t channels(const Tensor& t) { return t.rank ? t.shape[t.rank - 1] : 1; }
static inline int64_t rows(const Tensor& t) {
  int64_t n = 1;
  for (int i = 0; i + 1 < t.rank; i++) n *= t.shape[i];
  return n;
}
static inline int64_t elements(const Tensor& t) { return rows(t) * channels(t); }
static inline bool is_contiguous(const Tensor& t) { return t.row_stride == channels(t) || rows(t) <= 1; }
static inline bool same_shape(const Tensor& a, const Tensor& b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.shape[i] != b.shape[i]) return false;
  return true;
}

}  // namespace diffuse
