// The linear maps of Winograd's minimal filtering, F(4x4, 3x3) and, for the weight gradient, F(3x3, 4x4).
//
// A 3x3 convolution of a 6x6 tile has 4x4 outputs: 144 multiplications. Seen as products of polynomials, both sides are
// evaluated at the same six points in each direction, multiplied point by point (36 multiplications) and interpolated:
//
//   outputs    y = Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A        d tile 6x6, g weights 3x3, y 4x4
//   weights    h = Gᵀ [ (A e Aᵀ) ∘ (Bᵀ d B) ] G        e gradient of the outputs 4x4, h gradient of the weights 3x3
//
// The second is the first transposed: what is linear in g has the transposed map as its gradient. Summed over channels
// resp. tiles, the products at each point are a matrix product. Lavin and Gray 2016, arXiv:1509.09308.
//
// The points are 0, ±5/8, ±3/2 and infinity. The usual 0, ±1, ±2, ∞ needs fewer multiplications in the maps but its
// rounding error is 2.3 times larger: 1.0e-6 instead of 2.3e-6 for 128 channels.
//
// Each function is one direction of a map, for a vector of channels.
#pragma once

#include "cpu/simd.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int kTile = 4;        // outputs of a tile in one direction
constexpr int kTileInputs = 6;  // inputs, and points
constexpr int kPoints = 36;     // in both directions

// The points p, q, their powers, and the factors 1 / prod(point - other points) of the interpolation.
constexpr float kP = 0.625f, kP2 = kP * kP, kP3 = kP2 * kP;
constexpr float kQ = 1.5f, kQ2 = kQ * kQ, kQ3 = kQ2 * kQ;
constexpr float kAtZero = 1 / (kP2 * kQ2);
constexpr float kAtP = 1 / (2 * kP2 * (kP2 - kQ2));
constexpr float kAtQ = 1 / (2 * kQ2 * (kQ2 - kP2));

// o = Bᵀ d
DIFFUSE_INLINE void map_inputs(const Vec (&d)[6], Vec (&o)[6]) {
  const Vec product = splat(kP2 * kQ2), sum = splat(kP2 + kQ2);
  o[0] = madd(product, d[0], nmadd(sum, d[2], d[4]));
  Vec even = nmadd(splat(kQ2), d[2], d[4]), odd = nmadd(splat(kQ2), d[1], d[3]);
  o[1] = madd(splat(kP), odd, even);
  o[2] = nmadd(splat(kP), odd, even);
  even = nmadd(splat(kP2), d[2], d[4]);
  odd = nmadd(splat(kP2), d[1], d[3]);
  o[3] = madd(splat(kQ), odd, even);
  o[4] = nmadd(splat(kQ), odd, even);
  o[5] = madd(product, d[1], nmadd(sum, d[3], d[5]));
}

// o = G g
DIFFUSE_INLINE void map_weights(const Vec (&g)[3], Vec (&o)[6]) {
  o[0] = splat(kAtZero) * g[0];
  Vec even = madd(splat(kP2), g[2], g[0]), odd = splat(kP) * g[1];
  o[1] = splat(kAtP) * (even + odd);
  o[2] = splat(kAtP) * (even - odd);
  even = madd(splat(kQ2), g[2], g[0]);
  odd = splat(kQ) * g[1];
  o[3] = splat(kAtQ) * (even + odd);
  o[4] = splat(kAtQ) * (even - odd);
  o[5] = g[2];
}

// y = Aᵀ m
DIFFUSE_INLINE void map_outputs(const Vec (&m)[6], Vec (&y)[4]) {
  const Vec sum_p = m[1] + m[2], difference_p = m[1] - m[2], sum_q = m[3] + m[4], difference_q = m[3] - m[4];
  y[0] = m[0] + sum_p + sum_q;
  y[1] = madd(splat(kQ), difference_q, splat(kP) * difference_p);
  y[2] = madd(splat(kQ2), sum_q, splat(kP2) * sum_p);
  y[3] = madd(splat(kQ3), difference_q, madd(splat(kP3), difference_p, m[5]));
}

// o = A e
DIFFUSE_INLINE void map_output_gradients(const Vec (&e)[4], Vec (&o)[6]) {
  o[0] = e[0];
  Vec even = madd(splat(kP2), e[2], e[0]), odd = madd(splat(kP3), e[3], splat(kP) * e[1]);
  o[1] = even + odd;
  o[2] = even - odd;
  even = madd(splat(kQ2), e[2], e[0]);
  odd = madd(splat(kQ3), e[3], splat(kQ) * e[1]);
  o[3] = even + odd;
  o[4] = even - odd;
  o[5] = e[3];
}

// h = Gᵀ m
DIFFUSE_INLINE void map_weight_gradients(const Vec (&m)[6], Vec (&h)[3]) {
  const Vec sum_p = splat(kAtP) * (m[1] + m[2]), difference_p = splat(kAtP * kP) * (m[1] - m[2]);
  const Vec sum_q = splat(kAtQ) * (m[3] + m[4]), difference_q = splat(kAtQ * kQ) * (m[3] - m[4]);
  h[0] = madd(splat(kAtZero), m[0], sum_p + sum_q);
  h[1] = difference_p + difference_q;
  h[2] = madd(splat(kP2), sum_p, madd(splat(kQ2), sum_q, m[5]));
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
