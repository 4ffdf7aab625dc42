#include "cuda/failures.h"

#include <cstdio>
#include <cstring>

#include "engine/signature.h"

namespace diffuse::cuda {

namespace {

// Failure::code of a kernel, and the sentence that it stands for; %.0f are Failure::value and Failure::limit.
struct Explanation {
  const char* kernel;
  int code;
  const char* format;
};

constexpr Explanation kExplanations[] = {
    {"embedding_forward", 1, "index %.0f is not one of the classes 0 to %.0f"},
    {"embedding_backward", 1, "index %.0f is not one of the classes 0 to %.0f"},
    {"softmax_cross_entropy_forward", 1, "label %.0f is not one of the classes 0 to %.0f"},
    {"softmax_cross_entropy_backward", 1, "label %.0f is not one of the classes 0 to %.0f"},
    {"noising", 1, "the level %g is not an integer in [0, %.0f)"},
    {"token_noising", 1, "token %.0f is not one of the states 0 to %.0f"},
    {"token_denoising_loss_forward", 1, "the timestep %g is not in [0, %.0f)"},
    {"token_denoising_loss_forward", 2, "token %.0f is not in [0, %.0f)"},
    {"token_denoising_loss_forward", 3, "token %.0f cannot have become state %.0f"},
    {"token_denoising_loss_backward", 1, "the timestep %g is not in [0, %.0f)"},
    {"token_denoising_loss_backward", 2, "token %.0f is not in [0, %.0f)"},
    {"token_denoising_loss_backward", 3, "token %.0f cannot have become state %.0f"},
};

}  // namespace

Error explain(const Failure& failure) {
  const std::string kernel = signatures()[static_cast<size_t>(failure.kernel)].kernel;
  char words[256];
  std::snprintf(words, sizeof words, "failure %d of %g, limit %g", failure.code, failure.value, failure.limit);
  for (const Explanation& explanation : kExplanations)
    if (kernel == explanation.kernel && failure.code == explanation.code)
      std::snprintf(words, sizeof words, explanation.format, failure.value, failure.limit);
  return {"ERR_ARGUMENT", kernel + ": " + words};
}

FailureBuffer::FailureBuffer(const Context& context)
    : context_(context),
      device_(context.device_memory(sizeof(Failure))),
      host_(context.pinned_memory(sizeof(Failure))) {
  clear();
}

void FailureBuffer::clear() const {
  context_.driver.cuMemsetD8Async(device_.get(), 0, sizeof(Failure), context_.stream());
}

void FailureBuffer::fetch() const {
  context_.driver.cuMemcpyDtoHAsync(host_.get(), device_.get(), sizeof(Failure), context_.stream());
}

std::optional<Failure> FailureBuffer::take() {
  Failure failure;
  std::memcpy(&failure, host_.get(), sizeof failure);
  if (failure.code == 0) return std::nullopt;
  clear();
  return failure;
}

}  // namespace diffuse::cuda
