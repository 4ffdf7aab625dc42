// Noising of tokens on the GPU (ops/token_noising.h has the formulas, cuda/ops/token_noising.cu the kernel).
#include "ops/token_noising.h"

#include "cuda/arguments/token_noising.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"
#include "ops/random.h"

namespace diffuse::cuda {

size_t token_noising_scratch(const Call&, const Limits&) { return 0; }

void token_noising(const Call& call, Launcher& launcher) {
  const Tensor &xt = call.tensors[0], &timestep = call.tensors[1], &tokens = call.tensors[2], &keep = call.tensors[3];
  launcher.launch("token_noising", "token_noising_f32", {blocks_of(rows(xt), kTokenNoisingThreads)},
                  kTokenNoisingThreads,
                  TokenNoisingArguments{view(xt), f32(timestep), i32(tokens), f32(keep),
                                        static_cast<int32_t>(xt.shape[1]), static_cast<int32_t>(keep.shape[0]),
                                        kPurposeTimestep, kPurposeNoise, launcher.attributes(), reporter(launcher)});
}

}  // namespace diffuse::cuda
