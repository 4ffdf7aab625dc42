// Scale and shift on the GPU (ops/scale_shift.h has the formulas, cuda/ops/scale_shift.cu the kernels).
#include "ops/scale_shift.h"

#include "cuda/arguments/scale_shift.h"
#include "cuda/ops/kernels.h"
#include "cuda/tiling.h"

namespace diffuse::cuda {

size_t scale_shift_forward_scratch(const Call&, const Limits&) { return 0; }

void scale_shift_forward(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1];
  ScaleShiftForwardArguments arguments{};
  arguments.y = view(y);
  arguments.x = view(x);
  arguments.scale_shift = view(call.tensors[2]);
  arguments.tiling = tile(x, common_width({&y, &x}), launcher.limits());
  launcher.launch("scale_shift", std::string("scale_shift_forward_") + image_suffix(x),
                  grid_of(arguments.tiling, samples_of(x)), threads_of(arguments.tiling), arguments);
}

size_t scale_shift_backward_scratch(const Call& call, const Limits&) { return parts_bytes(call.tensors[3], 2); }

void scale_shift_backward(const Call& call, Launcher& launcher) {
  const Tensor &dx = call.tensors[0], &dy = call.tensors[2], &x = call.tensors[3];
  ScaleShiftBackwardArguments arguments{};
  arguments.dx = view(dx);
  arguments.dscale_shift = view(call.tensors[1]);
  arguments.dy = view(dy);
  arguments.x = view(x);
  arguments.scale_shift = view(call.tensors[4]);
  arguments.parts = reinterpret_cast<double*>(launcher.scratch());
  arguments.tiling = tile_parts(x, common_width({&dx, &dy, &x}));
  launcher.launch("scale_shift", std::string("scale_shift_backward_") + image_suffix(x),
                  grid_of(arguments.tiling, samples_of(x)), kTilingThreads, arguments);
  launcher.launch("scale_shift", "scale_shift_backward_total", grid_of_columns(samples_of(x), 2 * channels(x)),
                  kTilingThreads, arguments);
}

}  // namespace diffuse::cuda
