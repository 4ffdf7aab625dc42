// Registers that kernels take: as a file tells, or reckoned from the PTX.
#pragma once

#include <string>

#include "machine/launch.h"
#include "profiles/profiles.h"

namespace simulator::driver {

// Registers of a thread. `path` names a JSON file, {image: {kernel: {architectures: {sm_80: {registers: 40}}}}}, or is
// empty; a kernel that stands there stands for all architectures.
int registers_of(const ptx::Kernel& kernel, const Profile& profile, const std::string& path);

// The most threads of a block whose registers fit.
int threads_by_registers(int registers);

// As many blocks as a multiprocessor holds at once.
int resident_blocks(const Profile& profile, int registers, size_t shared_bytes, int threads);

}  // namespace simulator::driver
