// Registers that kernels take, from what `ptxas -v` prints, or reckoned from the PTX where there is none.
#pragma once

#include <string>

#include "machine/launch.h"
#include "profiles/profiles.h"

namespace simulator::driver {

// Registers of a thread. `report` is the path of a file with the output of ptxas, or empty.
int registers_of(const ptx::Kernel& kernel, const Profile& profile, const std::string& report);

// The most threads of a block whose registers fit.
int threads_by_registers(int registers);

// As many blocks as a multiprocessor holds at once.
int resident_blocks(const Profile& profile, int registers, size_t shared_bytes, int threads);

}  // namespace simulator::driver
