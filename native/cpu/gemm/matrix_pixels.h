// What the matrix unit sums weight gradients from (matrix_reduction.h has the legend): x turned over and dy in pairs,
// so that pixels are what is summed over.
#pragma once

#include "cpu/gemm/matrix_tiles.h"
#include "cpu/gemm/weight_gradient.h"

#if defined(__AMX_BF16__)

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kGroupImages = 16;
constexpr int64_t kMatrixChannels = 2 * kTileLines;  // of a task
constexpr int64_t kPackRows = 8;                     // rows of A or B that are written at a time
constexpr int64_t kPiecePixels = 256;                // of a row that are in L1 at a time, 16 KB
constexpr int64_t kMatrixParts = 16;                 // tasks that even small weights should give
constexpr int64_t kFewestSteps = 32;                 // of a part

// How the work is cut; all but the outputs of a task depends on the shape alone.
struct MatrixReductionTiling {
  int64_t images, groups;
  int64_t planes, plane_rows, width;  // of A
  int64_t rows, run, steps;           // of B in a group: rows of dy, p's in whole tiles, tiles
  int64_t channel, a_elements;        // elements of a channel of A, of A
  int64_t outputs, b_elements;        // elements of 16 outputs of B, of B
  int64_t channel_blocks, output_tiles, tiles_together, output_blocks, parts;
  int64_t row_chunks, sum_row, sum_floats, partial_floats;
  int64_t piece_columns, piece_elements;  // of a row that is read at a time, 32 channels; of each thread
};

static MatrixReductionTiling choose_matrix_reduction(const WeightGradient<bf16>& w, int threads) {
  const Window& o = w.window;
  const int64_t C = w.x.image.C, K = w.dy.image.C, height = o.dy_max - o.dy_min + 1;
  MatrixReductionTiling g{};
  g.groups = divide_up(w.dy.image.N, kGroupImages);
  g.images = divide_up(w.dy.image.N, g.groups);
  g.planes = o.S * o.S;
  g.rows = w.dy.image.H;
  g.plane_rows = g.rows + (height - 1) / o.S;
  g.width = w.dy.image.W + (w.kernel_width() - 1) / o.S;
  // Pairs do not belong to two rows.
  if (g.images % 2) g.width = round_up(g.width, 2);
  g.run = round_up(g.rows * g.width * g.images, kTileDepth);
  g.steps = g.run / kTileDepth;
  // The last tap reads as far as the window is wide beyond the last row. Channels a power of two apart would compete
  // for the same sets of L1.
  const int64_t beyond = (w.kernel_width() - 1) / o.S * g.images + kTileDepth;
  g.channel = round_up(g.planes * g.plane_rows * g.width * g.images + beyond, 2 * kTileDepth) + kTileDepth;
  g.channel_blocks = divide_up(C, kMatrixChannels);
  g.a_elements = g.groups * g.channel_blocks * kMatrixChannels * g.channel;
  g.outputs = g.run * kTileColumns;
  g.output_tiles = divide_up(K, kTileColumns);
  g.b_elements = g.groups * round_up(g.output_tiles, 2) * g.outputs;
  const int64_t affordable = at_least(1, kPartialBytes / 4 / (w.weights() + K));
  const int64_t wanted_parts = at_most(kMatrixParts / (g.channel_blocks * g.output_tiles), affordable);
  g.parts = at_least(1, at_most(wanted_parts, g.groups * g.steps / kFewestSteps));
  const int64_t wanted = threads > 1 ? kReductionTasksAThread * threads : 1;
  const int64_t blocks = at_most(divide_up(g.output_tiles, 2), divide_up(wanted, g.parts * g.channel_blocks));
  // In pairs, for windows of one tap.
  g.tiles_together = round_up(divide_up(g.output_tiles, blocks), 2);
  g.output_blocks = divide_up(g.output_tiles, g.tiles_together);
  g.row_chunks = divide_up(g.rows, kPackRows);
  g.sum_row = g.output_tiles * kTileColumns;
  g.sum_floats = g.groups * g.row_chunks * g.sum_row;
  g.piece_columns = at_least(2, kPiecePixels / g.images);
  g.piece_elements = g.piece_columns * g.images * kTileDepth;
  g.partial_floats = g.parts > 1 ? round_up(w.weights(), kTileColumns) : 0;
  return g;
}

// The numbers of 32 channels of each image of a group.
struct GroupNumbers {
  Numbers<kTileDepth> of[kGroupImages];
};

// A piece of one row of the images of a group, 32 channels: columns from `column` on.
struct RowPiece {
  int64_t group, channel, y, column, columns;
  int64_t step, left;  // column v holds the pixel at step v + left
};

// The piece as it is to be read, [column][image][32]; zeros outside of the images. Adds its pixels to `sums`.
template <Reading R>
static void gather_piece(const Source<bf16>& s, const MatrixReductionTiling& g, const GroupNumbers& numbers,
                         const RowPiece& piece, bf16* to, Vec (&sums)[2]) {
  const Image<bf16>& x = s.image;
  const int64_t first = piece.group * g.images, step = piece.step, column_elements = g.images * kTileDepth;
  const int64_t images = piece.y >= 0 && piece.y < x.H ? at_most(g.images, x.N - first) : 0;
  const int64_t depth = at_most(x.C - piece.channel, kTileDepth);
  // Columns inside: 0 <= step v + left < W.
  const int64_t left = piece.left + step * piece.column;
  const int64_t begin = at_most(piece.columns, left < 0 ? divide_up(-left, step) : 0);
  const int64_t end = at_least(begin, at_most(piece.columns, divide_up(x.W - left, step)));
  if (images < g.images || begin > 0 || end < piece.columns)
    std::memset(to, 0, piece.columns * column_elements * sizeof(bf16));
  for (int64_t n = 0; n < images; n++) {
    const int64_t pixel = ((first + n) * x.H + piece.y) * x.W + step * begin + left;
    const bf16* from = x.data + pixel * x.stride + piece.channel;
    const bf16* second = R == Reading::gradient ? s.second + pixel * s.second_stride + piece.channel : nullptr;
    bf16* at = to + begin * column_elements + n * kTileDepth;
    const auto read = [&](auto get) {
      Vec low = sums[0], high = sums[1];
      for (int64_t v = begin; v < end; v++, at += column_elements, from += step * x.stride) {
        const Vec a = change<R, bf16>(get(from, 0), second ? get(second, 0) : zero(), numbers.of[n], 0);
        const Vec b = change<R, bf16>(get(from, 1), second ? get(second, 1) : zero(), numbers.of[n], kLanes);
        store(at, a);
        store(at + kLanes, b);
        low = low + a;
        high = high + b;
        if (second) second += step * s.second_stride;
      }
      sums[0] = low;
      sums[1] = high;
    };
    if (depth == kTileDepth)
      read([](const bf16* p, int half) { return load(p + half * kLanes); });
    else
      read([=](const bf16* p, int half) {
        const int64_t lanes = at_most(depth - half * kLanes, kLanes);
        return lanes > 0 ? load_first(p + half * kLanes, lanes) : zero();
      });
  }
}

// 16 channels of two pixels that lie 32 channels apart, as words of pairs.
DIFFUSE_INLINE Vec pair_of(const bf16* pixels) {
  const auto words = [&](const bf16* p) {
    return _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  };
  const __m512i odd = _mm512_maskz_slli_epi32(0xffff, words(pixels + kTileDepth), 16);
  return (Vec)_mm512_or_si512(words(pixels), odd);
}

// piece[p][32] → to[channel][p] for 16 channels and pairs of p; channels lie `line` elements apart.
static void turn_over(const bf16* piece, int64_t count, bf16* to, int64_t line) {
  for (int64_t p = 0; p < count; p += 2 * kLanes) {
    const int64_t pairs = at_most(count - p, 2 * kLanes) / 2;
    Vec words[kLanes];
    for (int64_t i = 0; i < kLanes; i++) words[i] = i < pairs ? pair_of(piece + (p + 2 * i) * kTileDepth) : zero();
    exchange_all<1>(words);
    for (int64_t c = 0; c < kLanes; c++) {
      float* at = reinterpret_cast<float*>(to + c * line + p);
      pairs == kLanes ? store(at, words[c]) : store_first(at, words[c], pairs);
    }
  }
}

// body(group, block of 32 channels, first row, last row, numbers of the images, room for a piece) for chunks of `rows`
// rows, in parallel.
template <typename Body>
static void for_each_chunk(const Call& call, const Source<bf16>& s, const MatrixReductionTiling& g, int64_t rows,
                           bf16* pieces, Body&& body) {
  const int64_t blocks = divide_up(s.image.C, kTileDepth), chunks = divide_up(rows, kPackRows);
  parallel_for(call, g.groups * blocks * chunks, [&](int64_t index, int thread) {
    const int64_t group = index / chunks / blocks, block = index / chunks % blocks, first = index % chunks * kPackRows;
    GroupNumbers numbers;
    for (int64_t n = 0; n < at_most(g.images, s.image.N - group * g.images); n++)
      gather(numbers.of[n], s, group * g.images + n, block * kTileDepth);
    body(group, block, first, at_most(first + kPackRows, rows), numbers, pieces + thread * g.piece_elements);
  });
}

static void write_a(const Call& call, const WeightGradient<bf16>& w, const MatrixReductionTiling& g, bf16* pieces,
                    bf16* a) {
  const int64_t rows = g.planes * g.plane_rows, row_count = g.width * g.images, S = w.window.S;
  const auto write = [&](int64_t group, int64_t block, int64_t first, int64_t last, const GroupNumbers& numbers,
                         bf16* piece) {
    bf16* to = a + (group * g.channel_blocks + block) * kMatrixChannels * g.channel;
    const int64_t halves = divide_up(at_most(w.x.image.C - block * kMatrixChannels, kMatrixChannels), kTileLines);
    Vec sums[2] = {zero(), zero()};
    with_reading(w.x.reading, [&](auto reading) {
      for (int64_t r = first; r < last; r++) {
        const int64_t plane = r / g.plane_rows, y = S * (r % g.plane_rows) + plane / S + w.window.dy_min;
        for (int64_t column = 0; column < g.width; column += g.piece_columns) {
          const int64_t columns = at_most(g.piece_columns, g.width - column);
          gather_piece<decltype(reading)::value>(
              w.x, g, numbers, {group, block * kMatrixChannels, y, column, columns, S, plane % S + w.window.dx_min},
              piece, sums);
          for (int64_t half = 0; half < halves; half++)
            turn_over(piece + half * kLanes, columns * g.images,
                      to + half * kTileLines * g.channel + r * row_count + column * g.images, g.channel);
        }
      }
    });
    // What lies beyond the last row is multiplied by zeros, so it must be numbers.
    if (last < rows) return;
    for (int64_t c = 0; c < halves * kTileLines; c++)
      std::memset(to + c * g.channel + rows * row_count, 0, (g.channel - rows * row_count) * sizeof(bf16));
  };
  for_each_chunk(call, w.x, g, rows, pieces, write);
}

// Leaves the sums of the pixels of each chunk in `sums`.
static void write_b(const Call& call, const WeightGradient<bf16>& w, const MatrixReductionTiling& g, bf16* pieces,
                    bf16* b, float* sums) {
  const int64_t row_count = g.width * g.images;
  const auto write = [&](int64_t group, int64_t block, int64_t first, int64_t last, const GroupNumbers& numbers,
                         bf16* piece) {
    const int64_t tile = 2 * block, tiles = at_most(g.output_tiles - tile, 2);
    bf16* to = b + (group * round_up(g.output_tiles, 2) + tile) * g.outputs;
    Vec sum[2] = {zero(), zero()};
    with_reading(w.dy.reading, [&](auto reading) {
      for (int64_t r = first; r < last; r++)
        for (int64_t column = 0; column < g.width; column += g.piece_columns) {
          const int64_t columns = at_most(g.piece_columns, g.width - column);
          gather_piece<decltype(reading)::value>(w.dy, g, numbers,
                                                 {group, block * kTileDepth, r, column, columns, 1, 0}, piece, sum);
          for (int64_t half = 0; half < tiles; half++) {
            bf16* at = to + half * g.outputs + (r * row_count + column * g.images) * kTileColumns;
            for (int64_t p = 0; p < columns * g.images; p += 2, at += 2 * kTileColumns)
              store(reinterpret_cast<float*>(at), pair_of(piece + p * kTileDepth + half * kLanes));
          }
        }
    });
    float* chunk = sums + (group * g.row_chunks + first / kPackRows) * g.sum_row + tile * kTileColumns;
    for (int64_t half = 0; half < tiles; half++) store(chunk + half * kTileColumns, sum[half]);
    const int64_t end = g.rows * row_count;
    if (last < g.rows) return;
    for (int64_t half = 0; half < tiles; half++)
      std::memset(to + half * g.outputs + end * kTileColumns, 0, (g.run - end) * kTileColumns * sizeof(bf16));
  };
  for_each_chunk(call, w.dy, g, g.rows, pieces, write);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA

#endif
