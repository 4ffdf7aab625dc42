#include "memory/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

namespace simulator::memory {
namespace {

constexpr uint64_t kAlignment = 512;
// A gap is at least this wide, and as wide as the allocation before it: an index that is off by less is found.
constexpr uint64_t kGuardGap = 1 << 20;
constexpr uint64_t kFirstAddress = uint64_t(0x7f) << 40;
constexpr uint64_t kAddressesOfDevice = uint64_t(1) << 44;

uint64_t rounded(uint64_t bytes, uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

std::string hexadecimal(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

ZeroPages::ZeroPages(size_t bytes) : bytes_(std::max<size_t>(bytes, 1)) {
  void* pages = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(pages);
}

ZeroPages::~ZeroPages() { munmap(data_, bytes_); }

Allocation::Allocation(uint64_t address, size_t bytes, std::string name, bool backed)
    : address(address),
      bytes(bytes),
      name(std::move(name)),
      pages_(std::make_unique<ZeroPages>(backed ? bytes : 0)),
      state_pages_(std::make_unique<ZeroPages>(backed ? bytes : 0)),
      cell_pages_(std::make_unique<ZeroPages>(backed ? bytes * sizeof(Cell) : 0)) {
  data = pages_->data();
  state = reinterpret_cast<uint8_t*>(state_pages_->data());
  cells = reinterpret_cast<Cell*>(cell_pages_->data());
}

DeviceMemory::DeviceMemory(size_t capacity, int ordinal, bool backed)
    : capacity_(capacity), backed_(backed), next_(kFirstAddress + ordinal * kAddressesOfDevice) {}

uint64_t DeviceMemory::allocate(size_t bytes, const std::string& name) {
  const size_t taken = rounded(bytes, kAlignment);
  if (bytes == 0 || taken < bytes || taken > capacity_ - used_) return 0;
  allocations_.push_back(std::make_unique<Allocation>(next_, bytes, name, backed_));
  used_ += taken;
  next_ += rounded(taken + std::max<uint64_t>(kGuardGap, taken), kAlignment);
  return allocations_.back()->address;
}

bool DeviceMemory::release(uint64_t address) {
  Allocation* allocation = find(address);
  if (!allocation || allocation->freed || allocation->address != address) return false;
  allocation->freed = true;
  allocation->pages_.reset();
  allocation->state_pages_.reset();
  allocation->cell_pages_.reset();
  used_ -= rounded(allocation->bytes, kAlignment);
  return true;
}

Allocation* DeviceMemory::find(uint64_t address) {
  const auto after =
      std::upper_bound(allocations_.begin(), allocations_.end(), address,
                       [](uint64_t value, const std::unique_ptr<Allocation>& entry) { return value < entry->address; });
  if (after == allocations_.begin() || address >= next_) return nullptr;
  return std::prev(after)->get();
}

bool DeviceMemory::contains(uint64_t address, size_t bytes) {
  const Allocation* allocation = find(address);
  return allocation && !allocation->freed && address - allocation->address <= allocation->bytes &&
         bytes <= allocation->bytes - (address - allocation->address);
}

Allocation& DeviceMemory::checked(uint64_t address, size_t bytes) {
  Allocation* allocation = find(address);
  const std::string range = std::to_string(bytes) + " bytes at " + hexadecimal(address);
  if (!allocation) throw AddressError(range + " lie in no allocation");
  if (allocation->freed) throw AddressError(range + " lie in an allocation that was freed");
  if (!contains(address, bytes))
    throw AddressError(range + " leave the allocation of " + std::to_string(allocation->bytes) + " bytes at " +
                       hexadecimal(allocation->address));
  return *allocation;
}

void DeviceMemory::write(uint64_t address, const void* from, size_t bytes) {
  Allocation& allocation = checked(address, bytes);
  if (!bytes || !backed_) return;
  std::memcpy(allocation.data + (address - allocation.address), from, bytes);
  std::memset(allocation.state + (address - allocation.address), kInitialised, bytes);
}

void DeviceMemory::read(void* to, uint64_t address, size_t bytes) {
  const Allocation& allocation = checked(address, bytes);
  if (!backed_) std::memset(to, 0, bytes);
  if (!bytes || !backed_) return;
  std::memcpy(to, allocation.data + (address - allocation.address), bytes);
}

void DeviceMemory::copy(uint64_t to, uint64_t from, size_t bytes) {
  Allocation& target = checked(to, bytes);
  const Allocation& source = checked(from, bytes);
  if (!backed_) return;
  std::memmove(target.data + (to - target.address), source.data + (from - source.address), bytes);
  std::memmove(target.state + (to - target.address), source.state + (from - source.address), bytes);
}

void DeviceMemory::fill(uint64_t address, const void* pattern, size_t pattern_bytes, size_t count) {
  Allocation& allocation = checked(address, pattern_bytes * count);
  if (!backed_) return;
  std::byte* to = allocation.data + (address - allocation.address);
  for (size_t i = 0; i < count; i++) std::memcpy(to + i * pattern_bytes, pattern, pattern_bytes);
  std::memset(allocation.state + (address - allocation.address), kInitialised, pattern_bytes * count);
}

size_t DeviceMemory::uninitialised(uint64_t address, size_t bytes) {
  const Allocation& allocation = checked(address, bytes);
  if (!backed_) return 0;
  const uint8_t* state = allocation.state + (address - allocation.address);
  return static_cast<size_t>(std::count(state, state + bytes, kUninitialised));
}

void DeviceMemory::restart_stamps() {
  stamps.restart();
  for (const auto& allocation : allocations_) {
    if (allocation->freed || !backed_) continue;
    allocation->cell_pages_ = std::make_unique<ZeroPages>(allocation->bytes * sizeof(Cell));
    allocation->cells = reinterpret_cast<Cell*>(allocation->cell_pages_->data());
  }
}

std::vector<const Allocation*> DeviceMemory::live() const {
  std::vector<const Allocation*> result;
  for (const auto& allocation : allocations_)
    if (!allocation->freed && allocation->name.empty()) result.push_back(allocation.get());
  return result;
}

}  // namespace simulator::memory
