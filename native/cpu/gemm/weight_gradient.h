// Gradient of the weights of a convolution, a linear map or a matrix product: a reduction over all pixels.
//
//   dweight[t, c, k] = sum over n, i, j of x[n, S i + dy_t, S j + dx_t, c] * dy[n, i, j, k]        dbias[k] = sum of dy
//
// The register tile is T taps by R input channels by V vectors of output channels: for each pixel it loads V vectors of
// dy and broadcasts T * R numbers of x. Some 256 pixels are one strip, so that the strip of dy for one panel stays in
// L1 while all taps and channels pass over it; the tile's sum over a strip is then added to dweight. Summing in two
// levels also keeps the rounding error that of some hundred terms, not of all pixels.
//
// A task is a block of input channels by a block of panels, which walks over the strips of one part of the pixels. How
// channels are blocked does not change the result. Into how many parts the pixels are cut does, so that depends on the
// shape alone: small weights, which give few blocks, get several parts, each with a partial sum; these are added in
// order.
#pragma once

#include "cpu/gemm/strip.h"
#include "cpu/parallel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Input channels of a tile with one tap, and with the three taps of a row of a 3x3 window.
constexpr int kRowsOneTap = kRegisters == 32 ? 8 : 6;
constexpr int kRowsThreeTaps = kRegisters == 32 ? 4 : 2;
static_assert(kTileVectors == 2);

template <typename T>
struct WeightGradient {
  Source<T> x, dy;  // of dy: N, H x W outputs, C = output channels
  float* dweight;   // [tap][C][K]
  float* dbias;     // [K] or null
  Window window;    // its taps are all positions from (dy_min, dx_min) to (dy_max, dx_max)

  int64_t kernel_width() const { return window.dx_max - window.dx_min + 1; }
  int64_t taps() const { return (window.dy_max - window.dy_min + 1) * kernel_width(); }
  int64_t weights() const { return taps() * x.image.C * dy.image.C; }
};

struct TileReduction {
  const float* a;        // x, channel 0 of the tile at the first pixel
  int64_t a_taps[3];     // floats from there to each tap
  int64_t a_row;         // floats from one row of pixels to the next
  const float* b;        // dy, [row][pixel][kPanel]
  int64_t rows, run;     // of pixels
  float* d;              // [T][R][columns]
  int64_t d_tap, d_row;  // floats from one tap, one row to the next
  int64_t columns;
  bool first;  // d = instead of d +=
};

template <int T, int R, int V>
DIFFUSE_INLINE void add_tile(const TileReduction& t, Vec (&acc)[T][R][V]) {
  DIFFUSE_UNROLL
  for (int tap = 0; tap < T; tap++) {
    DIFFUSE_UNROLL
    for (int r = 0; r < R; r++) {
      DIFFUSE_UNROLL
      for (int v = 0; v < V; v++) {
        float* d = t.d + tap * t.d_tap + r * t.d_row + v * kLanes;
        int64_t left = at_most(t.columns - v * kLanes, kLanes);
        if (left == kLanes)
          store(d, t.first ? acc[tap][r][v] : load(d) + acc[tap][r][v]);
        else if (left > 0)
          store_first(d, t.first ? acc[tap][r][v] : load_first(d, left) + acc[tap][r][v], left);
      }
    }
  }
}

// T taps share the loads of dy: 24 accumulators hide the latency of the multiply-add better than 16.
template <int T, int R, int V>
__attribute__((noinline)) void reduce_tile(const TileReduction& t) {
  Vec acc[T][R][V];
  DIFFUSE_UNROLL
  for (int tap = 0; tap < T; tap++) {
    DIFFUSE_UNROLL
    for (int r = 0; r < R; r++) {
      __builtin_prefetch(t.d + tap * t.d_tap + r * t.d_row, 1);
      DIFFUSE_UNROLL
      for (int v = 0; v < V; v++) acc[tap][r][v] = zero();
    }
  }
  const float* b = t.b;
  for (int64_t row = 0; row < t.rows; row++) {
    const float* a[T];
    DIFFUSE_UNROLL
    for (int tap = 0; tap < T; tap++) a[tap] = t.a + row * t.a_row + t.a_taps[tap];
#pragma GCC unroll 2
    for (int64_t p = 0; p < t.run; p++, b += kPanel) {
      Vec bv[V];
      DIFFUSE_UNROLL
      for (int v = 0; v < V; v++) bv[v] = load(b + v * kLanes);
      DIFFUSE_UNROLL
      for (int tap = 0; tap < T; tap++) {
        DIFFUSE_UNROLL
        for (int r = 0; r < R; r++) {
          Vec ar = splat(a[tap][p * kBlock + r]);
          DIFFUSE_UNROLL
          for (int v = 0; v < V; v++) accumulate(acc[tap][r][v], ar, bv[v]);
        }
      }
    }
  }
  add_tile<T, R, V>(t, acc);
}

// reduce_tile for `taps` taps, 1 or 3, and `rows` input channels.
DIFFUSE_INLINE void reduce_rows(const TileReduction& t, int taps, int rows) {
  using Tile = void (*)(const TileReduction&);
#define DIFFUSE_TWO(T, R, V) reduce_tile<T, R, V>, reduce_tile<T, R + 1, V>
#if defined(__AVX512F__)
#define DIFFUSE_TILES(V)                                                                      \
  {DIFFUSE_TWO(1, 1, V), DIFFUSE_TWO(1, 3, V), DIFFUSE_TWO(1, 5, V), DIFFUSE_TWO(1, 7, V)}, { \
    DIFFUSE_TWO(3, 1, V), DIFFUSE_TWO(3, 3, V)                                                \
  }
#else
#define DIFFUSE_TILES(V) \
  {DIFFUSE_TWO(1, 1, V), DIFFUSE_TWO(1, 3, V), DIFFUSE_TWO(1, 5, V)}, { DIFFUSE_TWO(3, 1, V) }
#endif
  static const Tile tiles[][kRowsOneTap] = {DIFFUSE_TILES(1), DIFFUSE_TILES(2)};
#undef DIFFUSE_TILES
#undef DIFFUSE_TWO
  tiles[2 * (t.columns > kLanes) + (taps == 3)][rows - 1](t);
}

// How the work is cut. The first group depends on the shape alone.
struct ReductionTiling {
  int64_t images, rows, columns;              // of a strip
  int64_t groups, row_strips, column_strips;  // number of strips in each direction
  int64_t parts;
  int64_t channels, panels;  // of a task
  int64_t channel_blocks, panel_blocks;
  int64_t x_floats, dy_floats, partial_floats;

  int64_t strips() const { return groups * row_strips * column_strips; }
};

constexpr int64_t kStripPixels = 256;
constexpr int64_t kParts = 32;              // tasks that even weights of 64 x 64 channels should give
constexpr int64_t kPartialBytes = 8 << 20;  // all partial sums together
constexpr int64_t kReductionTasksAThread = 4;

template <typename T>
static ReductionTiling choose_reduction_tiling(const WeightGradient<T>& w, int threads) {
  const int64_t I = w.dy.image.H, J = w.dy.image.W, C = w.x.image.C, K = w.dy.image.C;
  ReductionTiling g{};
  g.images = images_together(w.dy.image.N, J, 32);
  g.columns = at_most(J, at_least(1, kStripPixels / g.images));
  g.rows = at_most(I, at_least(1, kStripPixels / (g.images * g.columns)));
  g.groups = divide_up(w.dy.image.N, g.images);
  g.row_strips = divide_up(I, g.rows);
  g.column_strips = divide_up(J, g.columns);
  g.rows = divide_up(I, g.row_strips);
  g.columns = divide_up(J, g.column_strips);
  int64_t blocks = divide_up(C, 64) * divide_up(K, 64);
  int64_t affordable = at_least(1, kPartialBytes / 4 / (w.weights() + K));
  g.parts = at_least(1, at_most(at_most(kParts / blocks, affordable), g.strips() / 4));

  const int64_t all_panels = divide_up(K, kPanel);
  g.channels = at_most(round_up(C, kBlock), w.taps() > 1 ? 128 : 256);
  g.panels = at_most(all_panels, divide_up(w.taps() > 1 ? 64 : 256, kPanel));
  auto count = [&] {
    g.channel_blocks = divide_up(C, g.channels);
    g.panel_blocks = divide_up(all_panels, g.panels);
  };
  count();
  const int64_t wanted = threads > 1 ? kReductionTasksAThread * threads : 1;
  while (g.parts * g.channel_blocks * g.panel_blocks < wanted && (g.channels > 32 || g.panels > 1)) {
    if (g.channels >= g.panels * kPanel && g.channels > 32)
      g.channels = round_up(divide_up(g.channels, 2), kBlock);
    else
      g.panels = divide_up(g.panels, 2);
    count();
  }
  g.channels = round_up(divide_up(C, g.channel_blocks), kBlock);
  g.panels = divide_up(all_panels, g.panel_blocks);
  count();

  g.x_floats = round_up(strip_floats(w.window, {0, g.images, 0, g.rows, 0, g.columns, 0, at_most(C, g.channels)}), 16);
  g.dy_floats = g.rows * g.columns * g.images * g.panels * kPanel;
  g.partial_floats = g.parts > 1 ? round_up(w.weights() + K, 16) : 0;
  return g;
}

// dy of the strip → [panel][row][column][image][kPanel]
template <typename T>
static void pack_outputs(const Image<T>& dy, const StripPart& part, int64_t first_panel, int64_t last_panel,
                         float* to) {
  for (int64_t panel = first_panel; panel < last_panel; panel++) {
    int64_t columns = at_most(dy.C - panel * kPanel, kPanel);
    for (int64_t i = 0; i < part.rows; i++)
      for (int64_t j = 0; j < part.columns; j++, to += part.images * kPanel) {
        int64_t pixel = (part.n * dy.H + part.i + i) * dy.W + part.j + j;
        pack_panel(dy.data + pixel * dy.stride + panel * kPanel, dy.H * dy.W * dy.stride, part.images, columns, to);
      }
  }
}

// Changes packed outputs as dy is to be read.
template <typename T>
static void change_outputs(const Source<T>& s, const StripPart& part, int64_t first_panel, int64_t last_panel,
                           float* packed) {
  const Image<T>& dy = s.image;
  const int64_t pixels = part.rows * part.columns;
  Numbers<kPanel> numbers;
  with_reading(s.reading, [&](auto reading) {
    for (int64_t n = 0; n < part.images; n++)
      for (int64_t panel = first_panel; panel < last_panel; panel++) {
        gather(numbers, s, part.n + n, panel * kPanel);
        float* at = packed + ((panel - first_panel) * pixels * part.images + n) * kPanel;
        for (int64_t p = 0; p < pixels; p++, at += part.images * kPanel) {
          const int64_t i = part.i + p / part.columns, j = part.j + p % part.columns;
          const int64_t pixel = ((part.n + n) * dy.H + i) * dy.W + j;
          for (int64_t lane = 0; lane < kPanel; lane += kLanes) {
            const int64_t left = at_least(0, at_most(dy.C - panel * kPanel - lane, kLanes));
            const Vec second = s.second && left
                                   ? load_first(s.second + pixel * s.second_stride + panel * kPanel + lane, left)
                                   : zero();
            store(at + lane, change<decltype(reading)::value>(load(at + lane), second, numbers, lane));
          }
        }
      }
  });
}

// bias[k] (+)= sum of the strip, for one panel.
static void reduce_bias(const float* b, int64_t pixels, int64_t columns, float* bias, bool first) {
  Vec sum[kTileVectors];
  DIFFUSE_UNROLL
  for (int v = 0; v < kTileVectors; v++) sum[v] = zero();
  for (int64_t p = 0; p < pixels; p++, b += kPanel) DIFFUSE_UNROLL
  for (int v = 0; v < kTileVectors; v++) sum[v] = sum[v] + load(b + v * kLanes);
  for (int v = 0; v < kTileVectors; v++) {
    int64_t left = at_most(columns - v * kLanes, kLanes);
    if (left <= 0) break;
    Vec before = first ? zero() : load_first(bias + v * kLanes, left);
    store_first(bias + v * kLanes, before + sum[v], left);
  }
}

// Adds one packed strip to the gradients of the task's channels and panels.
template <typename T>
static void reduce_strip(const WeightGradient<T>& w, const StripPart& part, const StripLayout& layout, const float* x,
                         const float* dy, int64_t first_panel, int64_t last_panel, float* dweight, bool first) {
  const int64_t K = w.dy.image.C, run = part.columns * part.images;
  const int64_t together = w.kernel_width() == 3 ? 3 : 1, most = together == 3 ? kRowsThreeTaps : kRowsOneTap;
  TileReduction tile{};
  tile.a_row = w.window.S * layout.row_step;
  tile.rows = part.rows;
  tile.run = run;
  tile.d_tap = w.x.image.C * K;
  tile.d_row = K;
  tile.first = first;
  for (int64_t panel = first_panel; panel < last_panel; panel++, dy += part.rows * run * kPanel) {
    tile.b = dy;
    tile.columns = at_most(K - panel * kPanel, kPanel);
    for (int64_t c = 0; c < part.depth; c += kBlock) {
      const int64_t count = at_most(part.depth - c, kBlock), tiles = divide_up(count, most);
      for (int64_t tap = 0; tap < w.taps(); tap += together) {
        for (int64_t i = 0; i < together; i++)
          tile.a_taps[i] = tap_offset(w.window, layout, w.window.dy_min + tap / w.kernel_width(),
                                      w.window.dx_min + tap % w.kernel_width() + i);
        tile.a = x + c / kBlock * layout.block_step;
        tile.d = dweight + (tap * w.x.image.C + part.channel + c) * K + panel * kPanel;
        for (int64_t index = 0; index < tiles; index++) {
          int64_t height = count / tiles + (index < count % tiles);
          reduce_rows(tile, static_cast<int>(together), static_cast<int>(height));
          tile.a += height;
          tile.d += height * K;
        }
      }
    }
  }
}

template <typename T>
static void reduce_part(const WeightGradient<T>& w, const ReductionTiling& g, int64_t part_index, int64_t channel,
                        int64_t first_panel, int64_t last_panel, float* x, float* dy, float* dweight, float* dbias) {
  const int64_t begin = part_index * g.strips() / g.parts, end = (part_index + 1) * g.strips() / g.parts;
  for (int64_t strip = begin; strip < end; strip++) {
    StripPart part{};
    part.j = strip % g.column_strips * g.columns;
    part.i = strip / g.column_strips % g.row_strips * g.rows;
    part.n = strip / g.column_strips / g.row_strips * g.images;
    part.images = at_most(g.images, w.dy.image.N - part.n);
    part.rows = at_most(g.rows, w.dy.image.H - part.i);
    part.columns = at_most(g.columns, w.dy.image.W - part.j);
    part.channel = channel;
    part.depth = at_most(g.channels, w.x.image.C - channel);
    StripLayout layout = strip_layout(w.window, part);
    pack_strip(w.x, w.window, part, layout, x);
    pack_outputs(w.dy.image, part, first_panel, last_panel, dy);
    if (w.dy.reading != Reading::plain) change_outputs(w.dy, part, first_panel, last_panel, dy);
    reduce_strip(w, part, layout, x, dy, first_panel, last_panel, dweight, strip == begin);
    if (!dbias || channel > 0) continue;
    const int64_t pixels = part.rows * part.columns * part.images;
    for (int64_t panel = first_panel; panel < last_panel; panel++)
      reduce_bias(dy + (panel - first_panel) * pixels * kPanel, pixels, at_most(w.dy.image.C - panel * kPanel, kPanel),
                  dbias + panel * kPanel, strip == begin);
  }
}

// to[i] = sum over parts, in order.
static void add_parts(const Call& call, float* to, int64_t count, const float* partial, int64_t part_step,
                      int64_t parts) {
  parallel_ranges(call, count, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes) {
      int64_t left = at_most(end - i, kLanes);
      Vec sum = load_first(partial + i, left);
      for (int64_t p = 1; p < parts; p++) sum = sum + load_first(partial + p * part_step + i, left);
      store_first(to + i, sum, left);
    }
  });
}

template <typename T>
static size_t weight_gradient_scratch(const Call& call, const WeightGradient<T>& w) {
  int threads = thread_count(call.workers);
  ReductionTiling g = choose_reduction_tiling(w, threads);
  return sizeof(float) * static_cast<size_t>((g.x_floats + g.dy_floats) * threads + g.partial_floats * g.parts);
}

template <typename T>
static void weight_gradient(const Call& call, const WeightGradient<T>& w) {
  const ReductionTiling g = choose_reduction_tiling(w, thread_count(call.workers));
  float* partial = reinterpret_cast<float*>(call.scratch);
  float* strips = partial + g.partial_floats * g.parts;
  const int64_t all_panels = divide_up(w.dy.image.C, kPanel);
  parallel_for(call, g.parts * g.channel_blocks * g.panel_blocks, [&](int64_t index, int thread) {
    int64_t part = index / (g.channel_blocks * g.panel_blocks);
    int64_t channel = index / g.panel_blocks % g.channel_blocks * g.channels;
    int64_t first_panel = index % g.panel_blocks * g.panels;
    int64_t last_panel = at_most(first_panel + g.panels, all_panels);
    float* own = strips + thread * (g.x_floats + g.dy_floats);
    float* dweight = g.parts > 1 ? partial + part * g.partial_floats : w.dweight;
    float* dbias = w.dbias && g.parts > 1 ? dweight + w.weights() : w.dbias;
    reduce_part(w, g, part, channel, first_panel, last_panel, own, own + g.x_floats, dweight, dbias);
  });
  if (g.parts == 1) return;
  add_parts(call, w.dweight, w.weights(), partial, g.partial_floats, g.parts);
  if (w.dbias) add_parts(call, w.dbias, w.dy.image.C, partial + w.weights(), g.partial_floats, g.parts);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
