// Arguments of cuda/ops/scale_shift.cu. ops/scale_shift.h has the formulas and the legend.
#pragma once

#include "cuda/arguments/tiling.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

struct ScaleShiftForwardArguments {
  View y, x, scale_shift;
  Tiling tiling;
};

struct ScaleShiftBackwardArguments {
  View dx, dscale_shift, dy, x, scale_shift;
  double* parts;  // [N, blocks, 2 C]: what the blocks of a sample summed
  Tiling tiling;
};

}  // namespace diffuse::cuda
