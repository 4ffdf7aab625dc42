// Convolutions and matrix products as one loop nest over taps.
//
//   y[n, f + P i, g + P j, k] = bias[k] + sum over taps t, channels c of x[n, S i + dy_t, S j + dx_t, c] * weight[t, c,
//   k]
//
//   S        stride of the input    P        stride of the output
//   (f, g)   the first output pixel of a class; each class has taps of its own
//   taps     forward: the kh * kw positions of the window, S = stride, P = 1, one class
//            data gradient: the mirrored window over dy, S = 1, P = stride. With stride 2 an input pixel was read by
//            every other tap only, and by which ones depends on the parities of its row and column: four classes of
//            (for 3x3) 1, 2, 2 and 4 taps. So no multiplication is spent on zeros matrix product: one tap
//
// Loops, from the outside: parts of the input channels, whose weights are packed by all threads together; then tasks of
// (images, rows, columns of the lattice, output panels), each of which packs its strip of the input into its thread's
// scratch, where it stays in L2, and multiplies it by panel after panel. A thread whose last task had the same strip
// does not pack it again. Each panel is read from L2 once a tile and each tile reads its pixels from L1.
//
// One output is one sum in a fixed order (micro_kernel.h), so how the work is cut does not change a bit of the result;
// it may therefore depend on the number of threads.
#pragma once

#include "cpu/gemm/finish.h"
#include "cpu/gemm/narrow_outputs.h"
#include "cpu/gemm/strip.h"
#include "cpu/parallel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int kMaxKernel = 7;
constexpr int kMaxTaps = kMaxKernel * kMaxKernel;

struct TapClass {
  int64_t f, g;
  int64_t tap_count;
  int64_t dy[kMaxTaps], dx[kMaxTaps];
  int64_t weight[kMaxTaps];  // index of the tap in the weights
};

template <typename T>
struct TapConvolution {
  Source<T> x;
  Outputs<T> y;
  int64_t P;
  const float* weight;       // [tap][C][K]
  int64_t tap_step, k_step;  // floats from one tap to the next, and from one stored row to the next
  bool weight_transposed;    // stored [tap][K][C]
  Window window;
  int class_count;
  TapClass classes[4];

  // What is added to y as it is written, or null; all else that is to be done to it is a pass of its own.
  const T* addend() const { return adds_only(y.finish) ? data_of<T>(y.finish.residual) : nullptr; }
  int64_t addend_stride() const { return y.finish.residual.row_stride; }
};

// How the work is cut.
struct Tiling {
  int64_t images, rows, columns;              // of a strip
  int64_t groups, row_strips, column_strips;  // number of strips in each direction
  int64_t panels, panels_together, panel_groups;
  int64_t depth;                        // channels of a strip; with more channels the sums are continued in y
  bool packs_weights;                   // false: the weights are read where they lie
  bool narrow;                          // a few output channels: narrow_outputs.h
  int64_t weight_floats, strip_floats;  // strip_floats: of each thread

  int64_t strips() const { return groups * row_strips * column_strips; }
};

constexpr int64_t kStripBytes = 640 << 10;  // of L2, beside one panel of weights
constexpr int64_t kPanelBytes = 640 << 10;
constexpr int64_t kDepth = 1024;       // channels of a strip, at most
constexpr int64_t kOneTapDepth = 512;  // the same where only pixels and panels share them, and a strip should be long
constexpr int64_t kStripRun = 1024;    // lattice columns times images of a strip, at most
constexpr int64_t kStripsAThread = 12;
constexpr int64_t kTasksAThread = 24;  // strips times groups of panels

// Channels of packed weights.
template <typename T>
DIFFUSE_INLINE int64_t part_depth(const TapConvolution<T>& t, const Tiling& g) {
  return at_most(round_up(t.x.image.C, kBlock), g.depth);
}

template <typename T>
static Tiling choose_tiling(const TapConvolution<T>& t, int threads) {
  const int64_t I = divide_up(t.y.H, t.P), J = divide_up(t.y.W, t.P), C = t.x.image.C;
  int64_t taps = 1;
  for (int c = 0; c < t.class_count; c++) taps = at_least(taps, t.classes[c].tap_count);
  Tiling g{};
  int64_t deepest = at_most(kPanelBytes / 4 / kPanel / taps, taps == 1 ? kOneTapDepth : kDepth);
  g.depth = round_up(divide_up(C, divide_up(C, deepest)), kBlock);
  // Sums cannot be continued in y where it is rounded.
  if (sizeof(T) < sizeof(float)) g.depth = round_up(C, kBlock);
  g.panels = divide_up(t.y.K, kPanel);

  auto fits = [&] {
    return strip_floats(t.window, {0, g.images, 0, g.rows, 0, g.columns, 0, at_most(C, g.depth)}) * 4 <= kStripBytes;
  };
  auto count = [&] {
    g.groups = divide_up(t.x.image.N, g.images);
    g.row_strips = divide_up(I, g.rows);
    g.column_strips = divide_up(J, g.columns);
  };
  g.images = images_together(t.x.image.N, J, 2 * kTileRows);
  g.rows = 1;
  g.columns = at_most(J, kStripRun / g.images);
  while (!fits() && g.columns > 2 * kTileRows) g.columns = divide_up(g.columns, 2);
  while (g.rows < I && g.rows * g.columns * g.images < kStripRun) {
    g.rows++;
    if (!fits()) {
      g.rows--;
      break;
    }
  }
  // Enough tasks that the threads finish together, but none smaller than a few tiles.
  count();
  const int64_t wanted = threads > 1 ? kStripsAThread * threads : 1;
  // With one tap a panel of weights serves a pixel once: it takes more pixels to be worth its way from L3.
  const int64_t few = (taps == 1 ? 9 : 4) * kTileRows;
  while (g.strips() < wanted && g.rows > 1 && g.rows / 2 * g.columns * g.images >= few) {
    g.rows = divide_up(g.rows, 2);
    count();
  }
  while (g.strips() < wanted && g.columns >= 2 * few) {
    g.columns = divide_up(g.columns, 2);
    count();
  }
  g.rows = divide_up(I, g.row_strips);
  g.columns = divide_up(J, g.column_strips);
  if (g.column_strips > 1) g.columns = at_most(round_up(g.columns, kTileRows), at_most(J, kStripRun / g.images));
  count();
  const int64_t groups = threads > 1 ? divide_up(kTasksAThread * threads, g.strips()) : 1;
  g.panels_together = divide_up(g.panels, at_most(g.panels, groups));
  g.panel_groups = divide_up(g.panels, g.panels_together);

  g.narrow = t.y.K <= kNarrow && C % kBlock == 0 && !t.weight_transposed && t.class_count == 1;
  // Copying the weights pays when they are read several times.
  g.packs_weights = g.narrow || t.weight_transposed || t.y.K % kLanes || t.x.image.N * I * J > 8 * kTileRows;
  for (int c = 0; c < t.class_count && g.packs_weights; c++)
    g.weight_floats += t.classes[c].tap_count * part_depth(t, g) * g.panels * kPanel;
  g.strip_floats = round_up(strip_floats(t.window, {0, g.images, 0, g.rows, 0, g.columns, 0, at_most(C, g.depth)}), 16);
  return g;
}

// Floats of packed weights before those of class `c`.
template <typename T>
DIFFUSE_INLINE int64_t class_offset(const TapConvolution<T>& t, const Tiling& g, int c) {
  int64_t taps = 0;
  for (int i = 0; i < c; i++) taps += t.classes[i].tap_count;
  return taps * part_depth(t, g) * g.panels * kPanel;
}

// weight → [class][panel][block][tap][k][kPanel], for the channels from `channel` on that are one part. A task walks
// along the rows as they are stored.
template <typename T>
static void pack_weights(const Call& call, const TapConvolution<T>& t, const Tiling& g, int64_t channel,
                         float* packed) {
  const int64_t part_blocks = part_depth(t, g) / kBlock;
  const int64_t end = at_most(channel + g.depth, t.x.image.C), blocks = divide_up(end - channel, kBlock);
  const int64_t task_panels = t.weight_transposed ? 1 : 8, task_blocks = t.weight_transposed ? 8 : 1;
  const int64_t across = divide_up(g.panels, task_panels);
  auto pack = [&](int64_t panel, int64_t block) {
    int64_t k = panel * kPanel, c = channel + block * kBlock;
    int64_t columns = at_most(t.y.K - k, kPanel), depth = at_most(end - c, kBlock);
    for (int i = 0; i < t.class_count; i++) {
      const TapClass& taps = t.classes[i];
      float* to = packed + class_offset(t, g, i) + (panel * part_blocks + block) * taps.tap_count * kBlock * kPanel;
      for (int64_t tap = 0; tap < taps.tap_count; tap++, to += kBlock * kPanel) {
        const float* from = t.weight + taps.weight[tap] * t.tap_step;
        if (t.weight_transposed)
          pack_panel_transposed(from + k * t.k_step + c, t.k_step, depth, columns, to);
        else
          pack_panel(from + c * t.k_step + k, t.k_step, depth, columns, to);
      }
    }
  };
  parallel_for(call, across * divide_up(blocks, task_blocks), [&](int64_t index, int) {
    int64_t panel = index % across * task_panels, block = index / across * task_blocks;
    for (int64_t p = panel; p < at_most(panel + task_panels, g.panels); p++)
      for (int64_t b = block; b < at_most(block + task_blocks, blocks); b++) pack(p, b);
  });
}

// The same for few output channels: weight → [k][block][tap][kBlock].
template <typename T>
static void pack_narrow_weights(const TapConvolution<T>& t, const Tiling& g, int64_t channel, float* packed) {
  const TapClass& taps = t.classes[0];
  const int64_t end = at_most(channel + g.depth, t.x.image.C);
  for (int64_t k = 0; k < t.y.K; k++)
    for (int64_t block = channel; block < end; block += kBlock)
      for (int64_t tap = 0; tap < taps.tap_count; tap++)
        for (int64_t c = 0; c < kBlock; c++)
          *packed++ = t.weight[taps.weight[tap] * t.tap_step + (block + c) * t.k_step + k];
}

// All outputs of one strip, where there are few output channels.
template <typename T>
static void sum_strip_narrow(const TapConvolution<T>& t, const StripPart& part, const StripLayout& layout,
                             const float* strip, const float* packed) {
  const TapClass& taps = t.classes[0];
  int64_t offsets[kMaxTaps];
  for (int64_t tap = 0; tap < taps.tap_count; tap++)
    offsets[tap] = tap_offset(t.window, layout, taps.dy[tap], taps.dx[tap]);
  const int64_t run = part.columns * part.images, blocks = divide_up(part.depth, kBlock);
  const bool begins = part.channel == 0;
  const T* addend = t.addend();
  float sums[kStripRun];
  for (int64_t k = 0; k < t.y.K; k++)
    for (int64_t i = 0; i < part.rows; i++) {
      const NarrowSums s{
          strip + t.window.S * i * layout.row_step,     layout.block_step, offsets, taps.tap_count, blocks,
          packed + k * blocks * taps.tap_count * kBlock};
      sum_run_narrow(s, run, sums);
      const int64_t first = (part.n * t.y.H + part.i + i) * t.y.W + part.j;
      for (int64_t r = 0; r < run; r++) {
        const int64_t pixel = first + r % part.images * t.y.H * t.y.W + r / part.images;
        T* y = t.y.data + pixel * t.y.stride + k;
        float before = begins ? (t.y.bias ? t.y.bias[k] : 0) : number(y);
        if (begins && addend) before += number(addend + pixel * t.addend_stride() + k);
        set_number(y, before + sums[r]);
      }
    }
}

// Rounds the sums of a tile to where they belong.
template <typename T>
static void write_sums(const float* sums, int64_t rows, int64_t columns, T* y, const int64_t* y_rows, const T* addend,
                       const int64_t* addend_rows) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t k = 0; k < columns; k += kLanes) {
      const int64_t left = at_most(columns - k, kLanes);
      Vec sum = load(sums + r * kPanel + k);
      if (addend) sum = sum + load_first(addend + addend_rows[r] + k, left);
      store_first(y + y_rows[r] + k, sum, left);
    }
}

// One class of outputs of one strip, for the panels [first_panel, last_panel).
template <typename T>
static void multiply_strip(const TapConvolution<T>& t, const Tiling& g, int c, const StripPart& part,
                           const StripLayout& layout, const float* strip, const float* packed, int64_t first_panel,
                           int64_t last_panel) {
  const TapClass& taps = t.classes[c];
  // Outputs of this class in this strip: an odd size leaves the classes that begin at 1 a row or a column less.
  const int64_t rows = at_most(part.rows, divide_up(t.y.H - taps.f, t.P) - part.i);
  const int64_t columns = at_most(part.columns, divide_up(t.y.W - taps.g, t.P) - part.j);
  if (rows <= 0 || columns <= 0) return;

  int64_t offsets[kMaxTaps], y_rows[kStripRun], addend_rows[kStripRun], sum_rows[kTileRows];
  for (int64_t tap = 0; tap < taps.tap_count; tap++)
    offsets[tap] = tap_offset(t.window, layout, taps.dy[tap], taps.dx[tap]);
  const int64_t run = columns * part.images;
  const T* addend = part.channel == 0 ? t.addend() : nullptr;  // sums that are continued in y have it already
  for (int64_t r = 0; r < run; r++) {
    const int64_t pixel = r % part.images * t.y.H * t.y.W + t.P * (r / part.images);
    y_rows[r] = pixel * t.y.stride;
    addend_rows[r] = addend ? pixel * t.addend_stride() : 0;
  }
  for (int r = 0; r < kTileRows; r++) sum_rows[r] = r * kPanel;

  const int64_t panel_floats = part_depth(t, g) * taps.tap_count * kPanel;
  const TileCut cut = cut_rows(run);
  TileProduct tile{};
  tile.a_block = layout.block_step;
  tile.taps = offsets;
  tile.tap_count = taps.tap_count;
  tile.depth = part.depth;
  tile.b_step = g.packs_weights ? kPanel : t.k_step;
  tile.b_tap = g.packs_weights ? kBlock * kPanel : t.tap_step;
  tile.b_block = g.packs_weights ? taps.tap_count * kBlock * kPanel : kBlock * t.k_step;
  tile.alpha = 1;
  tile.accumulate = part.channel > 0;
  // While a panel is multiplied, the next one comes from L3 into L2, a piece with each tile.
  const int64_t blocks = divide_up(part.depth, kBlock);
  const int64_t ahead_lines = divide_up(panel_floats / kLineFloats, rows * cut.tiles * blocks);
  for (int64_t panel = first_panel; panel < last_panel; panel++) {
    tile.columns = at_most(t.y.K - panel * kPanel, kPanel);
    tile.bias = t.y.bias ? t.y.bias + panel * kPanel : nullptr;
    tile.b = g.packs_weights ? packed + class_offset(t, g, c) + panel * panel_floats
                             : t.weight + part.channel * t.k_step + panel * kPanel;
    tile.ahead_lines = g.packs_weights && panel + 1 < g.panels ? ahead_lines : 0;
    tile.ahead = tile.b + panel_floats;
    for (int64_t i = 0; i < rows; i++) {
      const int64_t pixel = (part.n * t.y.H + taps.f + t.P * (part.i + i)) * t.y.W + taps.g + t.P * part.j;
      T* y = t.y.data + pixel * t.y.stride + panel * kPanel;
      const T* to_add = addend ? addend + pixel * t.addend_stride() + panel * kPanel : nullptr;
      tile.a = strip + t.window.S * i * layout.row_step;
      for (int64_t index = 0, r = 0; index < cut.tiles; index++) {
        const int64_t height = cut.height + (index < cut.taller);
        if constexpr (sizeof(T) == sizeof(float)) {
          tile.c = y;
          tile.c_rows = y_rows + r;
          tile.addend = to_add;
          tile.addend_rows = addend_rows + r;
          multiply_rows(tile, static_cast<int>(height));
        } else {
          float sums[kTileRows * kPanel];
          tile.c = sums;
          tile.c_rows = sum_rows;
          multiply_rows(tile, static_cast<int>(height));
          write_sums(sums, height, tile.columns, y, y_rows + r, to_add, addend_rows + r);
        }
        tile.a += height * kBlock;
        tile.ahead += blocks * ahead_lines * kLineFloats;
        r += height;
      }
    }
  }
}

template <typename T>
static size_t tap_convolution_scratch(const Call& call, const TapConvolution<T>& t) {
  int threads = thread_count(call.workers);
  Tiling g = choose_tiling(t, threads);
  return sizeof(float) * static_cast<size_t>(g.weight_floats + g.strip_floats * threads);
}

template <typename T>
static void tap_convolution(const Call& call, const TapConvolution<T>& t) {
  const Tiling g = choose_tiling(t, thread_count(call.workers));
  float* packed = reinterpret_cast<float*>(call.scratch);
  float* strips = packed + g.weight_floats;
  const int64_t I = divide_up(t.y.H, t.P), J = divide_up(t.y.W, t.P);
  // Which strip each thread's scratch holds.
  int64_t held[kMaxThreads];
  for (int64_t channel = 0; channel < t.x.image.C; channel += g.depth) {
    if (g.narrow)
      pack_narrow_weights(t, g, channel, packed);
    else if (g.packs_weights)
      pack_weights(call, t, g, channel, packed);
    for (int64_t& strip : held) strip = -1;
    parallel_for(call, g.strips() * g.panel_groups, [&](int64_t index, int thread) {
      // Consecutive tasks have the same strip.
      int64_t strip = index / g.panel_groups, first_panel = index % g.panel_groups * g.panels_together;
      int64_t last_panel = at_most(first_panel + g.panels_together, g.panels);
      StripPart part{};
      part.channel = channel;
      part.depth = at_most(g.depth, t.x.image.C - channel);
      part.j = strip % g.column_strips * g.columns;
      part.i = strip / g.column_strips % g.row_strips * g.rows;
      part.n = strip / g.column_strips / g.row_strips * g.images;
      part.images = at_most(g.images, t.x.image.N - part.n);
      part.rows = at_most(g.rows, I - part.i);
      part.columns = at_most(g.columns, J - part.j);
      float* own = strips + thread * g.strip_floats;
      StripLayout layout = strip_layout(t.window, part);
      if (held[thread] != strip) pack_strip(t.x, t.window, part, layout, own);
      held[thread] = strip;
      if (g.narrow) return sum_strip_narrow(t, part, layout, own, packed);
      for (int c = 0; c < t.class_count; c++)
        multiply_strip(t, g, c, part, layout, own, packed, first_panel, last_panel);
    });
  }
}

// A matrix [rows][columns], `step` elements from one stored row to the next; stored [columns][rows] if transposed.
template <typename T>
struct Matrix {
  T* data;
  int64_t step;
  bool transposed = false;
};

// c[M][N] = op(a)[M][K] op(b)[K][N] (+ bias[N]) (+ addend, as c), as an image of one row of M pixels.
template <typename T>
DIFFUSE_INLINE TapConvolution<T> product(int64_t M, int64_t N, int64_t K, const Matrix<const T>& a,
                                         const Matrix<const float>& b, const Matrix<T>& c, const float* bias = nullptr,
                                         const Tensor& addend = {}) {
  TapConvolution<T> t{};
  t.x.image = {a.data, a.step, 1, 1, M, K, a.transposed};
  t.y = {c.data, c.step, 1, 1, M, N, bias, {}};
  if (addend.data) {
    t.y.finish.finishing = Finishing::sum;
    t.y.finish.residual = addend;
  }
  t.P = 1;
  t.weight = b.data;
  t.k_step = b.step;
  t.weight_transposed = b.transposed;
  t.window = {1, 0, 0, 0, 0};
  t.class_count = 1;
  t.classes[0].tap_count = 1;
  return t;
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
