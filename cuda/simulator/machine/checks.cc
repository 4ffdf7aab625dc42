// What an access does to the shadows of memory, and what they say of it.
#include <cstring>

#include "machine/execution.h"

namespace simulator::machine {

using memory::Access;
using memory::Cell;
using report::Kind;

static const char* name_of(ptx::Space space) {
  return space == ptx::Space::shared ? "shared" : space == ptx::Space::local ? "local" : "global";
}

template <typename Word>
static bool is_initialised(const uint8_t* state) {
  constexpr Word kExpected = static_cast<Word>(0x0101010101010101u * memory::kInitialised);
  Word word;
  std::memcpy(&word, state, sizeof word);
  return word == kExpected;
}

// Nearly always true, and asked of every access.
static bool all_initialised(const uint8_t* state, uint32_t bytes) {
  switch (bytes) {
    case 1:
      return is_initialised<uint8_t>(state);
    case 2:
      return is_initialised<uint16_t>(state);
    case 4:
      return is_initialised<uint32_t>(state);
    case 8:
      return is_initialised<uint64_t>(state);
    case 16:
      return is_initialised<uint64_t>(state) && is_initialised<uint64_t>(state + 8);
    default:
      return false;
  }
}

void Execution::touch(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes) {
  if (region.cells) check_race(warp, region, kind, lane, offset, bytes);
  check_state(warp, region, kind, lane, offset, bytes);
}

void Execution::check_state(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes) {
  uint8_t* state = region.state + offset;
  if (all_initialised(state, bytes)) return;
  const bool writes = kind == Touch::write;
  uint8_t worst = memory::kInitialised;
  for (uint32_t i = 0; i < bytes; i++)
    if (state[i] != memory::kInitialised && !(writes && state[i] == memory::kUninitialised)) worst = state[i];
  if (worst != memory::kInitialised) {
    const std::string range = std::string(name_of(region.space)) + " memory, " + std::to_string(bytes) +
                              " bytes at offset " + std::to_string(offset);
    if (worst == memory::kPending) fail(Kind::pending_copy, range + ": cp.async was not waited for", warp, lane);
    if (worst == memory::kGap) fail(Kind::out_of_bounds, range + " lie between two arrays", warp, lane);
    fail(Kind::uninitialised, range + " were read and never written", warp, lane);
  }
  if (kind == Touch::write || kind == Touch::atomic) std::memset(state, memory::kInitialised, bytes);
}

Distance Execution::distance(const Warp& warp, Access earlier) const {
  const uint32_t stamp = memory::stamp_of(earlier);
  if (stamp == warp.stamp) return Distance::same_turn;
  const memory::Segment& then = stamps_[stamp];
  if (then.block != warp.block->index) return Distance::other_block;
  if (then.barrier_epoch != warp.block->epoch) return Distance::other_epoch;
  return then.warp == warp.index ? Distance::same_warp : Distance::other_warp;
}

// Whether an earlier access is ordered before the one that `lane` makes now.
bool Execution::ordered(const Warp& warp, Access earlier, int lane) const {
  switch (distance(warp, earlier)) {
    case Distance::same_turn:
      return static_cast<int>(memory::lane_of(earlier)) == lane;
    case Distance::same_warp:
    case Distance::other_epoch:
      return true;
    default:
      return false;
  }
}

// The reads to remember after `mine`.
Access Execution::joined(const Warp& warp, Access earlier, Access mine) const {
  const Access many = earlier & memory::kFlags;
  switch (distance(warp, earlier)) {
    case Distance::other_block:
      return mine | memory::kManyBlocks;
    case Distance::other_epoch:
      return mine;
    case Distance::other_warp:
      return mine | memory::kManyWarps;
    case Distance::same_warp:
      return many == memory::kManyWarps ? mine | many : mine;
    default:
      return mine | (many ? many : memory::same_thread(earlier, mine) ? 0 : memory::kManyLanes);
  }
}

// Whether reads that a cell remembers are not ordered before a write that `lane` makes now.
bool Execution::conflicts(const Warp& warp, Access reads, int lane) const {
  const Access many = reads & memory::kFlags;
  if (many == memory::kManyBlocks) return true;
  switch (distance(warp, reads)) {
    case Distance::same_turn:
      return many || static_cast<int>(memory::lane_of(reads)) != lane;
    case Distance::same_warp:
      return many == memory::kManyWarps;
    case Distance::other_epoch:
      return false;
    default:
      return true;
  }
}

void Execution::fail_race(const Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, Access earlier,
                          bool write) {
  const memory::Segment& then = stamps_[memory::stamp_of(earlier)];
  // Of many readers one is remembered, which may be the thread that writes now, or one that a barrier orders.
  const bool others = ordered(warp, earlier, lane);
  const bool reads = kind == Touch::read || kind == Touch::strong_read;
  report::Finding finding;
  finding.kind = Kind::race;
  finding.message = std::string(name_of(region.space)) + " memory at offset " + std::to_string(offset) + " is " +
                    (reads ? "read" : "written") + " here and was " + (write ? "written" : "read") + " before" +
                    (others ? ", by other threads too" : "") + ", and nothing orders the two";
  finding.kernel = code_.kernel->name;
  finding.place = place(warp.block->index, warp.index, static_cast<uint32_t>(lane), warp.fragments[warp.current].pc);
  finding.earlier = place(then.block, then.warp, memory::lane_of(earlier), memory::place_of(earlier));
  report_.add(std::move(finding));
  throw Stopped();
}

void Execution::check_race(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes) {
  const Access mine = memory::access_of(warp.stamp, static_cast<uint32_t>(lane), warp.fragment().pc);
  const Access first = region.first;
  Cell* cell = region.cells + (offset >> region.shift);
  Cell* const end = region.cells + ((offset + bytes - 1) >> region.shift) + 1;
  for (; cell != end; cell++) {
    const Access write = cell->write;
    if (write >= first && !memory::same_thread(write, mine) && !(kind >= Touch::atomic && (write & memory::kAtomic)) &&
        !(kind == Touch::strong_read && (write & memory::kAtomic)) && !ordered(warp, write, lane))
      fail_race(warp, region, kind, lane, offset, write, true);
    const Access read = cell->read;
    const Access many = read & memory::kFlags;
    if (kind == Touch::read) {
      if ((memory::same_thread(read, mine) && !many) || many == memory::kManyBlocks) {
        if (read < first) cell->read = mine;
      } else {
        cell->read = read < first ? mine : joined(warp, read, mine);
      }
    } else if (kind != Touch::strong_read) {
      if (read >= first && conflicts(warp, read, lane)) fail_race(warp, region, kind, lane, offset, read, false);
      cell->write = mine | (kind == Touch::atomic ? memory::kAtomic : 0);
      cell->read = 0;
    }
  }
}

}  // namespace simulator::machine
