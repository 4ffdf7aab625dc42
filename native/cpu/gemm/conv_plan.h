// How each convolution is computed: the one place that decides, from its shape, which algorithm runs it and on what.
// Today that is always the direct convolution over taps, which this file sets up; the kernels of ops/conv2d.cc only run
// plans.
#pragma once

#include "cpu/gemm/tap_convolution.h"
#include "cpu/gemm/weight_gradient.h"
#include "ops/conv2d.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Widens the window of `t` by tap (dy, dx), and adds the tap to a class.
DIFFUSE_INLINE void add_tap(TapConvolution& t, TapClass& to, int64_t dy, int64_t dx, int64_t weight, bool& first) {
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

static void plan_forward(TapConvolution& t, const Conv2dShape& s, const Tensor& y, const Tensor& x,
                         const Tensor& weight, const Tensor& bias) {
  t = {};
  t.x = {f32(x), x.row_stride, s.N, s.H, s.W, s.C, false};
  t.y = f32(y);
  t.y_stride = y.row_stride;
  t.H = s.OH;
  t.W = s.OW;
  t.K = s.K;
  t.P = 1;
  t.weight = f32(weight);
  t.tap_step = s.C * weight.row_stride;
  t.k_step = weight.row_stride;
  t.bias = f32(bias);
  t.window.S = s.stride;
  t.class_count = 1;
  bool first = true;
  for (int64_t a = 0; a < s.kh; a++)
    for (int64_t b = 0; b < s.kw; b++) add_tap(t, t.classes[0], a - s.pad_top, b - s.pad_left, a * s.kw + b, first);
}

// Pixel u of dx was read by output o through tap a where stride * o + a - pad = u. So in the class u = f + stride * i
// the taps are those with a = f + pad modulo the stride, and o = i + (f + pad - a) / stride.
static void plan_data_gradient(TapConvolution& t, const Conv2dShape& s, const Tensor& dx, const Tensor& dy,
                               const Tensor& weight) {
  t = {};
  t.x = {f32(dy), dy.row_stride, s.N, s.OH, s.OW, s.K, false};
  t.y = f32(dx);
  t.y_stride = dx.row_stride;
  t.H = s.H;
  t.W = s.W;
  t.K = s.C;
  t.P = s.stride;
  t.weight = f32(weight);
  t.tap_step = s.C * weight.row_stride;
  t.k_step = weight.row_stride;
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

static void plan_weight_gradient(WeightGradient& w, const Conv2dShape& s, const Tensor& dweight, const Tensor& dbias,
                                 const Tensor& x, const Tensor& dy) {
  w = {};
  w.x = {f32(x), x.row_stride, s.N, s.H, s.W, s.C, false};
  w.dy = {f32(dy), dy.row_stride, s.N, s.OH, s.OW, s.K, false};
  w.dweight = f32(dweight);
  w.dbias = f32(dbias);
  w.window = {s.stride, -s.pad_top, s.kh - 1 - s.pad_top, -s.pad_left, s.kw - 1 - s.pad_left};
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
