// What becomes of devices whose handles are gone.
#pragma once

#include <memory>

#include "engine/device.h"

namespace diffuse::binding {

// Lets go of a device whose last jobs may still go on: a process that ends waits for them, so that drivers are left in
// order. It does not wait for devices that have handles, nor for programs and buffers that were left to the collector:
// process.exit() in the midst of something shall end it.
void let_go(std::shared_ptr<Device> device);

}  // namespace diffuse::binding
