#include "witnesses/references.h"

#include <algorithm>
#include <cmath>

namespace simulator::witnesses {

Values softmax(const Values& x, size_t columns) {
  Values y(x.size());
  for (size_t row = 0; row < x.size(); row += columns) {
    const double largest = *std::max_element(x.begin() + row, x.begin() + row + columns);
    double sum = 0;
    for (size_t i = row; i < row + columns; i++) sum += y[i] = std::exp(x[i] - largest);
    for (size_t i = row; i < row + columns; i++) y[i] /= sum;
  }
  return y;
}

LayerNorm layer_norm(const Values& x, const Values& weight, const Values& bias, size_t columns) {
  LayerNorm result;
  for (size_t row = 0; row < x.size(); row += columns) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < columns; i++) mean += x[row + i] / columns;
    for (size_t i = 0; i < columns; i++) variance += (x[row + i] - mean) * (x[row + i] - mean) / columns;
    const double inverse = 1 / std::sqrt(variance + 1e-5);
    for (size_t i = 0; i < columns; i++) result.y.push_back((x[row + i] - mean) * inverse * weight[i] + bias[i]);
    result.mean.push_back(mean);
    result.inverse_deviation.push_back(inverse);
  }
  return result;
}

LayerNormGradient layer_norm_gradient(const Values& dy, const Values& x, const Values& weight, size_t columns) {
  const LayerNorm forward = layer_norm(x, weight, Values(columns), columns);
  LayerNormGradient result{Values(x.size()), Values(columns), Values(columns)};
  for (size_t row = 0; row < x.size(); row += columns) {
    const double mean = forward.mean[row / columns], inverse = forward.inverse_deviation[row / columns];
    const auto normal = [&](size_t i) { return (x[row + i] - mean) * inverse; };
    double sum = 0, sum_normal = 0;
    for (size_t i = 0; i < columns; i++) {
      const double d = weight[i] * dy[row + i];
      sum += d / columns;
      sum_normal += d * normal(i) / columns;
      result.weight[i] += dy[row + i] * normal(i);
      result.bias[i] += dy[row + i];
    }
    for (size_t i = 0; i < columns; i++)
      result.x[row + i] = (weight[i] * dy[row + i] - sum - normal(i) * sum_normal) * inverse;
  }
  return result;
}

Values matrix_product(const Values& a, const Values& b, size_t m, size_t n, size_t k, bool transposed) {
  Values c(m * n);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++)
      for (size_t l = 0; l < k; l++) c[i * n + j] += a[i * k + l] * b[transposed ? j * k + l : l * n + j];
  return c;
}

Values attention(const Values& q, const Values& k, const Values& v, size_t heads, size_t length, size_t depth,
                 bool causal) {
  Values result(q.size());
  for (size_t head = 0; head < heads; head++)
    for (size_t i = 0; i < length; i++) {
      const size_t row = (head * length + i) * depth, seen = causal ? i + 1 : length;
      Values scores(seen);
      for (size_t j = 0; j < seen; j++)
        for (size_t d = 0; d < depth; d++)
          scores[j] += q[row + d] * k[(head * length + j) * depth + d] / std::sqrt(double(depth));
      const Values weights = softmax(scores, seen);
      for (size_t j = 0; j < seen; j++)
        for (size_t d = 0; d < depth; d++) result[row + d] += weights[j] * v[(head * length + j) * depth + d];
    }
  return result;
}

static const double kGeluScale = std::sqrt(2 / 3.14159265358979323846);

double gelu(double x) { return 0.5 * x * (1 + std::tanh(kGeluScale * (x + 0.044715 * x * x * x))); }

double gelu_gradient(double x) {
  const double t = std::tanh(kGeluScale * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kGeluScale * (1 + 3 * 0.044715 * x * x);
}

}  // namespace simulator::witnesses
