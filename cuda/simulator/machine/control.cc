// Threads of a warp that part and meet.
#include <algorithm>

#include "machine/execution.h"

namespace simulator::machine {

using ptx::Opcode;

void Execution::branch(Warp& warp, const Instruction& instruction, uint32_t taken) {
  Fragment& fragment = warp.fragment();
  if (taken == 0)
    fragment.pc++;
  else if (taken == fragment.mask)
    fragment.pc = static_cast<uint32_t>(instruction.target);
  else
    part(warp, instruction,
         {{static_cast<uint32_t>(instruction.target), taken}, {fragment.pc + 1, fragment.mask & ~taken}});
}

void Execution::branch_table(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t* indices = words(warp, instruction.sources[0]);
  std::vector<std::pair<uint32_t, uint32_t>> ways;
  for_each_lane(mask, [&](int lane) {
    if (indices[lane] >= instruction.sources_count)
      fail(report::Kind::out_of_bounds, "brx.idx beyond its table of labels", warp, lane);
    const uint32_t pc = static_cast<uint32_t>(code_.targets[instruction.target + indices[lane]]);
    for (auto& way : ways)
      if (way.first == pc) {
        way.second |= 1u << lane;
        return;
      }
    ways.push_back({pc, 1u << lane});
  });
  const uint32_t others = warp.fragment().mask & ~mask;
  if (others) ways.push_back({warp.fragment().pc + 1, others});
  if (ways.size() == 1)
    warp.fragment().pc = ways[0].first;
  else
    part(warp, instruction, ways);
}

int Execution::take_record(Warp& warp) {
  for (size_t i = 0; i < warp.records.size(); i++)
    if (!warp.records[i].expected) return static_cast<int>(i);
  warp.records.emplace_back();
  return static_cast<int>(warp.records.size()) - 1;
}

// Each way gets a fragment. Where they meet again is the instruction's immediate post-dominator; the record of the
// fragment that parts serves again if it waits there already, as in loops that threads leave one by one.
void Execution::part(Warp& warp, const Instruction& instruction,
                     const std::vector<std::pair<uint32_t, uint32_t>>& ways) {
  Fragment before = warp.fragment();
  if (instruction.reconvergence >= 0 && before.stop != static_cast<uint32_t>(instruction.reconvergence)) {
    const int record = take_record(warp);
    warp.records[record] = {static_cast<uint32_t>(instruction.reconvergence), before.mask, 0, before.record};
    before.record = record;
    before.stop = static_cast<uint32_t>(instruction.reconvergence);
  }
  warp.fragments.erase(warp.fragments.begin() + static_cast<ptrdiff_t>(warp.current));
  for (const auto& [pc, mask] : ways) {
    Fragment fragment = before;
    fragment.pc = pc;
    fragment.mask = mask;
    warp.fragments.push_back(fragment);
  }
  warp.current = warp.fragments.size();  // settle() and next_fragment() choose
}

// Lets fragments that stand at their record's place arrive, and those that are all there go on.
void Execution::settle(Warp& warp) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < warp.fragments.size(); i++) {
      const Fragment fragment = warp.fragments[i];
      if (fragment.pc != fragment.stop || fragment.state != Fragment::State::ready) continue;
      warp.records[fragment.record].arrived |= fragment.mask;
      warp.fragments.erase(warp.fragments.begin() + static_cast<ptrdiff_t>(i));
      if (warp.current > i)
        warp.current--;
      else if (warp.current == i)
        warp.current = SIZE_MAX;
      i--;
      changed = true;
    }
    for (size_t i = 0; i < warp.records.size(); i++) {
      Record& record = warp.records[i];
      if (!record.expected || record.arrived != record.expected) continue;
      const Record done = record;
      record = {};
      const uint32_t stop = done.parent >= 0 ? warp.records[done.parent].pc : UINT32_MAX;
      warp.fragments.push_back({done.pc, done.arrived, done.parent, stop, Fragment::State::ready});
      changed = true;
    }
  }
}

void Execution::exit(Warp& warp, uint32_t mask) {
  warp.live &= ~mask;
  for (Record& record : warp.records) record.expected &= ~mask;
  Fragment& fragment = warp.fragment();
  fragment.mask &= ~mask;
  fragment.pc++;
  if (!fragment.mask) {
    warp.fragments.erase(warp.fragments.begin() + static_cast<ptrdiff_t>(warp.current));
    warp.current = SIZE_MAX;
  }
}

// Chooses a fragment that can run. False if all wait for a barrier of the block.
bool Execution::next_fragment(Warp& warp) {
  for (;;) {
    if (warp.current < warp.fragments.size() && warp.fragment().state == Fragment::State::ready) return true;
    uint32_t ready = 0, waiting = 0, at_barrier = 0;
    for (const Fragment& fragment : warp.fragments) {
      ready += fragment.state == Fragment::State::ready;
      waiting += fragment.state == Fragment::State::at_sync;
      if (fragment.state == Fragment::State::at_barrier) at_barrier |= fragment.mask;
    }
    if (ready) {
      uint64_t choice = ready == 1 ? 0 : random_.below(ready);
      for (warp.current = 0;; warp.current++)
        if (warp.fragment().state == Fragment::State::ready && choice-- == 0) return true;
    }
    if (waiting) {
      if (resolve_sync(warp)) continue;
      for (const Fragment& fragment : warp.fragments)
        if (fragment.state == Fragment::State::at_sync)
          fail_at(report::Kind::missing_lanes, "lanes of the instruction's mask never come to it", warp,
                  __builtin_ctz(fragment.mask), fragment.pc);
    }
    const uint32_t pc = warp.fragments[0].pc;
    const bool same = std::all_of(warp.fragments.begin(), warp.fragments.end(),
                                  [&](const Fragment& fragment) { return fragment.pc == pc; });
    if (at_barrier != warp.live || !same)
      fail_at(report::Kind::divergent_barrier, "threads of the same warp wait elsewhere, or for this one", warp,
              __builtin_ctz(warp.fragments[0].mask), pc);
    warp.at_barrier = true;
    return false;
  }
}

// The lanes that an instruction names; all of the warp's for those that are done by whole warps.
uint32_t Execution::members(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Slot slot = kNoSlot;
  switch (instruction.opcode) {
    case Opcode::warp_barrier:
      slot = instruction.sources[0];
      break;
    case Opcode::vote:
    case Opcode::match:
    case Opcode::reduce:
      slot = instruction.sources[1];
      break;
    case Opcode::shuffle:
      slot = instruction.sources[3];
      break;
    default:
      return kAllLanes;
  }
  const uint32_t* named = words(warp, slot);
  const int first = __builtin_ctz(mask);
  for_each_lane(mask, [&](int lane) {
    if (named[lane] != named[first])
      fail(report::Kind::missing_lanes, "lanes name different masks of members", warp, lane);
  });
  return named[first];
}

bool Execution::gathered(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t named = members(warp, instruction, mask);
  if (mask & ~named)
    fail(report::Kind::missing_lanes, "a lane is not in the mask that it names", warp, __builtin_ctz(mask & ~named));
  const bool whole_warp = instruction.opcode == Opcode::matrix_multiply || instruction.opcode == Opcode::matrix_load ||
                          instruction.opcode == Opcode::matrix_store;
  if (whole_warp && warp.live != kAllLanes)
    fail(report::Kind::missing_lanes, "the warp has less than 32 threads, or some have exited", warp,
         __builtin_ctz(mask));
  // Lanes that exited do not take part in shuffles, votes and barriers.
  const uint32_t expected = named & warp.live;
  if (mask == expected) return true;
  Fragment& fragment = warp.fragment();
  if (const uint32_t passing = fragment.mask & expected & ~mask)
    fail(report::Kind::missing_lanes, "a lane of the mask passes the instruction by, its guard being false", warp,
         __builtin_ctz(passing));
  fragment.state = Fragment::State::at_sync;
  return false;
}

// Of fragments that wait at the same instruction, those that together are all of its lanes go on.
bool Execution::resolve_sync(Warp& warp) {
  for (const Fragment& first : warp.fragments) {
    if (first.state != Fragment::State::at_sync) continue;
    const uint32_t pc = first.pc;
    const Instruction& instruction = code_.instructions[pc];
    uint32_t together = 0, running = 0;
    const uint32_t guard = instruction.guard == kNoSlot
                               ? kAllLanes
                               : *words(warp, instruction.guard) ^ (instruction.guard_negated ? kAllLanes : 0);
    for (const Fragment& fragment : warp.fragments)
      if (fragment.state == Fragment::State::at_sync && fragment.pc == pc) together |= fragment.mask;
    running = together & guard;
    warp.current = static_cast<size_t>(&first - warp.fragments.data());
    if ((members(warp, instruction, running) & warp.live) != running) continue;
    run_together(warp, instruction, running);
    go_on(warp, pc);
    return true;
  }
  return false;
}

// Fragments that waited at `pc` are past it. Those with the same record are one from here on.
void Execution::go_on(Warp& warp, uint32_t pc) {
  std::vector<Fragment> merged;
  for (Fragment fragment : warp.fragments) {
    const bool went = fragment.state != Fragment::State::ready && fragment.pc == pc;
    if (went) {
      fragment.state = Fragment::State::ready;
      fragment.pc++;
    }
    const auto twin = std::find_if(merged.begin(), merged.end(), [&](const Fragment& other) {
      return went && other.state == Fragment::State::ready && other.pc == fragment.pc &&
             other.record == fragment.record;
    });
    if (twin != merged.end())
      twin->mask |= fragment.mask;
    else
      merged.push_back(fragment);
  }
  warp.fragments = std::move(merged);
  warp.current = SIZE_MAX;
  settle(warp);
}

void Execution::run_together(Warp& warp, const Instruction& instruction, uint32_t mask) {
  switch (instruction.opcode) {
    case Opcode::warp_barrier:
      warp_barrier(warp);
      break;
    case Opcode::shuffle:
      shuffle(warp, instruction, mask);
      break;
    case Opcode::vote:
      vote(warp, instruction, mask);
      break;
    case Opcode::match:
      match(warp, instruction, mask);
      break;
    case Opcode::reduce:
      reduce(warp, instruction, mask);
      break;
    case Opcode::matrix_multiply:
      matrix_multiply(warp, instruction);
      break;
    default:
      matrix_move(warp, instruction);
      break;
  }
}

void Execution::arrive(Warp& warp, const Instruction&, uint32_t mask) {
  Fragment& fragment = warp.fragment();
  if (mask != fragment.mask)
    fail(report::Kind::divergent_barrier, "a thread passes the barrier by, its guard being false", warp,
         __builtin_ctz(fragment.mask & ~mask));
  fragment.state = Fragment::State::at_barrier;
  warp.at_barrier = fragment.mask == warp.live;
}

}  // namespace simulator::machine
