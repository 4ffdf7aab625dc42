// Attention on the GPU (ops/attention.h has the formulas, cuda/attention the algorithms).
#include "ops/attention.h"

#include <initializer_list>

#include "cuda/arguments/attention.h"
#include "cuda/ops/kernels.h"

namespace diffuse::cuda {
namespace {

bool all_aligned(std::initializer_list<View> views, int64_t head, int32_t elements) {
  bool aligned = head % elements == 0;
  for (const View& v : views) aligned &= v.alignment >= elements;
  return aligned;
}

int64_t head_channels(const Tensor& q, const Call& call) {
  return channels(q) / static_cast<int64_t>(call.attributes[0]);
}

AttentionShape shape_of(const Tensor& q, const Call& call, const double* attributes) {
  AttentionShape shape{};
  shape.attributes = attributes;
  shape.positions = static_cast<int32_t>(q.shape[1]);
  shape.heads = static_cast<int32_t>(call.attributes[0]);
  shape.head_channels = static_cast<int32_t>(head_channels(q, call));
  return shape;
}

// How a call is computed: by which unit, for which head dimension or slice of the outputs' columns.
struct Choice {
  bool matrix;
  int head;     // of the matrix unit's kernel: the head dimension that it is made for
  int columns;  // of the outputs, a block
};

int bytes_of(const Tensor& image) { return image.dtype == DType::bf16 ? 2 : 4; }

// `columns`: those of a block of the vector units' kernels for large heads.
Choice choose(const Tensor& q, int64_t head, int columns, bool tf32) {
  const bool multiplies = q.dtype == DType::bf16 || tf32;
  if (multiplies && head <= largest_matrix_head(bytes_of(q)))
    return {true, head <= 64 ? 64 : head <= 128 ? 128 : 256, 0};
  return {false, 0, q.dtype == DType::f32 && head <= 64 ? 64 : columns};
}

std::string entry_of(const char* kernel, const Choice& choice, const Tensor& q) {
  const char* suffix = choice.matrix && q.dtype == DType::f32 ? "tf32" : image_suffix(q);
  return std::string(kernel) + (choice.matrix ? "_matrix_" : "_vector_") +
         std::to_string(choice.matrix ? choice.head : choice.columns) + "_" + suffix;
}

}  // namespace

size_t attention_forward_scratch(const Call&, const Limits&) { return 0; }

void attention_forward(const Call& call, Launcher& launcher) {
  const Tensor *t = call.tensors, &q = t[2];
  const int64_t head = head_channels(q, call), heads = q.shape[0] * (channels(q) / head);
  const Choice choice = choose(q, head, 256, launcher.tf32());
  AttentionForwardArguments arguments{view(t[0]), view(q),   view(t[3]),
                                      view(t[4]), f32(t[1]), shape_of(q, call, launcher.attributes())};
  AttentionShape& shape = arguments.shape;
  const int bytes = bytes_of(q), wide = choice.matrix ? 16 / bytes : 4;
  shape.wide = all_aligned({arguments.y, arguments.q, arguments.k, arguments.v}, head, wide);
  const int rows = choice.matrix ? kMatrixForwardRows : kVectorRows;
  shape.tiles = static_cast<int32_t>(blocks_of(shape.positions, rows));
  const std::string entry = entry_of("attention_forward", choice, q);
  if (choice.matrix)
    launcher.launch("attention", entry, {heads * shape.tiles}, matrix_forward_threads(choice.head, bytes), arguments,
                    matrix_forward_bytes(choice.head, bytes));
  else
    launcher.launch("attention", entry, {heads * shape.tiles, blocks_of(head, choice.columns)}, kVectorThreads,
                    arguments);
}

size_t attention_backward_scratch(const Call& call, const Limits&) {
  return sizeof(float) * static_cast<size_t>(elements(call.tensors[5]));
}

void attention_backward(const Call& call, Launcher& launcher) {
  constexpr char kImage[] = "attention_backward";
  const Tensor *t = call.tensors, &q = t[6];
  const int64_t head = head_channels(q, call), heads = q.shape[0] * (channels(q) / head);
  const Choice choice = choose(q, head, 128, launcher.tf32());
  AttentionBackwardArguments arguments{view(t[0]),
                                       view(t[1]),
                                       view(t[2]),
                                       view(t[3]),
                                       view(t[4]),
                                       view(q),
                                       view(t[7]),
                                       view(t[8]),
                                       f32(t[5]),
                                       nullptr,
                                       shape_of(q, call, launcher.attributes())};
  arguments.delta = reinterpret_cast<float*>(launcher.scratch());
  AttentionShape& shape = arguments.shape;

  AttentionDeltaArguments delta{arguments.dy, arguments.y, arguments.delta, shape, q.shape[0]};
  delta.shape.wide = all_aligned({delta.dy, delta.y}, head, 16 / bytes_of(q));
  launcher.launch(kImage, std::string("attention_delta_") + image_suffix(q),
                  {blocks_of(heads * shape.positions * kDeltaLanes, kDeltaThreads)}, kDeltaThreads, delta);

  shape.wide =
      all_aligned({arguments.dq, arguments.dk, arguments.dv, arguments.dy, arguments.q, arguments.k, arguments.v}, head,
                  choice.matrix ? 16 / bytes_of(q) : 4);
  const int rows = choice.matrix ? matrix_backward_rows(choice.head, bytes_of(q)) : kVectorRows;
  shape.tiles = static_cast<int32_t>(blocks_of(shape.positions, rows));
  const std::string keys = entry_of("attention_keys", choice, q), queries = entry_of("attention_queries", choice, q);
  if (choice.matrix) {
    const size_t bytes = matrix_backward_bytes(choice.head, bytes_of(q));
    const Grid grid{heads * shape.tiles};
    launcher.launch(kImage, keys, grid, matrix_keys_threads(choice.head), arguments, bytes);
    launcher.launch(kImage, queries, grid, kMatrixQueriesThreads, arguments, bytes);
  } else {
    const Grid grid{heads * shape.tiles, blocks_of(head, choice.columns)};
    launcher.launch(kImage, keys, grid, kVectorThreads, arguments);
    launcher.launch(kImage, queries, grid, kVectorThreads, arguments);
  }
}

}  // namespace diffuse::cuda
