// Strips: the part of an image that one task convolves, copied to where the micro-kernels can walk through it.
//
// Output pixels form a lattice (i, j) of I rows and J columns. Output (i, j) of image n reads the input pixels
// (S i + dy, S j + dx) for the offsets (dy, dx) of its taps. A strip holds what a rectangle of the lattice reads in a
// few images, zeros where the window leaves the image:
//
//   strip[block][row][column][image][kBlock]
//
// - The images of a strip are interleaved, so that small images still give long runs of consecutive output pixels: four
//   images of 8 x 8 are rows of 32.
// - With stride S = 2 the even columns of a row stand first, then the odd ones. So consecutive outputs read consecutive
//   pixels whatever the stride, and a tap is one offset.
//
// A matrix is an image of one row: pixels are its rows.
#pragma once

#include "cpu/gemm/source.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// The offsets that the taps span, both ends included.
struct Window {
  int64_t S, dy_min, dy_max, dx_min, dx_max;
};

// Which outputs a strip serves, and of which channels it holds the input.
struct StripPart {
  int64_t n, images, i, rows, j, columns, channel, depth;
};

// The pixels of each image that it holds; rows and columns outside of the image are zeros.
struct StripPixels {
  int64_t first_row, rows, first_column, columns;
};
DIFFUSE_INLINE StripPixels strip_pixels(const Window& w, const StripPart& part) {
  return {w.S * part.i + w.dy_min, w.S * (part.rows - 1) + w.dy_max - w.dy_min + 1, w.S * part.j + w.dx_min,
          w.S * (part.columns - 1) + w.dx_max - w.dx_min + 1};
}

struct StripLayout {
  int64_t half;        // columns of one parity
  int64_t pixel_step;  // elements from one column to the next: images times the channels of a block
  int64_t row_step, block_step;
};

// In blocks of `Block` channels.
template <int64_t Block = kBlock>
DIFFUSE_INLINE StripLayout strip_layout(const Window& w, const StripPart& part) {
  const StripPixels pixels = strip_pixels(w, part);
  const int64_t half = divide_up(pixels.columns, w.S);
  StripLayout layout{half, part.images * Block, 0, 0};
  layout.row_step = w.S * half * layout.pixel_step;
  // Blocks a power of two apart would compete for the same sets of L1.
  layout.block_step = pixels.rows * layout.row_step + Block;
  return layout;
}

DIFFUSE_INLINE int64_t strip_floats(const Window& w, const StripPart& part) {
  return strip_layout(w, part).block_step * divide_up(part.depth, kBlock);
}

// Where tap (dy, dx) of the first lattice row begins.
DIFFUSE_INLINE int64_t tap_offset(const Window& w, const StripLayout& layout, int64_t dy, int64_t dx) {
  int64_t column = dx - w.dx_min;
  return (dy - w.dy_min) * layout.row_step + (column % w.S * layout.half + column / w.S) * layout.pixel_step;
}

// Changes a packed strip as `s` is to be read; padding stays zero.
template <typename T>
static void change_strip(const Source<T>& s, const Window& w, const StripPart& part, const StripLayout& layout,
                         float* strip) {
  const Image<T>& x = s.image;
  const auto [first_row, rows, first_column, columns] = strip_pixels(w, part);
  Numbers<kBlock> numbers;
  with_reading(s.reading, [&](auto reading) {
    for (int64_t n = part.n; n < part.n + part.images; n++)
      for (int64_t k = 0; k < part.depth; k += kBlock) {
        const int64_t channel = part.channel + k;
        gather(numbers, s, n, channel);
        for (int64_t r = at_least(0, -first_row); r < at_most(rows, x.H - first_row); r++)
          for (int64_t q = at_least(0, -first_column); q < at_most(columns, x.W - first_column); q++) {
            float* at = strip + k / kBlock * layout.block_step + r * layout.row_step +
                        (q % w.S * layout.half + q / w.S) * layout.pixel_step + (n - part.n) * kBlock;
            const int64_t pixel = (n * x.H + first_row + r) * x.W + first_column + q;
            for (int64_t lane = 0; lane < at_most(x.C - channel, kBlock); lane += kLanes) {
              const int64_t left = at_most(x.C - channel - lane, kLanes);
              const Vec second =
                  s.second ? load_first(s.second + pixel * s.second_stride + channel + lane, left) : zero();
              store(at + lane, change<decltype(reading)::value>(load(at + lane), second, numbers, lane));
            }
          }
      }
  });
}

template <typename T>
static void pack_strip(const Image<T>& x, const Window& w, const StripPart& part, const StripLayout& layout,
                       float* strip) {
  if constexpr (sizeof(T) == sizeof(float))
    if (x.transposed) {
      pack_rows_transposed(x.data + part.channel * x.stride + part.j, x.stride, part.columns, part.depth, strip,
                           layout.block_step);
      return;
    }
  const auto [first_row, rows, first_column, columns] = strip_pixels(w, part);
  for (int64_t n = 0; n < part.images; n++)
    for (int64_t r = 0; r < rows; r++) {
      int64_t y = first_row + r;
      const T* image_row = x.data + ((part.n + n) * x.H + y) * x.W * x.stride + part.channel;
      for (int64_t q = 0; q < columns; q++) {
        int64_t column = first_column + q;
        bool inside = y >= 0 && y < x.H && column >= 0 && column < x.W;
        float* to = strip + r * layout.row_step + (q % w.S * layout.half + q / w.S) * layout.pixel_step + n * kBlock;
        if (inside)
          pack_rows(image_row + column * x.stride, 0, 1, part.depth, to, layout.block_step);
        else
          for (int64_t k = 0; k < part.depth; k += kBlock, to += layout.block_step)
            for (int64_t v = 0; v < kBlock; v += kLanes) store(to + v, zero());
      }
    }
}

template <typename T>
static void pack_strip(const Source<T>& s, const Window& w, const StripPart& part, const StripLayout& layout,
                       float* strip) {
  pack_strip(s.image, w, part, layout, strip);
  if (s.reading != Reading::plain) change_strip(s, w, part, layout, strip);
}

// How many images to interleave: enough for runs of `run` pixels, in groups of nearly equal size.
DIFFUSE_INLINE int64_t images_together(int64_t N, int64_t columns, int64_t run) {
  int64_t groups = divide_up(N, at_most(N, divide_up(run, columns)));
  return divide_up(N, groups);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
