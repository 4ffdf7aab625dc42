// The CPU backend: the embedded default.
#pragma once

#include <memory>
#include <string>

#include "engine/device.h"

namespace diffuse {

// threads: 0 means as many as the process may use. isa: "" means the best. direct: Call::direct.
// Throws ERR_DEVICE.
std::shared_ptr<Device> open_cpu_device(int threads, const std::string& isa, bool direct);

}  // namespace diffuse
