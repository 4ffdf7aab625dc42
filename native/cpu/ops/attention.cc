// Multi-head attention on the CPU (ops/attention.h has the formulas). A task works on one head, or on some tiles of its
// rows (cpu/attention/layout.h). Images of bf16 are multiplied by the matrix unit where there is one.
#include "ops/attention.h"

#include "cpu/attention/matrix_backward.h"
#include "cpu/attention/matrix_forward.h"
#include "cpu/attention/vector_backward.h"
#include "cpu/attention/vector_forward.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

void check(const char* kernel, const Tensor& q, const Tensor& log_sum_exp, double heads, double scale) {
  expect_rank(kernel, "q", q, 3, 3);
  if (!(heads >= 1 && heads <= q.shape[2]) || q.shape[2] % static_cast<int64_t>(heads) != 0 ||
      heads != static_cast<double>(static_cast<int64_t>(heads)))
    fail("ERR_ARGUMENT", kernel, "heads must be an integer that divides the %lld channels, got %g",
         static_cast<long long>(q.shape[2]), heads);
  if (!(scale - scale == 0)) fail("ERR_ARGUMENT", kernel, "scale must be finite, got %g", scale);
  expect_shape(kernel, "logSumExp", log_sum_exp, q.shape[0], heads, q.shape[1]);
  expect_contiguous(kernel, "logSumExp", log_sum_exp);
}

// body(plan) for how the images' format is computed with here; a plan knows the scratch of a thread, and its tasks.
template <typename Body>
void with_forward(const Tensor& q, double heads, double scale, Body&& body) {
#if defined(__AMX_BF16__)
  if (q.dtype == DType::bf16)
    body(MatrixForward(q, heads, scale));
  else
    body(VectorForward<float>(q, heads, scale));
#else
  with_images(q, [&](auto element) { body(VectorForward<decltype(element)>(q, heads, scale)); });
#endif
}
template <typename Body>
void with_backward(const Tensor& q, double heads, double scale, Body&& body) {
#if defined(__AMX_BF16__)
  if (q.dtype == DType::bf16)
    body(MatrixBackward(q, heads, scale));
  else
    body(VectorBackward<float>(q, heads, scale));
#else
  with_images(q, [&](auto element) { body(VectorBackward<decltype(element)>(q, heads, scale)); });
#endif
}

size_t scratch_bytes(const Call& call, const Areas& areas) {
  return sizeof(float) * thread_count(call.workers) * areas.floats;
}
float* scratch_of(const Call& call, const Areas& areas, int thread) {
  return reinterpret_cast<float*>(call.scratch) + thread * areas.floats;
}

}  // namespace

size_t attention_forward_prepare(const Call& call) {
  const auto& [y, log_sum_exp, q, k, v] = tensors<5>(call);
  const auto& [heads, scale] = attributes<2>(call);
  check("attention_forward", q, log_sum_exp, heads, scale);
  expect_same_shape("attention_forward", "k", k, q);
  expect_same_shape("attention_forward", "v", v, q);
  expect_same_shape("attention_forward", "y", y, q);
  size_t bytes = 0;
  with_forward(q, heads, scale, [&](const auto& plan) { bytes = scratch_bytes(call, plan); });
  return bytes;
}

void attention_forward(const Call& call) {
  const auto& [heads, scale] = attributes<2>(call);
  with_forward(tensors<5>(call)[2], heads, scale, [&](const auto& plan) {
    const Layout& l = plan.l;
    int64_t parts = parts_of(l, thread_count(call.workers));
    parallel_for(call, l.N * l.H * parts, [&](int64_t index, int thread) {
      plan.run(call, part_at(l, parts, index), scratch_of(call, plan, thread));
    });
  });
}

size_t attention_backward_prepare(const Call& call) {
  const auto& [dq, dk, dv, dy, y, log_sum_exp, q, k, v] = tensors<9>(call);
  const auto& [heads, scale] = attributes<2>(call);
  const char* kernel = "attention_backward";
  check(kernel, q, log_sum_exp, heads, scale);
  expect_same_shape(kernel, "k", k, q);
  expect_same_shape(kernel, "v", v, q);
  expect_same_shape(kernel, "y", y, q);
  expect_same_shape(kernel, "dy", dy, q);
  expect_same_shape(kernel, "dq", dq, q);
  expect_same_shape(kernel, "dk", dk, q);
  expect_same_shape(kernel, "dv", dv, q);
  size_t bytes = 0;
  with_backward(q, heads, scale, [&](const auto& plan) { bytes = scratch_bytes(call, plan); });
  return bytes;
}

void attention_backward(const Call& call) {
  const auto& [attribute_heads, scale] = attributes<2>(call);
  with_backward(tensors<9>(call)[6], attribute_heads, scale, [&](const auto& plan) {
    const Layout& l = plan.l;
    int threads = thread_count(call.workers);
    // A whole head in one task takes five products. Where that would leave threads idle, heads are cut into tiles of
    // queries for dq and tiles of keys for dk and dv, which takes seven.
    int64_t heads = l.N * l.H, rounds = (heads + threads - 1) / threads;
    if (rounds * threads * 5 <= heads * 7) {
      parallel_for(call, heads, [&](int64_t index, int thread) {
        plan.queries(call, part_at(l, 1, index), scratch_of(call, plan, thread), true);
      });
      return;
    }
    int64_t parts = parts_of(l, threads);
    parallel_for(call, 2 * heads * parts, [&](int64_t index, int thread) {
      Part part = part_at(l, parts, index / 2);
      if (index % 2 == 0)
        plan.queries(call, part, scratch_of(call, plan, thread), false);
      else
        plan.keys(call, part, scratch_of(call, plan, thread));
    });
  });
}

}  // namespace diffuse::DIFFUSE_ISA
