// The global memory of one simulated device.
//
// Addresses are simulated: they are handed out in ascending order and never again, with gaps between allocations, so
// that what is out of bounds or freed is found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory/shadow.h"

namespace simulator::memory {

struct AddressError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Bytes that are zero until they are touched, and cost nothing before.
class ZeroPages {
 public:
  explicit ZeroPages(size_t bytes);
  ~ZeroPages();
  ZeroPages(const ZeroPages&) = delete;
  ZeroPages& operator=(const ZeroPages&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_;
  size_t bytes_;
};

struct Allocation {
  Allocation(uint64_t address, size_t bytes, std::string name, bool backed);
  uint64_t address;
  size_t bytes;
  std::string name;        // of a variable of a module, else empty
  bool read_only = false;  // .const
  bool freed = false;

  std::byte* data;  // content
  uint8_t* state;   // ByteState of each byte
  Cell* cells;      // who touched it, one for each granule of the launch
 private:
  friend class DeviceMemory;
  std::unique_ptr<ZeroPages> pages_, state_pages_, cell_pages_;
};

class DeviceMemory {
 public:
  // Devices have addresses of their own, so that a pointer of one is found out on another.
  // Without backing there are addresses alone: they are checked, and all bytes are zero.
  explicit DeviceMemory(size_t capacity, int ordinal = 0, bool backed = true);

  // 0 if the capacity is used up. Addresses are aligned to 512 bytes.
  uint64_t allocate(size_t bytes, const std::string& name = {});
  // False if `address` is not the start of a live allocation.
  bool release(uint64_t address);

  // The allocation whose bytes or guard gap hold the address (then it may be freed or end before it), or null.
  Allocation* find(uint64_t address);
  // Whether all the bytes lie in one live allocation.
  bool contains(uint64_t address, size_t bytes);

  // By the host. All throw AddressError with a sentence that says what is wrong with the range.
  void write(uint64_t address, const void* from, size_t bytes);
  void read(void* to, uint64_t address, size_t bytes);
  void copy(uint64_t to, uint64_t from, size_t bytes);
  void fill(uint64_t address, const void* pattern, size_t pattern_bytes, size_t count);
  // How many of the bytes nobody wrote.
  size_t uninitialised(uint64_t address, size_t bytes);

  size_t capacity() const { return capacity_; }
  size_t used() const { return used_; }
  // Live allocations that are no variables of modules.
  std::vector<const Allocation*> live() const;

  // Forgets who touched what, so that stamps can be used again.
  void restart_stamps();

  // What orders accesses within a launch; see shadow.h.
  Stamps stamps;

 private:
  Allocation& checked(uint64_t address, size_t bytes);
  size_t capacity_;
  bool backed_;
  size_t used_ = 0;
  uint64_t next_;
  std::vector<std::unique_ptr<Allocation>> allocations_;  // by ascending address
};

}  // namespace simulator::memory
