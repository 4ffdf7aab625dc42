#include "driver/host_memory.h"

namespace simulator::driver {

Pinned* HostMemory::at(const void* begin) {
  const auto found = ranges_.find(address(begin));
  return found == ranges_.end() ? nullptr : &found->second;
}

std::pair<const uintptr_t, Pinned>* HostMemory::holding(const void* pointer) {
  auto after = ranges_.upper_bound(address(pointer));
  if (after == ranges_.begin()) return nullptr;
  auto& range = *--after;
  return address(pointer) < range.first + range.second.bytes ? &range : nullptr;
}

bool HostMemory::is_pinned(const HostRange& range) {
  const auto* found = holding(range.begin);
  return found && address(range.begin) + range.bytes <= found->first + found->second.bytes;
}

bool HostMemory::overlaps(const HostRange& range) const {
  for (const auto& [begin, pinned] : ranges_) {
    if (range.overlaps({reinterpret_cast<const std::byte*>(begin), pinned.bytes})) return true;
  }
  return false;
}

}  // namespace simulator::driver
