// How each convolution is computed: the one place that decides, from its shape, which algorithm runs it, and sets that
// up. The kernels of ops/conv2d.cc only check and say what is to be computed.
#pragma once

#include "cpu/gemm/products.h"
#include "cpu/gemm/winograd_convolution.h"
#include "cpu/gemm/winograd_weight_gradient.h"
#include "ops/conv2d.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// A convolution or its data gradient: from what, to what.
template <typename T>
struct ConvolutionPlan {
  Conv2dShape shape;
  bool data_gradient;
  Source<T> from;
  Outputs<T> to;
  const float* weight;
  int64_t k_step;  // floats from one stored row of the weights to the next
};

template <typename T>
struct WeightGradientPlan {
  Conv2dShape shape;
  Source<T> x, dy;
  float *dweight, *dbias;
};

// --- Which algorithm. The choice must not depend on the number of images: so a sample is the same, bit for bit, in
// every batch.

// Cycles of one thread for one image, where the caches help.
struct ConvolutionCost {
  double direct, winograd;
};

// Measured on a Sapphire Rapids: the micro-kernel reaches four fifths of the peak. The maps of a tile take 330 and 140
// cycles for a vector of channels within the caches, most of them for 36 cache lines, and up to twice that from memory:
// outputs, which are written, are counted in between.
// Mapping the weights is shared by the batch: so many cycles of an image for a channel and a vector of outputs fit the
// times of small images in a batch of 16, where alone it decides (3x3 to 8x8 pixels, 32 to 256 channels).
constexpr double kMultiplyAdds = 2 * kLanes * 0.8;  // a cycle
constexpr double kInputMap = 330, kOutputMap = 200, kWeightMap = 50;

DIFFUSE_INLINE ConvolutionCost convolution_cost(const Conv2dShape& s) {
  const double pixels = static_cast<double>(s.OH * s.OW), pairs = static_cast<double>(s.C * s.K);
  const double tiles = static_cast<double>(tile_grid(1, s.OH, s.OW).count());
  const double maps = kInputMap * divide_up(s.C, kLanes) + kOutputMap * divide_up(s.K, kLanes);
  const double weights = kWeightMap * static_cast<double>(s.C * divide_up(s.K, kLanes));
  return {pixels * s.kh * s.kw * pairs / kMultiplyAdds, tiles * (kPoints * pairs / kMultiplyAdds + maps) + weights};
}

// Whether Winograd's algorithm computes it. Never where a matrix unit multiplies: its multiplications cost less than
// the maps.
template <typename T>
DIFFUSE_INLINE bool uses_winograd(const Call& call, const Conv2dShape& s) {
  if (kOnMatrixUnit<T>) return false;
  const bool can =
      s.kh == 3 && s.kw == 3 && s.stride == 1 && s.pad_top <= 2 && s.pad_left <= 2 && s.C >= kBlock && s.K >= kBlock;
  const ConvolutionCost cost = convolution_cost(s);
  return can && !call.direct && cost.winograd < cost.direct;
}

template <typename T>
static void say_direct(const Call& call, const Conv2dShape& s) {
  if (kOnMatrixUnit<T>)
    say_plan(call, "direct, matrix unit");
  else
    say_plan(call, "direct, %.2f Mcycles an image", convolution_cost(s).direct / 1e6);
}

template <typename T>
DIFFUSE_INLINE WinogradConvolution<T> winograd_of(const ConvolutionPlan<T>& p) {
  const Conv2dShape& s = p.shape;
  WinogradConvolution<T> w{};
  w.x = p.from;
  // dx is dy convolved with the mirrored weights.
  w.mirrored = p.data_gradient;
  w.pad_top = p.data_gradient ? 2 - s.pad_top : s.pad_top;
  w.pad_left = p.data_gradient ? 2 - s.pad_left : s.pad_left;
  w.y = p.to;
  w.weight = p.weight;
  w.tap_step = s.C * p.k_step;
  w.k_step = p.k_step;
  return w;
}

// Widens the window of `t` by tap (dy, dx), and adds the tap to a class.
template <typename T>
DIFFUSE_INLINE void add_tap(TapConvolution<T>& t, TapClass& to, int64_t dy, int64_t dx, int64_t weight, bool& first) {
  Window& w = t.window;
  w.dy_min = first ? dy : at_most(dy, w.dy_min);
  w.dy_max = first ? dy : at_least(dy, w.dy_max);
  w.dx_min = first ? dx : at_most(dx, w.dx_min);
  w.dx_max = first ? dx : at_least(dx, w.dx_max);
  first = false;
  to.dy[to.tap_count] = dy;
  to.dx[to.tap_count] = dx;
  to.weight[to.tap_count++] = weight;
}

template <typename T>
static void add_forward_taps(TapConvolution<T>& t, const Conv2dShape& s) {
  t.P = 1;
  t.window.S = s.stride;
  t.class_count = 1;
  bool first = true;
  for (int64_t a = 0; a < s.kh; a++)
    for (int64_t b = 0; b < s.kw; b++) add_tap(t, t.classes[0], a - s.pad_top, b - s.pad_left, a * s.kw + b, first);
}

// Pixel u of dx was read by output o through tap a where stride * o + a - pad = u. So in the class u = f + stride * i
// the taps are those with a = f + pad modulo the stride, and o = i + (f + pad - a) / stride.
template <typename T>
static void add_gradient_taps(TapConvolution<T>& t, const Conv2dShape& s) {
  t.P = s.stride;
  t.weight_transposed = true;
  t.window.S = 1;
  bool first = true;
  for (int64_t f = 0; f < s.stride; f++)
    for (int64_t g = 0; g < s.stride; g++) {
      TapClass& c = t.classes[t.class_count++];
      c.f = f;
      c.g = g;
      for (int64_t a = (f + s.pad_top) % s.stride; a < s.kh; a += s.stride)
        for (int64_t b = (g + s.pad_left) % s.stride; b < s.kw; b += s.stride)
          add_tap(t, c, (f + s.pad_top - a) / s.stride, (g + s.pad_left - b) / s.stride, a * s.kw + b, first);
    }
}

template <typename T>
static void tap_convolution_of(TapConvolution<T>& t, const ConvolutionPlan<T>& p) {
  t = {};
  t.x = p.from;
  t.y = p.to;
  t.weight = p.weight;
  t.tap_step = p.shape.C * p.k_step;
  t.k_step = p.k_step;
  if (p.data_gradient)
    add_gradient_taps(t, p.shape);
  else
    add_forward_taps(t, p.shape);
}

template <typename T>
static size_t convolution_scratch(const Call& call, const ConvolutionPlan<T>& p) {
  if (uses_winograd<T>(call, p.shape)) {
    const WinogradConvolution<T> w = winograd_of(p);
    const WinogradTiling g = choose_winograd_tiling(w, thread_count(call.workers));
    const ConvolutionCost cost = convolution_cost(p.shape);
    const char* walks[] = {"tiles outside", "panels outside", "few tiles"};
    say_plan(call, "Winograd, %s, %.2f Mcycles an image (direct %.2f)", walks[static_cast<int>(g.walk)],
             cost.winograd / 1e6, cost.direct / 1e6);
    return winograd_convolution_scratch(call, w);
  }
  TapConvolution<T> t;
  tap_convolution_of(t, p);
  say_direct<T>(call, p.shape);
  return product_scratch(call, t);
}

template <typename T>
static void convolution(const Call& call, const ConvolutionPlan<T>& p) {
  if constexpr (!kOnMatrixUnit<T>)
    if (uses_winograd<T>(call, p.shape)) return winograd_convolution(call, winograd_of(p));
  TapConvolution<T> t;
  tap_convolution_of(t, p);
  run_product(call, t);
}

template <typename T>
DIFFUSE_INLINE WinogradWeightGradient<T> winograd_of(const WeightGradientPlan<T>& p) {
  return {p.x, p.dy, p.shape.pad_top, p.shape.pad_left, p.dweight, p.dbias};
}

template <typename T>
DIFFUSE_INLINE WeightGradient<T> direct_of(const WeightGradientPlan<T>& p) {
  const Conv2dShape& s = p.shape;
  return {
      p.x, p.dy, p.dweight, p.dbias, {s.stride, -s.pad_top, s.kh - 1 - s.pad_top, -s.pad_left, s.kw - 1 - s.pad_left}};
}

template <typename T>
static size_t convolution_weight_scratch(const Call& call, const WeightGradientPlan<T>& p) {
  if (uses_winograd<T>(call, p.shape)) {
    const WinogradWeightGradient<T> w = winograd_of(p);
    const WinogradReductionTiling g = choose_winograd_reduction(w, thread_count(call.workers));
    const ConvolutionCost cost = convolution_cost(p.shape);
    say_plan(call, "Winograd, sums %s, %lld parts, %.2f Mcycles an image (direct %.2f)",
             g.own_sums ? "within L2" : "by point", (long long)g.parts, cost.winograd / 1e6, cost.direct / 1e6);
    return winograd_weight_gradient_scratch(call, w);
  }
  say_direct<T>(call, p.shape);
  return reduction_scratch(call, direct_of(p));
}

template <typename T>
static void convolution_weight_gradient(const Call& call, const WeightGradientPlan<T>& p) {
  if constexpr (!kOnMatrixUnit<T>)
    if (uses_winograd<T>(call, p.shape)) return winograd_weight_gradient(call, winograd_of(p));
  run_reduction(call, direct_of(p));
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
