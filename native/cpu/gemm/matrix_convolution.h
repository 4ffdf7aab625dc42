// Convolutions and linear maps of bf16 images on the matrix unit: the sums of tap_convolution.h, whose legend holds.
//
//   strip    [block][row][column][image][32 channels]           bf16, zeros where channels or pixels do not exist
//   weights  [class][panel][block][tap][2][16][16 outputs][2]   bf16, in pairs of channels (matrix_tiles.h)
//   sums     [row][column][image][kPanel]                       float32, of four rows of the strip and one panel
//
// A task packs the strip of some rows of pixels, normalised on the way where that is asked for, and takes it over all
// panels. The sums of four rows and a panel stay in L1 until they are finished and rounded to where they belong
// (finish.h).
#pragma once

#include "cpu/gemm/matrix_tiles.h"
#include "cpu/gemm/tap_convolution.h"

#if defined(__AMX_BF16__)

namespace diffuse::DIFFUSE_ISA {
namespace {

static_assert(kPanel == 2 * kTileColumns && kLanes == kTileColumns);

constexpr int64_t kPanelStep = 2 * kTileElements;  // of a panel's weights, for a block and a tap

// How the work is cut.
struct MatrixTiling {
  int64_t images, rows, columns;              // of a strip
  int64_t groups, row_strips, column_strips;  // number of strips in each direction
  int64_t panels, panels_together, panel_groups;
  int64_t blocks;
  int64_t weight_elements, strip_elements, sum_floats;  // the last two of each thread

  int64_t strips() const { return groups * row_strips * column_strips; }
};

constexpr int64_t kMatrixStripBytes = 512 << 10;  // of L2, beside two panels of weights
constexpr int64_t kMatrixRun = 1024;              // columns times images of a strip, at most
constexpr int64_t kMatrixTasksAThread = 6;

DIFFUSE_INLINE StripLayout matrix_strip_layout(const Window& w, const StripPart& part) {
  return strip_layout<kTileDepth>(w, part);
}

static MatrixTiling choose_matrix_tiling(const TapConvolution<bf16>& t, int threads) {
  const int64_t I = divide_up(t.y.H, t.P), J = divide_up(t.y.W, t.P), C = t.x.image.C;
  MatrixTiling g{};
  g.panels = divide_up(t.y.K, kPanel);
  g.blocks = divide_up(C, kTileDepth);
  g.images = images_together(t.x.image.N, J, 2 * kTileLines);
  g.columns = at_most(J, at_least(1, kMatrixRun / g.images));
  g.rows = at_most(I, kChunkRows);
  auto count = [&] {
    g.groups = divide_up(t.x.image.N, g.images);
    g.row_strips = divide_up(I, g.rows);
    g.column_strips = divide_up(J, g.columns);
    return g.strips();
  };
  // And a tile more: the last one may reach over the end of the strip.
  auto elements = [&] {
    const StripLayout layout = matrix_strip_layout(t.window, {0, g.images, 0, g.rows, 0, g.columns, 0, C});
    return layout.block_step * g.blocks + 2 * kTileLines * kTileDepth;
  };
  const int64_t wanted = threads > 1 ? kMatrixTasksAThread * threads : 1;
  const bool cuts_columns = I == 1 && !t.y.finish.chunks.data;
  while (cuts_columns && g.columns > 4 * kTileLines && (count() < wanted || elements() * 2 > kMatrixStripBytes))
    g.columns = round_up(divide_up(g.columns, 2), 2 * kTileLines);
  while (g.rows < I) {
    const int64_t before = g.rows;
    g.rows = at_most(I, g.rows + kChunkRows);
    if (count() >= wanted && elements() * 2 <= kMatrixStripBytes) continue;
    g.rows = before;
    break;
  }
  count();
  g.panels_together = divide_up(g.panels, at_most(g.panels, divide_up(wanted, g.strips())));
  g.panel_groups = divide_up(g.panels, g.panels_together);
  for (int c = 0; c < t.class_count; c++)
    g.weight_elements += t.classes[c].tap_count * g.blocks * g.panels * kPanelStep;
  g.strip_elements = round_up(elements(), kTileDepth);
  g.sum_floats = kChunkRows * round_up(g.columns * g.images, 2 * kTileLines) * kPanel;
  return g;
}

// --- Weights

// One block of channels of one tap and panel.
static void pack_pairs(const TapConvolution<bf16>& t, int64_t tap, int64_t panel, int64_t block, bf16* to) {
  const int64_t k = panel * kPanel, c = block * kTileDepth, depth = at_most(t.x.image.C - c, kTileDepth);
  const float* weight = t.weight + tap * t.tap_step;
  for (int64_t column = 0; column < kPanel; column += kTileColumns, to += kTileElements) {
    const int64_t left = at_least(at_most(t.y.K - k - column, kTileColumns), 0);
    if (t.weight_transposed) {
      // Stored [output][channel]: 16 outputs of 16 pairs, turned over.
      Vec words[kTileColumns];
      for (int64_t j = 0; j < kTileColumns; j++) {
        const float* from = weight + (k + column + j) * t.k_step + c;
        const auto half = [&](int64_t first) {
          const int64_t count = j < left ? at_least(at_most(depth - first, kLanes), 0) : 0;
          return narrow(count ? load_first(from + first, count) : zero());
        };
        VecBits halves[2] = {half(0), half(kLanes)};
        std::memcpy(&words[j], halves, sizeof halves);
      }
      exchange_all<1>(words);
      for (int64_t i = 0; i < kTileDepth / 2; i++) std::memcpy(to + i * 2 * kTileColumns, &words[i], sizeof words[i]);
    } else {
      const auto row = [&](int64_t i) {
        return i < depth && left ? load_first(weight + (c + i) * t.k_step + k + column, left) : zero();
      };
      for (int64_t i = 0; i < kTileDepth; i += 2) store_pairs(to + i * kTileColumns, row(i), row(i + 1));
    }
  }
}

// Elements of packed weights before those of class `c`.
DIFFUSE_INLINE int64_t class_start(const TapConvolution<bf16>& t, const MatrixTiling& g, int c) {
  int64_t taps = 0;
  for (int i = 0; i < c; i++) taps += t.classes[i].tap_count;
  return taps * g.blocks * g.panels * kPanelStep;
}

static void pack_matrix_weights(const Call& call, const TapConvolution<bf16>& t, const MatrixTiling& g, bf16* packed) {
  parallel_for(call, g.panels * g.blocks, [&](int64_t index, int) {
    const int64_t panel = index % g.panels, block = index / g.panels;
    for (int c = 0; c < t.class_count; c++) {
      const TapClass& taps = t.classes[c];
      bf16* to = packed + class_start(t, g, c) + (panel * g.blocks + block) * taps.tap_count * kPanelStep;
      for (int64_t tap = 0; tap < taps.tap_count; tap++, to += kPanelStep)
        pack_pairs(t, taps.weight[tap], panel, block, to);
    }
  });
}

// --- Strips

// 32 channels of a pixel, as they are to be read; `depth` of them exist.
template <Reading R>
DIFFUSE_INLINE void pack_channels(const bf16* from, const bf16* second, const Numbers<kTileDepth>& numbers,
                                  int64_t depth, bf16* to) {
  if (R == Reading::plain && depth == kTileDepth) {
    std::memcpy(to, from, kTileDepth * sizeof(bf16));
    return;
  }
  DIFFUSE_UNROLL
  for (int part = 0; part < kTileDepth; part += kLanes) {
    const int64_t left = depth == kTileDepth ? kLanes : at_least(at_most(depth - part, kLanes), 0);
    const auto get = [&](const bf16* p) {
      return left == kLanes ? load(p + part) : left ? load_first(p + part, left) : zero();
    };
    store(to + part, change<R, bf16>(get(from), second ? get(second) : zero(), numbers, part));
  }
}

template <Reading R>
static void pack_matrix_strip(const Source<bf16>& s, const Window& w, const StripPart& part, const StripLayout& layout,
                              bf16* strip) {
  const Image<bf16>& x = s.image;
  const StripPixels pixels = strip_pixels(w, part);
  const int64_t columns = pixels.columns, first_column = pixels.first_column;
  const int64_t begin = at_most(columns, at_least(0, -first_column));
  const int64_t end = at_least(begin, at_most(columns, x.W - first_column));
  Numbers<kTileDepth> numbers;
  for (int64_t n = 0; n < part.images; n++)
    for (int64_t channel = 0; channel < x.C; channel += kTileDepth) {
      const int64_t depth = at_most(x.C - channel, kTileDepth);
      gather(numbers, s, part.n + n, channel);
      for (int64_t r = 0; r < pixels.rows; r++) {
        const int64_t y = pixels.first_row + r;
        bf16* row = strip + channel / kTileDepth * layout.block_step + r * layout.row_step + n * kTileDepth;
        const auto place = [&](int64_t q) {
          return row + (w.S == 1 ? q : q % w.S * layout.half + q / w.S) * layout.pixel_step;
        };
        const auto clear = [&](int64_t from, int64_t until) {
          for (int64_t q = from; q < until; q++) std::memset(place(q), 0, kTileDepth * sizeof(bf16));
        };
        if (y < 0 || y >= x.H) {
          clear(0, columns);
          continue;
        }
        clear(0, begin);
        clear(end, columns);
        const int64_t pixel = ((part.n + n) * x.H + y) * x.W + first_column;
        const bf16* from = x.data + (pixel + begin) * x.stride + channel;
        const bf16* second = R == Reading::gradient ? s.second + (pixel + begin) * s.second_stride + channel : nullptr;
        for (int64_t q = begin; q < end; q++, from += x.stride) {
          pack_channels<R>(from, second, numbers, depth, place(q));
          // The next block of channels is read next.
          __builtin_prefetch(from + kTileDepth, 0, 2);
          if (second) {
            __builtin_prefetch(second + kTileDepth, 0, 2);
            second += s.second_stride;
          }
        }
      }
    }
}

// --- Products

struct MatrixProduct {
  const bf16* a;        // the first pixel in block 0 at tap offset 0
  int64_t a_block;      // elements from one block to the next
  const int64_t* taps;  // offset of each tap
  int64_t tap_count, blocks;
  const bf16* b;
};

// sums[16 Lines][kPanel] of 16 or 32 pixels, and 16 or 32 outputs.
template <int Lines, int Columns>
__attribute__((noinline)) void multiply_pixels(const MatrixProduct& t, float* sums) {
  constexpr int64_t kNext = kTileLines * kTileDepth;  // pixels of the second tile
  zero_tiles<4>();
  memory_fence();
  const bf16 *a_block = t.a, *b = t.b;
  for (int64_t block = 0; block < t.blocks; block++, a_block += t.a_block)
    for (int64_t tap = 0; tap < t.tap_count; tap++, b += kPanelStep) {
      const bf16* a = a_block + t.taps[tap];
      _tile_loadd(6, b, 64);
      _tile_loadd(4, a, 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (Columns == 2) {
        _tile_loadd(7, b + kTileElements, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (Lines == 2) {
        _tile_loadd(5, a + kNext, 64);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (Columns == 2) _tile_dpbf16ps(3, 5, 7);
      }
    }
  constexpr int kRowBytes = kPanel * sizeof(float);
  float* second = sums + kTileLines * kPanel;
  _tile_stored(0, sums, kRowBytes);
  if constexpr (Columns == 2) _tile_stored(1, sums + kTileColumns, kRowBytes);
  if constexpr (Lines == 2) _tile_stored(2, second, kRowBytes);
  if constexpr (Lines == 2 && Columns == 2) _tile_stored(3, second + kTileColumns, kRowBytes);
  memory_fence();
}

static void multiply_run(MatrixProduct t, int64_t run, bool two_columns, float* sums) {
  for (; run > 0; run -= 2 * kTileLines, sums += 2 * kTileLines * kPanel, t.a += 2 * kTileLines * kTileDepth) {
    if (run > kTileLines)
      two_columns ? multiply_pixels<2, 2>(t, sums) : multiply_pixels<2, 1>(t, sums);
    else
      two_columns ? multiply_pixels<1, 2>(t, sums) : multiply_pixels<1, 1>(t, sums);
  }
}

// Some rows of a strip, of one class of outputs, whose sums of one panel are ready.
struct MatrixRows {
  int64_t n, images, i, rows, j, columns;
  int64_t run_step;  // floats of sums from one row to the next
};

template <Finishing F>
static void finish_rows(const TapConvolution<bf16>& t, const TapClass& taps, const MatrixRows& r, const float* sums,
                        int64_t panel) {
  const int64_t k = panel * kPanel, chunks = divide_up(t.y.H, kChunkRows);
  OutputVectors<F, bf16, 2> outputs(t.y, k, at_most(t.y.K - k, kPanel));
  for (int64_t n = 0; n < r.images; n++) {
    outputs.begin_row(r.n + n);
    for (int64_t i = 0; i < r.rows; i++) {
      int64_t pixel = ((r.n + n) * t.y.H + taps.f + t.P * (r.i + i)) * t.y.W + taps.g + t.P * r.j;
      const float* from = sums + i * r.run_step + n * kPanel;
      for (int64_t j = 0; j < r.columns; j++, pixel += t.P, from += r.images * kPanel)
        outputs.write(pixel, {load(from), load(from + kLanes)});
    }
    outputs.end_row((r.n + n) * chunks + r.i / kChunkRows, r.rows * r.columns);
  }
}

static void finish_rows(const TapConvolution<bf16>& t, const TapClass& taps, const MatrixRows& r, const float* sums,
                        int64_t panel) {
  with_finishing(t.y.finish.finishing,
                 [&](auto finishing) { finish_rows<decltype(finishing)::value>(t, taps, r, sums, panel); });
}

// One class of outputs of one strip, for the panels [first_panel, last_panel).
static void multiply_matrix_strip(const TapConvolution<bf16>& t, const MatrixTiling& g, int c, const StripPart& part,
                                  const StripLayout& layout, const bf16* strip, const bf16* packed, float* sums,
                                  int64_t first_panel, int64_t last_panel) {
  const TapClass& taps = t.classes[c];
  // An odd size leaves the classes that begin at 1 a row or a column less.
  const int64_t rows = at_most(part.rows, divide_up(t.y.H - taps.f, t.P) - part.i);
  const int64_t columns = at_most(part.columns, divide_up(t.y.W - taps.g, t.P) - part.j);
  if (rows <= 0 || columns <= 0) return;
  int64_t offsets[kMaxTaps];
  for (int64_t tap = 0; tap < taps.tap_count; tap++)
    offsets[tap] = tap_offset(t.window, layout, taps.dy[tap], taps.dx[tap]);
  const int64_t run = columns * part.images, panel_elements = g.blocks * taps.tap_count * kPanelStep;
  MatrixProduct product{nullptr, layout.block_step, offsets, taps.tap_count, g.blocks, nullptr};
  MatrixRows at{part.n, part.images, 0, 0, part.j, columns, round_up(run, 2 * kTileLines) * kPanel};
  for (int64_t panel = first_panel; panel < last_panel; panel++) {
    product.b = packed + class_start(t, g, c) + panel * panel_elements;
    for (int64_t first = 0; first < rows; first += kChunkRows) {
      at.i = part.i + first;
      at.rows = at_most(rows - first, kChunkRows);
      for (int64_t i = 0; i < at.rows; i++) {
        product.a = strip + t.window.S * (first + i) * layout.row_step;
        multiply_run(product, run, t.y.K - panel * kPanel > kTileColumns, sums + i * at.run_step);
      }
      finish_rows(t, taps, at, sums, panel);
    }
  }
}

static size_t matrix_convolution_scratch(const Call& call, const TapConvolution<bf16>& t) {
  const int threads = thread_count(call.workers);
  const MatrixTiling g = choose_matrix_tiling(t, threads);
  return static_cast<size_t>(g.weight_elements + g.strip_elements * threads) * sizeof(bf16) +
         static_cast<size_t>(g.sum_floats * threads) * sizeof(float);
}

static void matrix_convolution(const Call& call, TapConvolution<bf16> t) {
  const int threads = thread_count(call.workers);
  const MatrixTiling g = choose_matrix_tiling(t, threads);
  float* sums = reinterpret_cast<float*>(call.scratch);
  bf16* packed = reinterpret_cast<bf16*>(sums + g.sum_floats * threads);
  bf16* strips = packed + g.weight_elements;
  // No task sees a whole chunk where columns are cut, or outputs come in classes.
  const Finish finish = t.y.finish;
  const bool apart = finish.chunks.data && (g.column_strips > 1 || t.P > 1);
  if (apart) t.y.finish = {};
  pack_matrix_weights(call, t, g, packed);
  int64_t held[kMaxThreads];  // which strip each thread's scratch holds
  for (int64_t& strip : held) strip = -1;
  parallel_for(call, g.strips() * g.panel_groups, [&](int64_t index, int thread) {
    const TileRegisters registers;
    const int64_t strip = index / g.panel_groups, first_panel = index % g.panel_groups * g.panels_together;
    StripPart part{};
    part.depth = t.x.image.C;
    part.j = strip % g.column_strips * g.columns;
    part.i = strip / g.column_strips % g.row_strips * g.rows;
    part.n = strip / g.column_strips / g.row_strips * g.images;
    part.images = at_most(g.images, t.x.image.N - part.n);
    part.rows = at_most(g.rows, divide_up(t.y.H, t.P) - part.i);
    part.columns = at_most(g.columns, divide_up(t.y.W, t.P) - part.j);
    bf16* own = strips + thread * g.strip_elements;
    const StripLayout layout = matrix_strip_layout(t.window, part);
    if (held[thread] != strip)
      with_reading(t.x.reading, [&](auto reading) {
        pack_matrix_strip<decltype(reading)::value>(t.x, t.window, part, layout, own);
      });
    held[thread] = strip;
    for (int c = 0; c < t.class_count; c++)
      multiply_matrix_strip(t, g, c, part, layout, own, packed, sums + thread * g.sum_floats, first_panel,
                            at_most(first_panel + g.panels_together, g.panels));
    finish_streams();
  });
  t.y.finish = finish;
  if (apart) finish_outputs(call, t.y);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA

#endif
