#include "cuda/failures.h"

#include <cstdio>
#include <cstring>

#include "cuda/arguments/failure.h"
#include "engine/signature.h"

namespace diffuse::cuda {

namespace {

// The sentences of the CPU kernels. Numbers are whole where the format says %.0f.
std::string words_of(const Failure& failure, const Signature& signature) {
  const auto say = [](const char* format, auto... numbers) {
    char words[256];
    std::snprintf(words, sizeof words, format, numbers...);
    return std::string(words);
  };
  const double value = failure.value, limit = failure.limit, where = failure.where;
  switch (failure.code) {
    case kNoWord:
      return say("%s must be an integer in [0, 2^32), got %g", signature.attributes[static_cast<size_t>(where)].c_str(),
                 value);
    case kClipNotPositive:
      return say("clip must be above 0 (Infinity for none), got %g", value);
    case kNoProbability:
      return say("probability must be in [0, 1), got %g", value);
    case kLayerTooLarge:
      return say("layer must be below 2^24, got %g", value);
    case kNoQuantile:
      return say("quantile must be from 0 to 1, got %g", value);
    case kMaxTooSmall:
      return say("max must be at least 1 (Infinity for none), got %g", value);
    case kPeriodNotPositive:
      return say("maxPeriod must be above 0, got %g", value);
    case kShiftTooLarge:
      return say("frequencyShift must be below half the %.0f channels, got %g", limit, value);
    case kNoMask:
      return say("the mask %.0f is no state", value);
    case kNoBiasCorrection:
      return say("bias corrections must be above 0 (1 - beta^t, t = 1, 2, ...), got %g and %g", value, limit);
    case kNegativeClipNorm:
      return say("clipNorm must be 0 (none) or more, got %g", value);
    case kNoFlip:
      return "only images [N, H, W, C] can be flipped";
    case kNoClass:
      return say("index %.0f of sample %.0f is not one of the classes 0 to %.0f", value, where, limit - 1);
    case kNoLabel:
      return say("label %.0f of row %.0f is not one of the classes 0 to %.0f", value, where, limit - 1);
    case kNoLevel:
      return say("the level %g is not an integer in [0, %.0f)", value, limit);
    case kNoState:
      return say("token %.0f is not one of the states 0 to %.0f", value, limit - 1);
    case kNoTimestep:
      return say("the timestep %g is not in [0, %.0f)", value, limit);
    case kNoToken:
      return say("token %.0f is not in [0, %.0f)", value, limit);
    case kImpossibleState:
      return say("token %.0f cannot have become state %.0f", value, limit);
    default:
      return say("failure %d of %g, limit %g", failure.code, value, limit);
  }
}

}  // namespace

Error explain(const Failure& failure) {
  const Signature& signature = signatures()[static_cast<size_t>(failure.kernel)];
  return {failure.code == kNoFlip ? "ERR_SHAPE" : "ERR_ARGUMENT",
          signature.kernel + ": " + words_of(failure, signature)};
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
