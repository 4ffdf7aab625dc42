// Reference computations in float64, by their formulas.
#pragma once

#include "witnesses/harness.h"

namespace simulator::witnesses {

// Rows of `columns` values each, softmax of every row.
Values softmax(const Values& x, size_t columns);

struct LayerNorm {
  Values y, mean, inverse_deviation;
};
LayerNorm layer_norm(const Values& x, const Values& weight, const Values& bias, size_t columns);
struct LayerNormGradient {
  Values x, weight, bias;
};
LayerNormGradient layer_norm_gradient(const Values& dy, const Values& x, const Values& weight, size_t columns);

// a (m, k) times b, which is (k, n), or (n, k) if it is transposed.
Values matrix_product(const Values& a, const Values& b, size_t m, size_t n, size_t k, bool transposed);

// q, k, v and the result: (heads, length, depth). Scores are divided by the root of the depth; causal ones see no later
// place.
Values attention(const Values& q, const Values& k, const Values& v, size_t heads, size_t length, size_t depth,
                 bool causal);

double gelu(double x);           // by the hyperbolic tangent
double gelu_gradient(double x);  // of the same

}  // namespace simulator::witnesses
