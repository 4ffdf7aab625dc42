// Embedding on the CPU (ops/embedding.h has the formulas).
#include "ops/embedding.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

size_t prepare(const char* kernel, const char* rows_name, const Tensor& rows, const char* table_name,
               const Tensor& table, const Tensor& index) {
  expect_rank(kernel, table_name, table, 2, 2);
  expect_rank(kernel, "index", index, 1, 1);
  expect_shape(kernel, rows_name, rows, index.shape[0], channels(table));
  expect_contiguous(kernel, table_name, table);
  return 0;
}

void expect_classes(const char* kernel, const Tensor& index, int64_t K) {
  for (int64_t n = 0; n < index.shape[0]; n++)
    if (i32(index)[n] < 0 || i32(index)[n] >= K)
      fail("ERR_ARGUMENT", kernel, "index %d of sample %lld is not one of the classes 0 to %lld", i32(index)[n],
           (long long)n, (long long)(K - 1));
}

}  // namespace

size_t embedding_forward_prepare(const Call& call) {
  const auto& [y, table, index] = tensors<3>(call);
  return prepare("embedding_forward", "y", y, "table", table, index);
}

void embedding_forward(const Call& call) {
  const auto& [y_, table_, index_] = tensors<3>(call);
  const Tensor &y = y_, &table = table_, &index = index_;
  expect_classes("embedding_forward", index, table.shape[0]);
  const int64_t C = channels(y);
  parallel_items(call, y.shape[0], C, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      for_each_panel(C, [&](auto panel, int64_t c) {
        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
            panel.store(row(y, n) + c, v, panel.load(row(table, i32(index)[n]) + c, v));
      });
    }
  });
}

size_t embedding_backward_prepare(const Call& call) {
  const auto& [dtable, dy, index] = tensors<3>(call);
  return prepare("embedding_backward", "dy", dy, "dtable", dtable, index);
}

void embedding_backward(const Call& call) {
  const auto& [dtable_, dy_, index_] = tensors<3>(call);
  const Tensor &dtable = dtable_, &dy = dy_, &index = index_;
  expect_classes("embedding_backward", index, dtable.shape[0]);
  // Threads share the channels, so that each element is summed by one of them.
  parallel_ranges(call, channels(dtable), 256, [&](int64_t begin, int64_t end) {
    for_each_panel(end - begin, [&](auto panel, int64_t c) {
      c += begin;
      for (int64_t k = 0; k < dtable.shape[0]; k++)
        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++) panel.store(row(dtable, k) + c, v, zero());
      for (int64_t n = 0; n < dy.shape[0]; n++) {
        float* to = row(dtable, i32(index)[n]) + c;
        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
            panel.store(to, v, panel.load(to, v) + panel.load(row(dy, n) + c, v));
      }
    });
  });
}

}  // namespace diffuse::DIFFUSE_ISA
