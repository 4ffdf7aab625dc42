// The 4x4 tiles that Winograd's convolutions cut images into, and the pixels that they are made of.
#pragma once

#include "cpu/gemm/source.h"
#include "cpu/gemm/winograd_transform.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// The tiles of N images; the last row and column may reach over the edge. Rows of tiles are counted through all images.
struct TileGrid {
  int64_t N, image_rows, columns;

  int64_t rows() const { return N * image_rows; }
  int64_t count() const { return rows() * columns; }
};
DIFFUSE_INLINE TileGrid tile_grid(int64_t N, int64_t H, int64_t W) {
  return {N, divide_up(H, kTile), divide_up(W, kTile)};
}

// Some tiles: some rows of them, in full, or a part of one row.
struct TileRange {
  int64_t row, rows, column, columns;
  int64_t count() const { return rows * columns; }
};

// A grid cut into ranges of at most so many tiles.
struct TileCuts {
  int64_t rows, columns;              // of a range
  int64_t row_ranges, column_ranges;  // number of ranges in each direction
  int64_t ranges() const { return row_ranges * column_ranges; }
  int64_t tiles() const { return rows * columns; }  // of a range
};
DIFFUSE_INLINE TileCuts cut_tiles(const TileGrid& grid, int64_t most) {
  TileCuts c{};
  c.column_ranges = divide_up(grid.columns, most);
  c.columns = divide_up(grid.columns, c.column_ranges);
  // More than one range across leaves room for one row only: columns > most / 2.
  c.rows = at_most(grid.rows(), at_least(1, most / c.columns));
  c.rows = divide_up(grid.rows(), divide_up(grid.rows(), c.rows));
  c.row_ranges = divide_up(grid.rows(), c.rows);
  return c;
}
DIFFUSE_INLINE TileRange tile_range(const TileGrid& grid, const TileCuts& cuts, int64_t index) {
  const int64_t row = index / cuts.column_ranges * cuts.rows, column = index % cuts.column_ranges * cuts.columns;
  return {row, at_most(cuts.rows, grid.rows() - row), column, at_most(cuts.columns, grid.columns - column)};
}
// Where the tiles of a range begin when all tiles lie row after row.
DIFFUSE_INLINE int64_t first_tile(const TileGrid& grid, const TileRange& range) {
  return range.row * grid.columns + range.column;
}

// Pixels that the tiles of a range read at most, with a border of one pixel: (4 r + 2)(4 c + 2) where r c = tiles.
DIFFUSE_INLINE int64_t most_pixels(int64_t tiles) { return kTile * kTile * tiles + 2 * kTile * (tiles + 1) + 4; }

// body(image, row within the image, rows) for the parts of a range that lie in one image.
template <typename Body>
DIFFUSE_INLINE void for_each_image(const TileGrid& grid, const TileRange& range, Body&& body) {
  for (int64_t row = range.row; row < range.row + range.rows;) {
    const int64_t from = row % grid.image_rows;
    const int64_t rows = at_most(range.row + range.rows - row, grid.image_rows - from);
    body(row / grid.image_rows, from, rows);
    row += rows;
  }
}

// Points, and blocks where the number of tiles is a power of two, would compete for the same sets of L1.
constexpr int64_t kPointPadding = kLineFloats;

// Tiles at all points: [point][block][tile][width], channels in blocks of `width`.
struct TransformedTiles {
  float* data;
  int64_t tiles, channels, width;

  int64_t blocks() const { return divide_up(channels, width); }
  int64_t block_step() const { return tiles * width; }
  int64_t point_step() const { return blocks() * block_step() + kPointPadding; }
  int64_t floats() const { return kPoints * point_step(); }
};

// Where the next point lies. Opaque to the compiler, which would else work out all 36 addresses before a loop and spill
// them: a fifth of the time of the map.
template <typename Float>
DIFFUSE_INLINE void next_point(Float*& p, int64_t point_step) {
  p += point_step;
  asm("" : "+r"(p));
}

// One row of tiles at all points, one vector of channels: map(numbers of a line of pixels, six points), in both
// directions. `pixels` is that vector of the first of Inputs rows of 4 * columns + Inputs - 4 pixels; `lines` holds the
// six numbers of every column of pixels, which neighbouring tiles share; tiles are `tile_step` floats apart.
template <int Inputs, typename Map>
DIFFUSE_INLINE void map_tile_row(const float* pixels, int64_t columns, float* lines, float* to, int64_t tile_step,
                                 int64_t point_step, Map&& map) {
  const int64_t pixel_columns = columns * kTile + Inputs - kTile, row = pixel_columns * kBlock;
  for (int64_t column = 0; column < pixel_columns; column++) {
    Vec d[Inputs], o[6];
    DIFFUSE_UNROLL
    for (int i = 0; i < Inputs; i++) d[i] = load(pixels + column * kBlock + i * row);
    map(d, o);
    DIFFUSE_UNROLL
    for (int i = 0; i < 6; i++) store(lines + (column * 6 + i) * kLanes, o[i]);
  }
  for (int64_t tile = 0; tile < columns; tile++) {
    const float* from = lines + tile * kTile * 6 * kLanes;
    float* at = to + tile * tile_step;
    DIFFUSE_UNROLL
    for (int i = 0; i < 6; i++) {
      Vec d[Inputs], o[6];
      DIFFUSE_UNROLL
      for (int j = 0; j < Inputs; j++) d[j] = load(from + (j * 6 + i) * kLanes);
      map(d, o);
      DIFFUSE_UNROLL
      for (int j = 0; j < 6; j++) {
        store(at, o[j]);
        next_point(at, point_step);
      }
    }
  }
}

// V = Bᵀ d B of one row of tiles, a block of channels.
static void transform_tile_row(const float* pixels, int64_t columns, float* lines, float* v, int64_t point_step) {
  for (int part = 0; part < kBlock; part += kLanes)
    map_tile_row<6>(pixels + part, columns, lines, v + part, kBlock, point_step,
                    [](const Vec(&d)[6], Vec(&o)[6]) { map_inputs(d, o); });
}

// Transforms the tiles of a range of x, padded by `top` and `left`, into the places of `v` from `first` on; of the
// blocks of channels from first_block to last_block.
template <typename T>
static void transform_inputs(const Source<T>& x, int64_t top, int64_t left, const TileGrid& grid,
                             const TileRange& range, const TransformedTiles& v, int64_t first, float* pixels,
                             float* lines, int64_t first_block, int64_t last_block) {
  const int64_t width = range.columns * kTile + 2;
  Numbers<kBlock> numbers;
  with_reading(x.reading, [&](auto reading) {
    for (int64_t channel = first_block * kBlock; channel < last_block * kBlock; channel += kBlock) {
      float* to = v.data + channel / kBlock * v.block_step() + first * kBlock;
      for_each_image(grid, range, [&](int64_t image, int64_t row, int64_t rows) {
        gather(numbers, x, image, channel);
        gather_pixels<decltype(reading)::value>(x, numbers, image, row * kTile - top, rows * kTile + 2,
                                                range.column * kTile - left, width, channel, pixels);
        for (int64_t r = 0; r < rows; r++, to += range.columns * kBlock)
          transform_tile_row(pixels + r * kTile * width * kBlock, range.columns, lines, to, v.point_step());
      });
    }
  });
}
DIFFUSE_INLINE int64_t line_floats(const TileCuts& cuts) { return 6 * (cuts.columns * kTile + 2) * kLanes; }
DIFFUSE_INLINE int64_t pixel_floats(const TileCuts& cuts) { return most_pixels(cuts.tiles()) * kBlock; }

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
