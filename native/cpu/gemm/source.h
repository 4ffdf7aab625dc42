// What a convolution reads: an image as it lies in memory, or changed pixel by pixel on the way (ops/conv2d.h). So a
// normalised image need not be written and read again.
#pragma once

#include "cpu/gemm/pack.h"
#include "cpu/normalise.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Of elements T, float or bf16.
template <typename T>
struct Image {
  const T* data;
  int64_t stride;  // elements from one pixel to the next
  int64_t N, H, W, C;
  bool transposed;  // a matrix stored [C][W], `stride` elements from one channel to the next; N = H = 1
};

enum class Reading {
  plain,
  norm,       // z = (x - mean) scale + beta
  norm_silu,  // silu(z)
  gradient,   // dx of dz: the image is dz, `second` is x
};

template <typename T>
struct Source {
  Image<T> image;
  Reading reading = Reading::plain;
  Tensor mean, rstd, gamma, beta;  // of norm and norm_silu
  const T* second = nullptr;
  int64_t second_stride = 0;
  const float* coefficients = nullptr;  // [N, 4, C], of gradient
};

// The numbers that the channels of one sample are changed by, Count of them; zero for channels that do not exist, which
// are so left zero.
template <int Count>
struct Numbers {
  float values[4][Count];
};

template <int Count, typename T>
DIFFUSE_INLINE void gather(Numbers<Count>& to, const Source<T>& s, int64_t n, int64_t channel) {
  std::memset(&to, 0, sizeof to);
  const int64_t C = s.image.C, count = at_most(C - channel, Count);
  if (s.reading == Reading::gradient) {
    for (int i = 0; i < 4; i++)
      std::memcpy(to.values[i], s.coefficients + (n * 4 + i) * C + channel, count * sizeof(float));
  } else if (s.reading != Reading::plain) {
    ChannelNorm<Count> norm;
    gather(norm, n, channel, count, s.mean, s.rstd, s.gamma, s.beta);
    std::memcpy(to.values[0], norm.mean, count * sizeof(float));
    std::memcpy(to.values[1], norm.scale, count * sizeof(float));
    std::memcpy(to.values[2], norm.beta, count * sizeof(float));
  }
}

// One vector of those channels, from number `part` on, to be stored as T.
template <Reading R, typename T = float, int Count>
DIFFUSE_INLINE Vec change(Vec x, Vec second, const Numbers<Count>& numbers, int part) {
  const auto number = [&](int which) { return load(numbers.values[which] + part); };
  if constexpr (R == Reading::norm) return normalised(x, number(0), number(1), number(2));
  if constexpr (R == Reading::norm_silu) return silu<T>(normalised(x, number(0), number(1), number(2)));
  if constexpr (R == Reading::gradient) return input_gradient({number(0), number(1), number(2), number(3)}, x, second);
  return x;
}

template <Reading R>
struct ReadingIs {
  static constexpr Reading value = R;
};

// body(ReadingIs<reading>{})
template <typename Body>
DIFFUSE_INLINE void with_reading(Reading reading, Body&& body) {
  switch (reading) {
    case Reading::plain:
      return body(ReadingIs<Reading::plain>{});
    case Reading::norm:
      return body(ReadingIs<Reading::norm>{});
    case Reading::norm_silu:
      return body(ReadingIs<Reading::norm_silu>{});
    case Reading::gradient:
      return body(ReadingIs<Reading::gradient>{});
  }
}

// A rectangle of pixels of image n, a block of channels, packed; zeros where it leaves the image.
template <Reading R, typename T>
DIFFUSE_INLINE void gather_pixels(const Source<T>& s, const Numbers<kBlock>& numbers, int64_t n, int64_t first_row,
                                  int64_t rows, int64_t first_column, int64_t columns, int64_t channel, float* to) {
  const Image<T>& x = s.image;
  const int64_t depth = at_most(x.C - channel, kBlock);
  // The columns that lie inside the image.
  const int64_t begin = at_least(-first_column, 0), end = at_most(x.W - first_column, columns);
  const auto clear = [&](int64_t from, int64_t until) {
    for (int64_t i = from * kBlock; i < until * kBlock; i += kLanes) store(to + i, zero());
  };
  for (int64_t r = 0; r < rows; r++, to += columns * kBlock) {
    const int64_t y = first_row + r;
    if (y < 0 || y >= x.H || begin >= end) {
      clear(0, columns);
      continue;
    }
    clear(0, begin);
    clear(end, columns);
    const int64_t pixel = (n * x.H + y) * x.W + first_column;
    const T* from = x.data + (pixel + begin) * x.stride + channel;
    const T* second = R == Reading::gradient ? s.second + (pixel + begin) * s.second_stride + channel : nullptr;
    float* at = to + begin * kBlock;
    for (int64_t c = begin; c < end; c++, at += kBlock, from += x.stride) {
      DIFFUSE_UNROLL
      for (int part = 0; part < kBlock; part += kLanes) {
        const int64_t left = depth == kBlock ? kLanes : at_least(at_most(depth - part, kLanes), 0);
        if (left == kLanes)
          store(at + part, change<R>(load(from + part), second ? load(second + part) : zero(), numbers, part));
        else
          store(at + part, change<R>(load_first(from + part, left), second ? load_first(second + part, left) : zero(),
                                     numbers, part));
      }
      // The next block of channels is read next, a cache line of every pixel: 15 % of the time where x is in L3.
      __builtin_prefetch(from + kBlock, 0, 2);
      if (second) {
        __builtin_prefetch(second + kBlock, 0, 2);
        second += s.second_stride;
      }
    }
  }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
