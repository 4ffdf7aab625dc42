// Host memory that the driver has pinned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>

#include "driver/work.h"

namespace simulator::driver {

struct Pinned {
  size_t bytes = 0;
  bool registered = false;  // by the program, whose memory it is
  Context* context = nullptr;
  uint64_t device_address = 0;                                     // 0 where devices cannot see it
  std::unique_ptr<void, void (*)(void*)> own{nullptr, std::free};  // null where other memory backs it
};

class HostMemory {
 public:
  void add(void* begin, Pinned pinned) { ranges_.emplace(address(begin), std::move(pinned)); }
  // Null if no range begins there.
  Pinned* at(const void* begin);
  // The range that holds the pointer, or null.
  std::pair<const uintptr_t, Pinned>* holding(const void* pointer);
  void remove(const void* begin) { ranges_.erase(address(begin)); }
  bool is_pinned(const HostRange& range);
  bool overlaps(const HostRange& range) const;
  std::map<uintptr_t, Pinned>& ranges() { return ranges_; }

 private:
  static uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }
  std::map<uintptr_t, Pinned> ranges_;
};

}  // namespace simulator::driver
