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
  const LaneShape& written = shape_of(warp, mask, to, bytes);
  check_alignment(warp, written, to);
  check_alignment(warp, shape_of(warp, mask, from, bytes, 1), from);
  if (!traffic_.empty()) note_shared(warp, mask, to, bytes, true);
  AsyncCopy& copy = warp.copies.emplace_back();
  copy.mask = mask;
  copy.pc = warp.fragment().pc;
  copy.bytes = static_cast<int>(bytes);
  uint32_t reads[kWarpSize];
  uint32_t reading = 0;  // lanes
  for_each_lane(mask, [&](int lane) {
    reads[lane] = bytes;
    if (instruction.sources_count && instruction.flag)
      reads[lane] = predicate(warp, instruction, instruction.sources[0]) >> lane & 1 ? 0 : bytes;
    else if (instruction.sources_count)
      reads[lane] = words(warp, instruction.sources[0])[lane];
    if (reads[lane] > bytes) fail(Kind::out_of_bounds, "cp.async reads more bytes than it writes", warp, lane);
    if (reads[lane]) reading |= 1u << lane;
    copy.to[lane] = static_cast<uint32_t>(to[lane]);
    copy.group[lane] = warp.groups[lane];
  });
  const Region shared = shared_region(*warp.block);
  if (!written.lies_in(shared.bytes, to[written.first]))
    for_each_lane(mask, [&](int lane) { region_of(warp, ptx::Space::shared, to[lane], bytes, lane); });
  if (checks_) {
    touch_lanes(warp, shared, Touch::write, written, to[written.first]);
    set_state(shared, memory::kPending, written, to[written.first]);
  }
  std::memset(copy.data, 0, sizeof copy.data);
  if (!reading) return;
  if (!traffic_.empty()) note_global(warp, reading, from, bytes, false);
  const LaneShape& read = shape_of(warp, reading, from, bytes, reading == mask ? 1 : 2);
  const auto whole = [&](int lane) { return !(reading >> lane & 1) || reads[lane] == bytes; };
  Region global =
      region_of(warp, ptx::Space::global, from[read.first], reads[read.first], static_cast<int>(read.first));
  bool at_once = read.lies_in(global.bytes, from[read.first] - global.address);
  for (int lane = 0; lane < kWarpSize; lane++) at_once &= whole(lane);
  if (at_once && checks_) touch_lanes(warp, global, Touch::read, read, from[read.first] - global.address);
  for_each_lane(reading, [&](int lane) {
    if (!at_once) global = region_of(warp, ptx::Space::global, from[lane], reads[lane], lane);
    const uint64_t offset = from[lane] - global.address;
    if (!at_once && checks_) touch(warp, global, Touch::read, lane, offset, reads[lane]);
    std::memcpy(copy.data[lane], global.data + offset, reads[lane]);
  });
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
