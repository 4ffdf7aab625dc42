// The GPUs that tests run on: real ones, or those of the simulator.
#pragma once

#include <memory>

#include "engine/device.h"

namespace diffuse::testing {

// A GPU that stays open for later tests; null where there are fewer.
std::shared_ptr<Device> shared_gpu(int ordinal);
// Closes them: after an error a device takes no more calls.
void close_shared_gpus();

// A GPU of the test's own.
std::shared_ptr<Device> open_gpu(int ordinal = 0, bool tf32 = false);

}  // namespace diffuse::testing
