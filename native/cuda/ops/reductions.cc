// Sums on the GPU (ops/reductions.h has the formulas, cuda/ops/reductions.cu the kernels).
#include "ops/reductions.h"

#include "cuda/arguments/reductions.h"
#include "cuda/ops/kernels.h"
#include "cuda/tiling.h"
#include "cuda/views.h"

namespace diffuse::cuda {

size_t sum_pixels_scratch(const Call& call, const Limits&) { return parts_bytes(call.tensors[1], 1); }

void sum_pixels(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1];
  SumPixelsArguments arguments{};
  arguments.y = view(y);
  arguments.x = view(x);
  arguments.parts = reinterpret_cast<double*>(launcher.scratch());
  arguments.tiling = tile_parts(x, common_width({&x}));
  launcher.launch("reductions", std::string("sum_pixels_") + image_suffix(x), grid_of(arguments.tiling, samples_of(x)),
                  kTilingThreads, arguments);
  launcher.launch("reductions", "sum_pixels_total", grid_of_columns(samples_of(x), channels(x)), kTilingThreads,
                  arguments);
}

namespace {

// How each of N samples is cut: contiguous ones as one long row, others as their rows.
SumSamplesArguments pieces_of(const Tensor& x, int64_t N) {
  constexpr int64_t kPieceElements = 16384;
  SumSamplesArguments arguments{};
  arguments.x = view_as(x, fits_rows(x, N) ? N : rows(x));
  arguments.rows = arguments.x.rows / N;
  arguments.piece_columns = static_cast<int32_t>(std::min<int64_t>(arguments.x.channels, kPieceElements));
  arguments.piece_rows = kPieceElements / arguments.piece_columns;
  arguments.row_pieces = blocks_of(arguments.rows, arguments.piece_rows);
  arguments.column_pieces = static_cast<int32_t>(blocks_of(arguments.x.channels, arguments.piece_columns));
  return arguments;
}

size_t pieces_bytes(const Tensor& x, int64_t N) {
  const SumSamplesArguments pieces = pieces_of(x, N);
  return sizeof(double) * static_cast<size_t>(N * pieces.row_pieces * pieces.column_pieces);
}

void launch_sums(const Tensor& y, const Tensor& x, int64_t N, Launcher& launcher) {
  SumSamplesArguments arguments = pieces_of(x, N);
  arguments.y = f32(y);
  arguments.parts = reinterpret_cast<double*>(launcher.scratch());
  launcher.launch("reductions", "sum_samples_parts", {N * arguments.row_pieces * arguments.column_pieces},
                  kTilingThreads, arguments);
  launcher.launch("reductions", "sum_samples_total", {N}, kTilingThreads, arguments);
}

}  // namespace

size_t sum_samples_scratch(const Call& call, const Limits&) {
  return pieces_bytes(call.tensors[1], call.tensors[1].shape[0]);
}
void sum_samples(const Call& call, Launcher& launcher) {
  launch_sums(call.tensors[0], call.tensors[1], call.tensors[1].shape[0], launcher);
}

size_t sum_scratch(const Call& call, const Limits&) { return pieces_bytes(call.tensors[1], 1); }
void sum(const Call& call, Launcher& launcher) { launch_sums(call.tensors[0], call.tensors[1], 1, launcher); }

}  // namespace diffuse::cuda
