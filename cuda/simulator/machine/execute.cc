// Instructions, one after the other.
#include <cstring>

#include "machine/execution.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

using ptx::Opcode;

// What lanes outside the mask had stays.
template <typename T>
void blend(void* to, const void* from, uint32_t mask) {
  T* target = static_cast<T*>(to);
  const T* source = static_cast<const T*>(from);
  for (int lane = 0; lane < kWarpSize; lane++) target[lane] = mask >> lane & 1 ? source[lane] : target[lane];
}

void blend_mask(uint32_t& to, uint32_t from, uint32_t mask) { to = (to & ~mask) | (from & mask); }

uint32_t combined(uint32_t result, uint32_t with, ptx::Comparison combination) {
  switch (combination) {
    case ptx::Comparison::and_:
      return result & with;
    case ptx::Comparison::or_:
      return result | with;
    case ptx::Comparison::xor_:
      return result ^ with;
    default:
      return result;
  }
}

}  // namespace

void Execution::run_warp(Warp& warp, uint64_t quantum) {
  for (; quantum; quantum--) {
    Fragment& fragment = warp.fragment();
    const uint32_t pc = fragment.pc;
    const Instruction& instruction = code_.instructions[pc];
    uint32_t mask = fragment.mask;
    if (instruction.guard != kNoSlot)
      mask &= *words(warp, instruction.guard) ^ (instruction.guard_negated ? kAllLanes : 0);
    spent_++;
    counts_[pc].warps++;
    counts_[pc].lanes += __builtin_popcount(mask);
    if (instruction.opcode == Opcode::branch) {
      branch(warp, instruction, mask);
    } else if (mask == 0) {
      fragment.pc++;
    } else {
      switch (instruction.opcode) {
        case Opcode::function:
          run_function(warp, instruction, mask);
          break;
        case Opcode::compare:
        case Opcode::set:
          compare(warp, instruction, mask);
          break;
        case Opcode::select:
          select(warp, instruction, mask);
          break;
        case Opcode::pack:
          pack(warp, instruction, mask);
          break;
        case Opcode::unpack:
          unpack(warp, instruction, mask);
          break;
        case Opcode::load:
          load(warp, instruction, mask);
          break;
        case Opcode::store:
          store(warp, instruction, mask);
          break;
        case Opcode::atomic:
          atomic(warp, instruction, mask);
          break;
        case Opcode::convert_address:
          convert_address(warp, instruction, mask);
          break;
        case Opcode::is_space:
          is_space(warp, instruction, mask);
          break;
        case Opcode::copy_async:
          copy_async(warp, instruction, mask);
          break;
        case Opcode::commit_copies:
          commit_copies(warp, mask);
          break;
        case Opcode::wait_copies:
          wait_copies(warp, instruction, mask);
          break;
        case Opcode::active_mask:
          active_mask(warp, instruction, mask);
          break;
        case Opcode::nothing:
          break;
        case Opcode::trap:
          fail(report::Kind::trap, "the kernel executed trap", warp, __builtin_ctz(mask));
        case Opcode::branch_table:
          branch_table(warp, instruction, mask);
          break;
        case Opcode::exit:
          exit(warp, mask);
          break;
        case Opcode::barrier:
        case Opcode::barrier_reduce:
          arrive(warp, instruction, mask);
          break;
        default:
          if (gathered(warp, instruction, mask)) run_together(warp, instruction, mask);
          break;
      }
      const bool moved = instruction.opcode == Opcode::branch_table || instruction.opcode == Opcode::exit;
      if (!moved && warp.fragment().state == Fragment::State::ready) warp.fragment().pc++;
    }
    if (warp.at_barrier || !warp.live) return;
    // Threads that part, meet, wait or exit change which fragment runs.
    if (warp.fragments.size() <= warp.current || warp.fragment().state != Fragment::State::ready ||
        warp.fragment().pc == warp.fragment().stop) {
      settle(warp);
      if (!next_fragment(warp)) return;
    }
  }
}

void Execution::run_function(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const ptx::Function& function = *instruction.function;
  const void* a = at(warp, instruction.sources[0]);
  const void* b = at(warp, instruction.sources[1]);
  const void* c = instruction.sources_count > 2 ? at(warp, instruction.sources[2]) : nullptr;
  const void* e = at(warp, instruction.sources[3]);
  if (instruction.sources_count == 4 && instruction.sources[2] == kNoSlot) c = nullptr;
  void* destination = at(warp, instruction.destination);
  alignas(64) uint64_t step[kWarpSize], result[kWarpSize];
  const bool noise = launch_.noise && function.approximate;
  if (mask == kAllLanes && instruction.second_destination == kNoSlot && !noise) {
    if (!function.second) return function.run(destination, a, b, c, e, nullptr);
    function.run(step, a, b, c, e, nullptr);
    return function.second(destination, step, nullptr, nullptr, nullptr, nullptr);
  }
  uint32_t carry = 0;
  function.run(function.second ? step : result, a, b, c, e, &carry);
  if (function.second) function.second(result, step, nullptr, nullptr, nullptr, nullptr);
  if (noise) add_noise(instruction, result);
  switch (instruction.storage) {
    case Storage::lanes64:
      blend<uint64_t>(destination, result, mask);
      break;
    case Storage::mask:
      blend_mask(*static_cast<uint32_t*>(destination), static_cast<uint32_t>(result[0]), mask);
      break;
    default:
      blend<uint32_t>(destination, result, mask);
      break;
  }
  if (instruction.second_destination != kNoSlot) blend_mask(*words(warp, instruction.second_destination), carry, mask);
}

// Up to two units in the last place, up or down. Zeros, infinities and NaN stay.
void Execution::add_noise(const Instruction& instruction, void* lanes) {
  if (instruction.function->operands[0] != 'f') return;
  uint32_t* bits = static_cast<uint32_t*>(lanes);
  for (int lane = 0; lane < kWarpSize; lane++) {
    const uint32_t magnitude = bits[lane] & 0x7fffffff;
    if (magnitude > 0x00800010 && magnitude < 0x7f7ffff0) bits[lane] += static_cast<uint32_t>(random_.below(5)) - 2;
  }
}

void Execution::compare(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t holds =
      instruction.function->compare(at(warp, instruction.sources[0]), at(warp, instruction.sources[1]));
  const auto combination = static_cast<ptx::Comparison>(instruction.mode);
  const uint32_t with = combination == ptx::Comparison::none ? 0 : predicate(warp, instruction, instruction.sources[2]);
  const uint32_t result = combined(holds, with, combination);
  if (instruction.opcode == Opcode::set) {
    const uint32_t yes = instruction.type == ptx::Type::f32 ? bits_of(1.0f) : UINT32_MAX;
    uint32_t* to = words(warp, instruction.destination);
    for_each_lane(mask, [&](int lane) { to[lane] = result >> lane & 1 ? yes : 0; });
    return;
  }
  // The sink is wide enough for a mask, too.
  blend_mask(*words(warp, instruction.destination), result, mask);
  if (instruction.second_destination != kNoSlot)
    blend_mask(*words(warp, instruction.second_destination), combined(~holds, with, combination), mask);
}

template <typename T>
static void select_lanes(void* to, const void* a, const void* b, uint32_t choice, uint32_t mask) {
  T* target = static_cast<T*>(to);
  const T *first = static_cast<const T*>(a), *second = static_cast<const T*>(b);
  T result[kWarpSize];
  for (int lane = 0; lane < kWarpSize; lane++) result[lane] = choice >> lane & 1 ? first[lane] : second[lane];
  if (mask == kAllLanes)
    std::memcpy(target, result, sizeof result);
  else
    blend<T>(target, result, mask);
}

void Execution::select(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t choice = predicate(warp, instruction, instruction.sources[2]);
  void* to = at(warp, instruction.destination);
  const void *a = at(warp, instruction.sources[0]), *b = at(warp, instruction.sources[1]);
  if (instruction.bytes == 8)
    select_lanes<uint64_t>(to, a, b, choice, mask);
  else
    select_lanes<uint32_t>(to, a, b, choice, mask);
}

void Execution::pack(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t* parts[4];
  for (int i = 0; i < instruction.count; i++) parts[i] = words(warp, instruction.sources[i]);
  const int bits = instruction.bytes * 8 / instruction.count;
  const uint64_t part_mask = (uint64_t(1) << bits) - 1;
  uint64_t result[kWarpSize];
  for (int lane = 0; lane < kWarpSize; lane++) {
    uint64_t value = 0;
    for (int i = 0; i < instruction.count; i++) value |= (parts[i][lane] & part_mask) << (bits * i);
    result[lane] = value;
  }
  void* to = at(warp, instruction.destination);
  if (instruction.bytes == 8) return blend<uint64_t>(to, result, mask);
  for_each_lane(mask, [&](int lane) { static_cast<uint32_t*>(to)[lane] = static_cast<uint32_t>(result[lane]); });
}

void Execution::unpack(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const void* from = at(warp, code_.lists[instruction.list + instruction.count]);
  uint64_t values[kWarpSize];
  if (instruction.bytes == 8)
    std::memcpy(values, from, sizeof values);
  else
    for (int lane = 0; lane < kWarpSize; lane++) values[lane] = static_cast<const uint32_t*>(from)[lane];
  const int bits = instruction.bytes * 8 / instruction.count;
  const uint64_t part_mask = (uint64_t(1) << bits) - 1;
  for (int i = 0; i < instruction.count; i++) {
    uint32_t part[kWarpSize];
    for (int lane = 0; lane < kWarpSize; lane++)
      part[lane] = static_cast<uint32_t>(values[lane] >> (bits * i) & part_mask);
    blend<uint32_t>(words(warp, code_.lists[instruction.list + i]), part, mask);
  }
}

void Execution::active_mask(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* to = words(warp, instruction.destination);
  for_each_lane(mask, [&](int lane) { to[lane] = mask; });
}

}  // namespace simulator::machine
