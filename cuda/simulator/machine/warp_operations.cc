// Shuffles, votes and the like: PTX ISA, "Parallel Synchronization and Communication Instructions".
#include <cstring>

#include "machine/atomics.h"
#include "machine/execution.h"

namespace simulator::machine {

using ptx::AtomicOperation;
using ptx::ShuffleMode;
using ptx::VoteMode;

void Execution::shuffle(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t from[kWarpSize], result[kWarpSize];
  std::memcpy(from, at(warp, instruction.sources[0]), sizeof from);
  const uint32_t* b = words(warp, instruction.sources[1]);
  const uint32_t* c = words(warp, instruction.sources[2]);
  uint32_t inside = 0;
  for_each_lane(mask, [&](int lane) {
    const int segment = c[lane] >> 8 & 31, clamp = c[lane] & 31, distance = b[lane] & 31;
    const int last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    int source = lane;
    bool present = false;
    switch (static_cast<ShuffleMode>(instruction.mode)) {
      case ShuffleMode::up:
        source = lane - distance;
        present = source >= last;
        break;
      case ShuffleMode::down:
        source = lane + distance;
        present = source <= last;
        break;
      case ShuffleMode::butterfly:
        source = lane ^ distance;
        present = source <= last;
        break;
      case ShuffleMode::index:
        source = first | (distance & ~segment);
        present = source <= last;
        break;
    }
    if (!present) source = lane;
    if (!(mask >> source & 1))
      fail(report::Kind::missing_lanes, "shfl.sync reads lane " + std::to_string(source) + ", which does not take part",
           warp, lane);
    result[lane] = from[source];
    inside |= uint32_t(present) << lane;
  });
  uint32_t* to = words(warp, instruction.destination);
  for_each_lane(mask, [&](int lane) { to[lane] = result[lane]; });
  if (instruction.second_destination == kNoSlot) return;
  uint32_t& flags = *words(warp, instruction.second_destination);
  flags = (flags & ~mask) | inside;
}

void Execution::vote(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t yes = predicate(warp, instruction, instruction.sources[0]) & mask;
  uint32_t* to = words(warp, instruction.destination);
  bool holds = false;
  switch (static_cast<VoteMode>(instruction.mode)) {
    case VoteMode::all:
      holds = yes == mask;
      break;
    case VoteMode::any:
      holds = yes != 0;
      break;
    case VoteMode::uniform:
      holds = yes == mask || yes == 0;
      break;
    case VoteMode::ballot:
      for_each_lane(mask, [&](int lane) { to[lane] = yes; });
      return;
  }
  *to = (*to & ~mask) | (holds ? mask : 0);
}

void Execution::match(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const void* lanes = at(warp, instruction.sources[0]);
  const auto value = [&](int lane) -> uint64_t {
    return instruction.bytes == 8 ? static_cast<const uint64_t*>(lanes)[lane]
                                  : static_cast<const uint32_t*>(lanes)[lane];
  };
  uint32_t result[kWarpSize] = {};
  bool all = true;
  for_each_lane(mask, [&](int lane) {
    for_each_lane(mask, [&](int other) { result[lane] |= uint32_t(value(lane) == value(other)) << other; });
    all &= result[lane] == mask;
  });
  uint32_t* to = words(warp, instruction.destination);
  for_each_lane(mask, [&](int lane) { to[lane] = instruction.flag ? (all ? mask : 0) : result[lane]; });
  if (instruction.second_destination == kNoSlot) return;
  uint32_t& flags = *words(warp, instruction.second_destination);
  flags = (flags & ~mask) | (all ? mask : 0);
}

void Execution::reduce(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t* from = words(warp, instruction.sources[0]);
  uint64_t result = from[__builtin_ctz(mask)];
  for_each_lane(mask & (mask - 1), [&](int lane) {
    result = atomic_result(static_cast<AtomicOperation>(instruction.mode), instruction.type, result, from[lane], 0);
  });
  uint32_t* to = words(warp, instruction.destination);
  for_each_lane(mask, [&](int lane) { to[lane] = static_cast<uint32_t>(result); });
}

// Orders what the warp's lanes did before it and after it.
void Execution::warp_barrier(Warp& warp) {
  warp.stamp = stamps_.take({warp.block->index, warp.index, warp.block->epoch});
}

}  // namespace simulator::machine
