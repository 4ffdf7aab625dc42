// Softmax cross-entropy on the CPU (ops/softmax_cross_entropy.h has the formulas).
#include "ops/softmax_cross_entropy.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// An exponential in float64 costs about as much as this many other elements.
constexpr int64_t kExpCost = 16;

// A tensor with one element a row of `logits`.
void expect_row_each(const char* kernel, const char* name, const Tensor& t, const Tensor& logits) {
  bool fits = t.rank == logits.rank - 1;
  for (int i = 0; fits && i < t.rank; i++) fits = t.shape[i] == logits.shape[i];
  if (!fits)
    fail("ERR_SHAPE", kernel, "%s has shape %s, expected %s without its last dimension", name, describe(t).text,
         describe(logits).text);
  expect_contiguous(kernel, name, t);
}

void expect_labels(const char* kernel, const Tensor& labels, int64_t K) {
  for (int64_t m = 0; m < elements(labels); m++)
    if (i32(labels)[m] < 0 || i32(labels)[m] >= K)
      fail("ERR_ARGUMENT", kernel, "label %d of row %lld is not one of the classes 0 to %lld", i32(labels)[m],
           (long long)m, (long long)(K - 1));
}

struct Softmax {
  double largest;
  double sum;  // of exp(x - largest)
};
Softmax softmax(const float* x, int64_t K) {
  double largest = x[0], sum = 0;
  for (int64_t k = 1; k < K; k++) largest = x[k] > largest ? x[k] : largest;
  for (int64_t k = 0; k < K; k++) sum += __builtin_exp(x[k] - largest);
  return {largest, sum};
}

bool is_first_largest(const float* x, int64_t K, int64_t label) {
  for (int64_t k = 0; k < K; k++)
    if (!(k < label ? x[k] < x[label] : x[k] <= x[label])) return false;
  return true;
}

}  // namespace

size_t softmax_cross_entropy_forward_prepare(const Call& call) {
  const char* kernel = "softmax_cross_entropy_forward";
  const auto& [loss, perRow, correct, logits, labels] = tensors<5>(call);
  expect_rank(kernel, "logits", logits, 2, kMaxRank);
  expect_shape(kernel, "loss", loss, 1);
  expect_row_each(kernel, "perRow", perRow, logits);
  expect_row_each(kernel, "correct", correct, logits);
  expect_row_each(kernel, "labels", labels, logits);
  return rows(logits) * sizeof(double);
}

void softmax_cross_entropy_forward(const Call& call) {
  const auto& [loss, perRow_, correct_, logits_, labels_] = tensors<5>(call);
  const Tensor &perRow = perRow_, &correct = correct_, &logits = logits_, &labels = labels_;
  const int64_t M = rows(logits), K = channels(logits);
  expect_labels("softmax_cross_entropy_forward", labels, K);
  double* exact = reinterpret_cast<double*>(call.scratch);
  parallel_items(call, M, K * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const float* x = row(logits, m);
      const int64_t label = i32(labels)[m];
      const Softmax s = softmax(x, K);
      exact[m] = s.largest + __builtin_log(s.sum) - x[label];
      f32(perRow)[m] = static_cast<float>(exact[m]);
      f32(correct)[m] = is_first_largest(x, K, label) ? 1.0f : 0.0f;
    }
  });
  double sum = 0;
  for (int64_t m = 0; m < M; m++) sum += exact[m];
  *f32(loss) = static_cast<float>(sum / static_cast<double>(M));
}

size_t softmax_cross_entropy_backward_prepare(const Call& call) {
  const char* kernel = "softmax_cross_entropy_backward";
  const auto& [dlogits, dloss, logits, labels] = tensors<4>(call);
  expect_rank(kernel, "logits", logits, 2, kMaxRank);
  expect_same_shape(kernel, "dlogits", dlogits, logits);
  expect_shape(kernel, "dloss", dloss, 1);
  expect_row_each(kernel, "labels", labels, logits);
  return 0;
}

void softmax_cross_entropy_backward(const Call& call) {
  const auto& [dlogits_, dloss, logits_, labels_] = tensors<4>(call);
  const Tensor &dlogits = dlogits_, &logits = logits_, &labels = labels_;
  const int64_t M = rows(logits), K = channels(logits);
  expect_labels("softmax_cross_entropy_backward", labels, K);
  const double factor = *f32(dloss) / static_cast<double>(M);
  parallel_items(call, M, 2 * K * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const float* x = row(logits, m);
      float* dx = row(dlogits, m);
      const Softmax s = softmax(x, K);
      for (int64_t k = 0; k < K; k++) {
        const double probability = __builtin_exp(x[k] - s.largest) / s.sum;
        dx[k] = static_cast<float>(factor * (probability - (k == i32(labels)[m] ? 1.0 : 0.0)));
      }
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
