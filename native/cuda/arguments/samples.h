// Images as samples of elements in order, whatever their layout in memory: what random numbers are indexed by.
#pragma once

#include <cstdint>

namespace diffuse::cuda {

struct Samples {
  int64_t count;
  int32_t elements;  // of one
};

}  // namespace diffuse::cuda
