// Which instruction set the CPU backend computes with.
#pragma once

#include <string>
#include <vector>

#include "engine/kernel.h"

namespace diffuse {

// Names, best first, of what this build contains and this CPU can run; the last is always "portable".
std::vector<std::string> supported_isas();

// The kernels of an instruction set, or of the best one for an empty name. Throws ERR_DEVICE naming what is supported.
const Kernel* cpu_kernels(const std::string& isa);

}  // namespace diffuse
