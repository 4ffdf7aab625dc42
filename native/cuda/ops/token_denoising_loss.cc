// The loss of discrete diffusion on the GPU (ops/token_denoising_loss.h has the formulas,
// cuda/ops/token_denoising_loss.cu the kernels).
#include "ops/token_denoising_loss.h"

#include "cuda/arguments/token_denoising_loss.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

// A warp takes a token.
int64_t blocks_for(const Tensor& logits) { return blocks_of(rows(logits), kTokenDenoisingLossThreads / 32); }

// logits, tokens, xt, timestep and keep follow one another in both signatures.
TokenDenoisingLossArguments arguments_of(const Tensor* inputs, Launcher& launcher) {
  TokenDenoisingLossArguments arguments{};
  arguments.logits = view(inputs[0]);
  arguments.tokens = i32(inputs[1]);
  arguments.xt = view(inputs[2]);
  arguments.timestep = f32(inputs[3]);
  arguments.keep = f32(inputs[4]);
  arguments.length = static_cast<int32_t>(inputs[0].shape[1]);
  arguments.levels = static_cast<int32_t>(inputs[4].shape[0]);
  arguments.blocks = blocks_for(inputs[0]);
  arguments.attributes = launcher.attributes();
  arguments.reporter = reporter(launcher);
  return arguments;
}

}  // namespace

// Divergence and cross-entropy of each block.
size_t token_denoising_loss_forward_scratch(const Call& call, const Limits&) {
  return static_cast<size_t>(blocks_for(call.tensors[3])) * 2 * sizeof(double);
}

void token_denoising_loss_forward(const Call& call, Launcher& launcher) {
  TokenDenoisingLossArguments arguments = arguments_of(call.tensors + 3, launcher);
  arguments.loss = f32(call.tensors[0]);
  arguments.bound = f32(call.tensors[1]);
  arguments.cross_entropy = f32(call.tensors[2]);
  arguments.partials = reinterpret_cast<double*>(launcher.scratch());
  launcher.launch("token_denoising_loss", "token_denoising_loss_forward_f32", {arguments.blocks},
                  kTokenDenoisingLossThreads, arguments);
  launcher.launch("token_denoising_loss", "token_denoising_loss_finish", {}, kFinishThreads, arguments);
}

size_t token_denoising_loss_backward_scratch(const Call&, const Limits&) { return 0; }

void token_denoising_loss_backward(const Call& call, Launcher& launcher) {
  TokenDenoisingLossArguments arguments = arguments_of(call.tensors + 2, launcher);
  arguments.dlogits = view(call.tensors[0]);
  arguments.dloss = f32(call.tensors[1]);
  launcher.launch("token_denoising_loss", "token_denoising_loss_backward_f32", {arguments.blocks},
                  kTokenDenoisingLossThreads, arguments);
}

}  // namespace diffuse::cuda
