// cp.async. Its bytes arrive when the thread waits, the latest moment that hardware may choose; until then nobody may
// touch them. For races the destination is written at the issue and until the wait.
#include <algorithm>
#include <cstring>

#include "machine/execution.h"

namespace simulator::machine {

using report::Kind;

void Execution::copy_async(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint64_t to[kWarpSize], from[kWarpSize];
  addresses(warp, instruction, 0, to);
  addresses(warp, instruction, 1, from);
  const uint32_t bytes = instruction.count;
  check_alignment(warp, mask, to, bytes);
  check_alignment(warp, mask, from, bytes);
  if (!traffic_.empty()) note_shared(warp, mask, to, bytes, true);
  uint32_t reading = 0;
  AsyncCopy& copy = warp.copies.emplace_back();
  copy.mask = mask;
  copy.pc = warp.fragment().pc;
  copy.bytes = static_cast<int>(bytes);
  std::memset(copy.data, 0, sizeof copy.data);
  const Region shared = shared_region(*warp.block);
  for_each_lane(mask, [&](int lane) {
    uint32_t read = bytes;
    if (instruction.sources_count) {
      const uint32_t* source = words(warp, instruction.sources[0]);
      if (instruction.flag)
        read = predicate(warp, instruction, instruction.sources[0]) >> lane & 1 ? 0 : bytes;
      else
        read = source[lane];
      if (read > bytes) fail(Kind::out_of_bounds, "cp.async reads more bytes than it writes", warp, lane);
    }
    region_of(warp, ptx::Space::shared, to[lane], bytes, lane);
    if (checks_) {
      touch(warp, shared, Touch::write, lane, to[lane], bytes);
      std::memset(shared.state + to[lane], memory::kPending, bytes);
    }
    if (read) {
      reading |= 1u << lane;
      const Region global = region_of(warp, ptx::Space::global, from[lane], read, lane);
      const uint64_t offset = from[lane] - global.address;
      if (checks_) touch(warp, global, Touch::read, lane, offset, read);
      std::memcpy(copy.data[lane], global.data + offset, read);
    }
    copy.to[lane] = static_cast<uint32_t>(to[lane]);
    copy.group[lane] = warp.groups[lane];
  });
  if (!traffic_.empty() && reading) note_global(warp, reading, from, bytes, false);
}

void Execution::commit_copies(Warp& warp, uint32_t mask) {
  for_each_lane(mask, [&](int lane) { warp.groups[lane]++; });
}

void Execution::wait_copies(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const Region shared = shared_region(*warp.block);
  for (AsyncCopy& copy : warp.copies) {
    for_each_lane(copy.mask & mask, [&](int lane) {
      // wait_all also waits for copies of a group that was not ended; wait_group N leaves the N youngest groups.
      const bool done = instruction.flag || copy.group[lane] + instruction.count < warp.groups[lane];
      if (!done) return;
      std::memcpy(shared.data + copy.to[lane], copy.data[lane], static_cast<size_t>(copy.bytes));
      copy.mask &= ~(1u << lane);
      if (!checks_) return;
      std::memset(shared.state + copy.to[lane], memory::kInitialised, static_cast<size_t>(copy.bytes));
      const int granules = std::max(copy.bytes >> shared.shift, 1);
      for (int i = 0; i < granules; i++)
        shared.cells[(copy.to[lane] >> shared.shift) + i].write = memory::access_of(warp.stamp, lane, copy.pc);
    });
  }
  std::erase_if(warp.copies, [](const AsyncCopy& copy) { return copy.mask == 0; });
}

}  // namespace simulator::machine
