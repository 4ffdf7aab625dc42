// The loss of models that learn their variance, on the CPU (ops/hybrid_loss.h has the formulas).
#include "ops/hybrid_loss.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// An exponential in float64 costs about as much as this many other elements.
constexpr int64_t kExpCost = 16;

constexpr double kHalfLevel = 1.0 / 255, kLog2Pi = 1.8378770664093453, kRootHalf = 0.7071067811865476,
                 kRootOfInverse2Pi = 0.3989422804014327;

struct Inputs {
  const Tensor &output, &xt, &target, &weight, &coefficients, &importance;
  int64_t N, M, C;
};

Inputs prepare_inputs(const char* kernel, const Tensor& output, const Tensor& xt, const Tensor& target,
                      const Tensor& weight, const Tensor& coefficients, const Tensor& importance) {
  expect_rank(kernel, "target", target, 2, kMaxRank);
  bool fits = output.rank == target.rank && channels(output) == 2 * channels(target);
  for (int i = 0; fits && i < target.rank - 1; i++) fits = output.shape[i] == target.shape[i];
  if (!fits)
    fail("ERR_SHAPE", kernel, "output has shape %s, expected %s with twice the channels", describe(output).text,
         describe(target).text);
  expect_same_shape(kernel, "xt", xt, target);
  const int64_t N = target.shape[0];
  expect_shape(kernel, "weight", weight, N);
  expect_shape(kernel, "coefficients", coefficients, N, 6);
  if (importance.data) expect_shape(kernel, "importance", importance, N);
  return {output, xt, target, weight, coefficients, importance, N, rows(target), channels(target)};
}

struct Level {
  double precision, span, kind, log_variance, x0_from_x, x0_from_prediction;
};

Level level_of(const Inputs& in, int64_t n) {
  const float* c = row(in.coefficients, n);
  return {c[0], c[1], c[2], c[3], c[4], c[5]};
}

double importance_of(const Inputs& in, int64_t n) { return in.importance.data ? f32(in.importance)[n] : 1.0; }

// φ(z) / P(Z > z) of a standard normal Z, for z >= 0; beyond 5 by the continued fraction z + 1/(z + 2/(z + …))
// (Abramowitz and Stegun 26.2.14).
double tail_fraction(double z) {
  if (z < 5) return kRootOfInverse2Pi * __builtin_exp(-z * z / 2) / (0.5 * __builtin_erfc(z * kRootHalf));
  double fraction = z;
  for (int k = 40; k > 0; k--) fraction = z + k / fraction;
  return fraction;
}

double log_upper_tail(double z) {
  if (z < 5) return __builtin_log(0.5 * __builtin_erfc(z * kRootHalf));
  return -z * z / 2 - kLog2Pi / 2 - __builtin_log(tail_fraction(z));
}

// The mass of a standard normal Z in [low, high], and its density at both ends over the mass.
struct Interval {
  double log_mass, at_low, at_high;
};

Interval interval(double low, double high) {
  // The mirrored interval has the same mass: look at the one in the upper tail, where nothing cancels.
  if (high <= 0) {
    const Interval mirrored = interval(-high, -low);
    return {mirrored.log_mass, mirrored.at_high, mirrored.at_low};
  }
  if (low <= 0) {
    const double mass = 0.5 * (__builtin_erf(high * kRootHalf) + __builtin_erf(-low * kRootHalf));
    const auto density = [&](double z) { return kRootOfInverse2Pi * __builtin_exp(-z * z / 2) / mass; };
    return {__builtin_log(mass), density(low), density(high)};
  }
  const double near = log_upper_tail(low), beyond = tail_fraction(low);
  if (high == __builtin_inf()) return {near, beyond, 0};
  const double share = -__builtin_expm1(log_upper_tail(high) - near), at_low = beyond / share;
  return {near + __builtin_log(share), at_low, at_low * __builtin_exp((low - high) * (low + high) / 2)};
}

// An element's part of the bound, with its slopes by the prediction and by v.
struct Term {
  double nats, by_prediction, by_v;
};

Term term(const Level& level, double e, double v, double x, double target) {
  const double r = (v + 1) / 2 * level.span, half_span = level.span / 2;
  if (level.kind != 2) {
    const double falling = __builtin_exp(-r), error = level.precision * e * e * falling,
                 by_prediction = -level.precision * e * falling;
    if (level.kind == 0)
      return {(error + (__builtin_expm1(-r) + r)) / 2, by_prediction, -(error + __builtin_expm1(-r)) / 2 * half_span};
    return {(kLog2Pi + level.log_variance + r + error) / 2, by_prediction, (1 - error) / 2 * half_span};
  }
  const double s = __builtin_exp(-(level.log_variance + r) / 2), d = level.x0_from_prediction * e;
  // The bytes that nothing lies beyond; x0 has been through float32 and is not exact.
  const double x0 = level.x0_from_x * x + level.x0_from_prediction * target;
  const double low = x0 < -1 + kHalfLevel ? -__builtin_inf() : s * (d - kHalfLevel),
               high = x0 > 1 - kHalfLevel ? __builtin_inf() : s * (d + kHalfLevel);
  const Interval mass = interval(low, high);
  // z φ(z) is 0 at infinity.
  const double spread = (mass.at_high == 0 ? 0 : high * mass.at_high) - (mass.at_low == 0 ? 0 : low * mass.at_low);
  return {-mass.log_mass, level.x0_from_prediction * s * (mass.at_high - mass.at_low), spread / 2 * half_span};
}

}  // namespace

size_t hybrid_loss_forward_prepare(const Call& call) {
  const char* kernel = "hybrid_loss_forward";
  const auto& [loss, perSample, bound, output, xt, target, weight, coefficients, importance] = tensors<9>(call);
  expect_shape(kernel, "loss", loss, 1);
  expect_shape(kernel, "bound", bound, 1);
  const Inputs in = prepare_inputs(kernel, output, xt, target, weight, coefficients, importance);
  expect_shape(kernel, "perSample", perSample, in.N);
  return in.M * 2 * sizeof(double);
}

void hybrid_loss_forward(const Call& call) {
  const auto& [loss, perSample, bound, output, xt, target, weight, coefficients, importance] = tensors<9>(call);
  const auto& [simpleWeight, boundWeight, boundScale, throughMean] = attributes<4>(call);
  const Inputs in = prepare_inputs("hybrid_loss_forward", output, xt, target, weight, coefficients, importance);
  const int64_t C = in.C, P = in.M / in.N, E = P * C;
  double* row_sums = reinterpret_cast<double*>(call.scratch);
  parallel_items(call, in.M, C * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const Level level = level_of(in, m / P);
      const float *said = row(in.output, m), *x = row(in.xt, m), *wanted = row(in.target, m);
      double squares = 0, nats = 0;
      for (int64_t c = 0; c < C; c++) {
        const double e = static_cast<double>(wanted[c]) - said[c];
        squares += e * e;
        nats += term(level, e, said[C + c], x[c], wanted[c]).nats;
      }
      row_sums[2 * m] = squares;
      row_sums[2 * m + 1] = nats;
    }
  });
  double total = 0, total_bound = 0;
  for (int64_t n = 0; n < in.N; n++) {
    double squares = 0, nats = 0;
    for (int64_t m = n * P; m < (n + 1) * P; m++) squares += row_sums[2 * m], nats += row_sums[2 * m + 1];
    const double own_bound = boundScale * nats / static_cast<double>(E);
    const double own = simpleWeight * f32(in.weight)[n] * squares / static_cast<double>(E) + boundWeight * own_bound;
    f32(perSample)[n] = static_cast<float>(own);
    total += importance_of(in, n) * own;
    total_bound += importance_of(in, n) * own_bound;
  }
  *f32(loss) = static_cast<float>(total / static_cast<double>(in.N));
  *f32(bound) = static_cast<float>(total_bound / static_cast<double>(in.N));
}

size_t hybrid_loss_backward_prepare(const Call& call) {
  const char* kernel = "hybrid_loss_backward";
  const auto& [doutput, dloss, output, xt, target, weight, coefficients, importance] = tensors<8>(call);
  expect_shape(kernel, "dloss", dloss, 1);
  prepare_inputs(kernel, output, xt, target, weight, coefficients, importance);
  expect_same_shape(kernel, "doutput", doutput, output);
  return 0;
}

void hybrid_loss_backward(const Call& call) {
  const auto& [doutput_, dloss, output, xt, target, weight, coefficients, importance] = tensors<8>(call);
  const auto& [simpleWeight_, boundWeight, boundScale, throughMean] = attributes<4>(call);
  const Inputs in = prepare_inputs("hybrid_loss_backward", output, xt, target, weight, coefficients, importance);
  const Tensor& doutput = doutput_;
  const int64_t C = in.C, P = in.M / in.N;
  const double factor = *f32(dloss) / (static_cast<double>(in.M) * static_cast<double>(C));
  const double simple = simpleWeight_, bound = boundWeight * boundScale, mean = throughMean != 0 ? bound : 0;
  parallel_items(call, in.M, C * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const int64_t n = m / P;
      const Level level = level_of(in, n);
      const double own = factor * importance_of(in, n), slope = -2 * simple * f32(in.weight)[n];
      const float *said = row(in.output, m), *x = row(in.xt, m), *wanted = row(in.target, m);
      float* gradient = row(doutput, m);
      for (int64_t c = 0; c < C; c++) {
        const double e = static_cast<double>(wanted[c]) - said[c];
        const Term at = term(level, e, said[C + c], x[c], wanted[c]);
        // Not 0 times an infinity where the bound does not count.
        const double by_mean = mean == 0 ? 0 : mean * at.by_prediction;
        gradient[c] = static_cast<float>(own * (slope * e + by_mean));
        gradient[C + c] = static_cast<float>(own * bound * at.by_v);
      }
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
