// Arguments of cuda/ops/reductions.cu.
#pragma once

#include "cuda/arguments/tiling.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

struct SumPixelsArguments {
  View y, x;
  double* parts;  // [N, blocks, C]: what the blocks of a sample summed
  Tiling tiling;
};

// Each of N samples is cut into pieces, of which a block sums one.
struct SumSamplesArguments {
  float* y;
  View x;
  double* parts;  // [N, row_pieces, column_pieces]
  int64_t rows;   // of a sample
  int64_t piece_rows, row_pieces;
  int32_t piece_columns, column_pieces;
};

}  // namespace diffuse::cuda
