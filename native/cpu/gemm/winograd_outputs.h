// What Winograd's convolutions have in common on the side of the outputs: M, the products at all points, becomes
// pixels.
//
//   products  M[point][tile][kPanel]      outputs  y = Aᵀ M A, a tile of 4x4 pixels
#pragma once

#include "cpu/gemm/finish.h"
#include "cpu/gemm/winograd_tiles.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

template <typename T>
struct WinogradConvolution {
  Source<T> x;
  int64_t pad_top, pad_left;
  Outputs<T> y;
  const float* weight;       // [tap][C][K]
  int64_t tap_step, k_step;  // floats from one tap to the next, and from one stored row to the next
  bool mirrored;             // stored [tap][K][C], the last tap first: the data gradient's weights

  TileGrid grid() const { return tile_grid(y.N, y.H, y.W); }
};

// Where the products of some tiles lie.
DIFFUSE_INLINE int64_t product_step(int64_t tiles) { return tiles * kPanel + kPointPadding; }

// Walks over the output pixels of a range and asks for what the output transform will touch of them, so that it comes
// from L3 while the products are computed.
template <typename T>
class OutputWalk {
 public:
  OutputWalk(const WinogradConvolution<T>& w, const TileRange& range, int64_t panel)
      : y_(w.y.data + panel * kPanel), y_stride_(w.y.stride), W_(w.y.W), streams_(w.y.template streams<1>()) {
    const Finish& f = w.y.finish;
    const Tensor& read = f.finishing == Finishing::sum ? f.residual : f.x;
    if (f.finishing != Finishing::plain && read.data) {
      read_ = data_of<T>(read) + panel * kPanel;
      read_stride_ = read.row_stride;
    }
    const TileGrid grid = w.grid();
    // Rows of pixels; those of a last row of tiles that reach over the edge are none.
    const auto pixel_row = [&](int64_t row) {
      return row / grid.image_rows * w.y.H + at_most(row % grid.image_rows * kTile, w.y.H);
    };
    row_ = pixel_row(range.row);
    rows_ = at_most(pixel_row(range.row + range.rows), w.y.N * w.y.H);
    begin_ = column_ = range.column * kTile;
    end_ = at_most(begin_ + range.columns * kTile, w.y.W);
  }

  int64_t pixels() const { return (rows_ - row_) * (end_ - begin_); }

  void ask(int64_t pixels) {
    for (; pixels > 0 && row_ < rows_; pixels--) {
      const int64_t pixel = row_ * W_ + column_;
      DIFFUSE_UNROLL
      for (int v = 0; v < kPanel; v += kLineBytes / sizeof(T)) {
        if (!streams_) __builtin_prefetch(y_ + pixel * y_stride_ + v, 1, 2);
        if (read_) __builtin_prefetch(read_ + pixel * read_stride_ + v, 0, 2);
      }
      if (++column_ == end_) {
        column_ = begin_;
        row_++;
      }
    }
  }

 private:
  const T *y_, *read_ = nullptr;
  int64_t y_stride_, read_stride_ = 0, W_, row_, rows_, column_, begin_, end_;
  bool streams_;
};

// write(i, j, y[i][j]) for the outputs y = Aᵀ M A of a tile, one vector of channels; rows x columns of them exist.
template <typename Write>
DIFFUSE_INLINE void transform_output(const float* m, int64_t point_step, int64_t rows, int64_t columns, Write&& write) {
  // The rows of M first: they lie one after the other.
  Vec lines[4][6], y[4][4];
  DIFFUSE_UNROLL
  for (int i = 0; i < 6; i++) {
    Vec d[6], o[4];
    DIFFUSE_UNROLL
    for (int j = 0; j < 6; j++) {
      d[j] = load(m);
      next_point(m, point_step);
    }
    map_outputs(d, o);
    DIFFUSE_UNROLL
    for (int j = 0; j < 4; j++) lines[j][i] = o[j];
  }
  DIFFUSE_UNROLL
  for (int j = 0; j < 4; j++) {
    Vec o[4];
    map_outputs(lines[j], o);
    DIFFUSE_UNROLL
    for (int i = 0; i < 4; i++) y[i][j] = o[i];
  }
  DIFFUSE_UNROLL
  for (int i = 0; i < 4; i++) {
    if (i >= rows) return;
    DIFFUSE_UNROLL
    for (int j = 0; j < 4; j++)
      if (j < columns) write(i, j, y[i][j]);
  }
}

// The outputs of some rows of tiles, or of a part of one, for one panel; M holds them in this order.
template <Finishing F, typename T>
static void transform_outputs(const WinogradConvolution<T>& w, const TileRange& range, const float* m, int64_t panel) {
  const TileGrid grid = w.grid();
  const int64_t point_step = product_step(range.count());
  for (int v = 0; v < kTileVectors; v++) {
    const int64_t k = panel * kPanel + v * kLanes, left = at_most(w.y.K - k, kLanes);
    if (left <= 0) return;
    OutputVectors<F, T> output(w.y, k, left);
    const float* from = m + v * kLanes;
    for (int64_t row = range.row; row < range.row + range.rows; row++) {
      const int64_t n = row / grid.image_rows, i = row % grid.image_rows * kTile, rows = at_most(w.y.H - i, kTile);
      output.begin_row(n);
      for (int64_t column = range.column; column < range.column + range.columns; column++, from += kPanel) {
        const int64_t j = column * kTile, pixel = (n * w.y.H + i) * w.y.W + j;
        transform_output(
            from, point_step, rows, at_most(w.y.W - j, kTile),
            [&](int64_t down, int64_t right, Vec value) { output.write(pixel + down * w.y.W + right, {value}); });
      }
      output.end_row(row, rows * w.y.W);
    }
  }
  finish_streams();
}

template <typename T>
static void transform_outputs(const WinogradConvolution<T>& w, const TileRange& range, const float* m, int64_t panel) {
  with_finishing(w.y.finish.finishing,
                 [&](auto finishing) { transform_outputs<decltype(finishing)::value>(w, range, m, panel); });
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
