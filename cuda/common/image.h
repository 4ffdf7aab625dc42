// Elements of images: float or bf16 in memory, float32 in registers.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

using bf16 = __nv_bfloat16;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16 value) { return __bfloat162float(value); }

template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
// To the nearest, ties to even.
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float value) {
  return __float2bfloat16_rn(value);
}

// Row `index` of a view.
template <typename T>
__device__ __forceinline__ T* row(const View& view, int64_t index) {
  return static_cast<T*>(view.data) + index * view.row_stride;
}

// N neighbours that are loaded and stored at once; addresses are aligned to all of them.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T elements[N];
};

// As many elements as 128 bits hold, as float32.
template <typename T>
constexpr int kWide = 16 / sizeof(T);

template <int N, typename T>
__device__ __forceinline__ void load(float (&values)[N], const T* from) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; i++) values[i] = to_float(pack.elements[i]);
}

template <int N, typename T>
__device__ __forceinline__ void store(T* to, const float (&values)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; i++) pack.elements[i] = from_float<T>(values[i]);
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Neighbours of which `count` exist; the others are 0 and stay unwritten. Where all do and the address is aligned, the
// caller may say that they are `wide`.
template <int N, typename T>
__device__ __forceinline__ void load_some(float (&values)[N], const T* from, int count, bool wide) {
  if (wide) return load(values, from);
#pragma unroll
  for (int i = 0; i < N; i++) values[i] = i < count ? to_float(from[i]) : 0.0f;
}

template <int N, typename T>
__device__ __forceinline__ void store_some(T* to, const float (&values)[N], int count, bool wide) {
  if (wide) return store(to, values);
#pragma unroll
  for (int i = 0; i < N; i++)
    if (i < count) to[i] = from_float<T>(values[i]);
}

}  // namespace diffuse::cuda
