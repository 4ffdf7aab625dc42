// What an access does to the shadows of memory, and what they say of it.
#include <cstring>

#include "machine/execution.h"

namespace simulator::machine {

using memory::Access;
using memory::Cell;
using report::Kind;

void Execution::touch(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes) {
  check_race(warp, region, kind, lane, offset, bytes);
  check_state(warp, region, kind, lane, offset, bytes);
}

void Execution::check_state(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes) {
  uint8_t* state = region.state + offset;
  const bool writes = kind == Touch::write;
  uint8_t worst = memory::kInitialised;
  for (uint32_t i = 0; i < bytes; i++)
    if (state[i] != memory::kInitialised && !(writes && state[i] == memory::kUninitialised)) worst = state[i];
  if (worst != memory::kInitialised) {
    const std::string place = std::string(region.shared ? "shared" : "global") + " memory, " + std::to_string(bytes) +
                              " bytes at offset " + std::to_string(offset);
    if (worst == memory::kPending) fail(Kind::pending_copy, place + ": cp.async was not waited for", warp, lane);
    if (worst == memory::kGap) fail(Kind::out_of_bounds, place + " lie between two arrays", warp, lane);
    fail(Kind::uninitialised, place + " were read and never written", warp, lane);
  }
  if (kind == Touch::write || kind == Touch::atomic) std::memset(state, memory::kInitialised, bytes);
}

// Whether an earlier access is ordered before the one that `lane` makes now.
bool Execution::ordered(const Warp& warp, Access earlier, int lane) const {
  const memory::Segment& then = stamps_[memory::stamp_of(earlier)];
  if (then.block != warp.block->index) return false;
  if (then.barrier_epoch != warp.block->epoch) return true;
  if (then.warp != warp.index) return false;
  return memory::stamp_of(earlier) != warp.stamp || static_cast<int>(memory::lane_of(earlier)) == lane;
}

// The reads to remember after one more.
Access Execution::joined(const Warp& warp, Access earlier, int lane) const {
  const Access mine = memory::access_of(warp.stamp, lane);
  const uint32_t many = earlier & memory::kFlags;
  if (many == memory::kManyBlocks) return earlier;
  const memory::Segment& then = stamps_[memory::stamp_of(earlier)];
  if (then.block != warp.block->index) return mine | memory::kManyBlocks;
  if (then.barrier_epoch != warp.block->epoch) return mine;
  if (then.warp != warp.index || many == memory::kManyWarps) return mine | memory::kManyWarps;
  if (memory::stamp_of(earlier) != warp.stamp) return mine;
  return mine |
         (many == memory::kManyLanes || static_cast<int>(memory::lane_of(earlier)) != lane ? memory::kManyLanes : 0);
}

std::string Execution::who(const Warp& warp, Access access) const {
  const memory::Segment& then = stamps_[memory::stamp_of(access)];
  std::string text = "thread " + std::to_string(then.warp * kWarpSize + memory::lane_of(access));
  if (then.block != warp.block->index) text += " of block " + std::to_string(then.block);
  return text;
}

void Execution::check_race(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes) {
  const Access mine = memory::access_of(warp.stamp, lane);
  const Access first = region.first;
  const auto report_race = [&](const char* what, Access other) {
    fail(Kind::race,
         std::string(region.shared ? "shared" : "global") + " memory at offset " + std::to_string(offset) + " is " +
             what + " " + who(warp, other) + ", and nothing orders the two",
         warp, lane);
  };
  Cell* cell = region.cells + (offset >> region.shift);
  Cell* const end = region.cells + ((offset + bytes - 1) >> region.shift) + 1;
  for (; cell != end; cell++) {
    const Access write = cell->write;
    if (write >= first && (write & ~memory::kFlags) != mine && !(kind >= Touch::atomic && (write & memory::kAtomic)) &&
        !(kind == Touch::strong_read && (write & memory::kAtomic)) && !ordered(warp, write, lane))
      report_race(
          kind == Touch::read || kind == Touch::strong_read ? "read here and written by" : "written here and by",
          write);
    const Access read = cell->read;
    if (kind == Touch::read) {
      if (read == mine || (read & memory::kFlags) == memory::kManyBlocks) {
        if (read < first) cell->read = mine;
      } else {
        cell->read = read < first ? mine : joined(warp, read, lane);
      }
    } else if (kind != Touch::strong_read) {
      if (read >= first && read != mine) {
        const uint32_t many = read & memory::kFlags;
        const memory::Segment& then = stamps_[memory::stamp_of(read)];
        const bool same_epoch = then.block == warp.block->index && then.barrier_epoch == warp.block->epoch;
        const bool conflict = many == memory::kManyBlocks       ? true
                              : then.block != warp.block->index ? true
                              : !same_epoch                     ? false
                              : many == memory::kManyWarps      ? true
                              : many == memory::kManyLanes && then.warp == warp.index
                                  ? memory::stamp_of(read) == warp.stamp
                                  : !ordered(warp, read, lane);
        if (conflict) report_race("written here and read by", read);
      }
      cell->write = mine | (kind == Touch::atomic ? memory::kAtomic : 0);
      cell->read = 0;
    }
  }
}

}  // namespace simulator::machine
