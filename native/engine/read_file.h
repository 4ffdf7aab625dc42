#pragma once

#include <cstddef>

namespace diffuse {

// Reads `bytes` of an open file, from `position` on. Throws ERR_CHECKPOINT. Any thread.
void read_file(std::byte* to, int file, size_t position, size_t bytes);

}  // namespace diffuse
