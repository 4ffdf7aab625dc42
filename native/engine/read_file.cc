#include "engine/read_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "engine/error.h"

namespace diffuse {

void read_file(std::byte* to, int file, size_t position, size_t bytes) {
  while (bytes > 0) {
    const ssize_t count = pread(file, to, bytes, static_cast<off_t>(position));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error("ERR_CHECKPOINT", std::strerror(errno));
    if (count == 0)
      throw Error("ERR_CHECKPOINT", "was cut off at byte " + std::to_string(position) + " while it was open");
    to += count;
    position += static_cast<size_t>(count);
    bytes -= static_cast<size_t>(count);
  }
}

}  // namespace diffuse
