#include "cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace diffuse::cuda {

namespace {

// From here on PCIe is as fast as it gets.
constexpr size_t kChunkBytes = size_t{4} << 20;

}  // namespace

Staging::Staging(const Context& context) : context_(context) {
  for (Chunk& chunk : chunks_) {
    chunk.memory = context.pinned_memory(kChunkBytes);
    chunk.copied = context.event(kEventDisableTiming);
  }
}

void Staging::upload(DevicePointer to, size_t bytes, const Fill& fill) {
  const Driver& driver = context_.driver;
  for (size_t offset = 0; offset < bytes; offset += kChunkBytes) {
    const size_t count = std::min(kChunkBytes, bytes - offset);
    const Chunk& chunk = chunks_[next_++ % chunks_.size()];
    driver.cuEventSynchronize(chunk.copied.get());
    fill(chunk.data(), offset, count);
    driver.cuMemcpyHtoDAsync(to + offset, chunk.data(), count, context_.stream());
    driver.cuEventRecord(chunk.copied.get(), context_.stream());
  }
}

void Staging::download(std::byte* to, DevicePointer from, size_t bytes) {
  const Driver& driver = context_.driver;
  const auto empty = [&](const Chunk& chunk, size_t offset) {
    driver.cuEventSynchronize(chunk.copied.get());
    std::memcpy(to + offset, chunk.data(), std::min(kChunkBytes, bytes - offset));
  };
  const Chunk* before = nullptr;
  for (size_t offset = 0; offset < bytes; offset += kChunkBytes) {
    const Chunk& chunk = chunks_[next_++ % chunks_.size()];
    driver.cuEventSynchronize(chunk.copied.get());
    driver.cuMemcpyDtoHAsync(chunk.data(), from + offset, std::min(kChunkBytes, bytes - offset), context_.stream());
    driver.cuEventRecord(chunk.copied.get(), context_.stream());
    if (before) empty(*before, offset - kChunkBytes);
    before = &chunk;
  }
  if (before) empty(*before, (bytes - 1) / kChunkBytes * kChunkBytes);
}

}  // namespace diffuse::cuda
