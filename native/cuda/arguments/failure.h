// What kernels may find wrong with their data, and where they say so.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// Failure::code, with what value, limit and where hold. native/cuda/failures.cc has the words.
enum FailureCode : int32_t {
  // Of an attribute; where: its index.
  kNoWord = 1,  // no integer in [0, 2^32)
  kClipNotPositive,
  kNoProbability,  // not in [0, 1)
  kLayerTooLarge,  // 2^24 or more
  kNoQuantile,     // not in [0, 1]
  kMaxTooSmall,    // below 1
  kPeriodNotPositive,
  kShiftTooLarge,     // limit: the channels, half of which it must be below
  kNoMask,            // not a state
  kNoBiasCorrection,  // value, limit: both corrections, one of which is not above 0
  kNegativeClipNorm,
  kNoFlip,  // set, but what is noised has no width
  // Of a tensor; where: the sample, row or token, value: what it holds, limit: how many there are.
  kNoClass,
  kNoLabel,
  kNoLevel,
  kNoState,
  kNoTimestep,
  kNoToken,
  kImpossibleState,  // limit: the state that the token cannot have become
};

struct Reporter {
  Failure* failure;
  int32_t kernel;  // that reports: index into ops/kernels.def
};

}  // namespace diffuse::cuda
