// Copies between the host's memory and the GPU's, through pinned memory in two chunks: while one travels, the other is
// filled or emptied.
#pragma once

#include <array>
#include <cstddef>
#include <functional>

#include "cuda/context.h"

namespace diffuse::cuda {

// Used on the executor's thread only.
class Staging {
 public:
  explicit Staging(const Context& context);

  // `fill` writes `count` bytes, those from `offset` on, to `chunk`. Returns when the last has been filled; the copies
  // are done before whatever is launched afterwards.
  using Fill = std::function<void(std::byte* chunk, size_t offset, size_t count)>;
  void upload(DevicePointer to, size_t bytes, const Fill& fill);
  // Waits.
  void download(std::byte* to, DevicePointer from, size_t bytes);

 private:
  struct Chunk {
    Owned<void*> memory;
    Owned<EventHandle> copied;
    std::byte* data() const { return static_cast<std::byte*>(memory.get()); }
  };

  const Context& context_;
  std::array<Chunk, 2> chunks_;
  size_t next_ = 0;
};

}  // namespace diffuse::cuda
