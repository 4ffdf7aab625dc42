// atom and red.
#include "machine/atomics.h"

#include <cstring>

#include "machine/execution.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

using ptx::AtomicOperation;
using ptx::Type;

uint64_t sum_of(uint64_t a, uint64_t b, Type type) {
  switch (type) {
    case Type::f32:
      return bits_of(float_of(static_cast<uint32_t>(a)) + float_of(static_cast<uint32_t>(b)));
    case Type::f64:
      return std::bit_cast<uint64_t>(std::bit_cast<double>(a) + std::bit_cast<double>(b));
    case Type::f16:
      return F16::to(double(F16::from(a & 0xffff)) + F16::from(b & 0xffff));
    case Type::bf16:
      return Bf16::to(double(Bf16::from(a & 0xffff)) + Bf16::from(b & 0xffff));
    case Type::f16x2:
      return sum_of(a & 0xffff, b & 0xffff, Type::f16) | sum_of(a >> 16, b >> 16, Type::f16) << 16;
    case Type::bf16x2:
      return sum_of(a & 0xffff, b & 0xffff, Type::bf16) | sum_of(a >> 16, b >> 16, Type::bf16) << 16;
    default:
      return a + b;
  }
}

// Of float32 in global memory, where subnormals are flushed; in shared memory they are not.
uint64_t flushed_sum(uint64_t a, uint64_t b) {
  const auto flushed = [](uint64_t bits) { return without_subnormals(float_of(static_cast<uint32_t>(bits))); };
  return bits_of(without_subnormals(flushed(a) + flushed(b)));
}

bool less(uint64_t a, uint64_t b, Type type) {
  if (type == Type::s32) return static_cast<int32_t>(a) < static_cast<int32_t>(b);
  if (type == Type::s64) return static_cast<int64_t>(a) < static_cast<int64_t>(b);
  return a < b;
}

}  // namespace

uint64_t atomic_result(AtomicOperation operation, Type type, uint64_t old, uint64_t b, uint64_t c) {
  switch (operation) {
    case AtomicOperation::add:
      return sum_of(old, b, type);
    case AtomicOperation::minimum:
      return less(b, old, type) ? b : old;
    case AtomicOperation::maximum:
      return less(old, b, type) ? b : old;
    case AtomicOperation::and_:
      return old & b;
    case AtomicOperation::or_:
      return old | b;
    case AtomicOperation::xor_:
      return old ^ b;
    case AtomicOperation::exchange:
      return b;
    case AtomicOperation::compare_exchange:
      return old == b ? c : old;
    case AtomicOperation::increment:
      return old >= b ? 0 : old + 1;
    case AtomicOperation::decrement:
      return old == 0 || old > b ? b : old - 1;
  }
  return old;
}

void Execution::atomic(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint64_t where[kWarpSize];
  addresses(warp, instruction, 0, where);
  const uint32_t bytes = instruction.bytes;
  const auto source = [&](Slot slot, int lane) -> uint64_t {
    const void* lanes = at(warp, slot);
    return bytes == 8 ? static_cast<const uint64_t*>(lanes)[lane] : static_cast<const uint32_t*>(lanes)[lane];
  };
  for (uint32_t rest = mask; rest;) {
    uint32_t group = rest;
    const ptx::Space space = resolve(instruction, group, where);
    check_alignment(warp, shape_of(warp, group, where, bytes), where);
    if (!traffic_.empty()) {
      if (space == ptx::Space::global) note_global(warp, group, where, bytes, true);
      if (space == ptx::Space::shared) note_shared(warp, group, where, bytes, true);
    }
    const bool flushes = space == ptx::Space::global && instruction.type == Type::f32;
    for_each_lane(group, [&](int lane) {
      const Region region = region_of(warp, space, where[lane], bytes, lane);
      if (region.read_only || !region.cells)
        fail(report::Kind::read_only, "an atomic operation on memory of one thread, or constant", warp, lane);
      const uint64_t offset = where[lane] - region.address;
      if (checks_) touch(warp, region, Touch::atomic, lane, offset, bytes);
      uint64_t old = 0;
      std::memcpy(&old, region.data + offset, bytes);
      const uint64_t b = source(instruction.sources[0], lane);
      const uint64_t c = instruction.sources_count > 1 ? source(instruction.sources[1], lane) : 0;
      const uint64_t result =
          flushes ? flushed_sum(old, b)
                  : atomic_result(static_cast<AtomicOperation>(instruction.mode), instruction.type, old, b, c);
      std::memcpy(region.data + offset, &result, bytes);
      if (instruction.destination == kNoSlot) return;
      if (bytes == 8)
        static_cast<uint64_t*>(at(warp, instruction.destination))[lane] = old;
      else
        words(warp, instruction.destination)[lane] = static_cast<uint32_t>(old);
    });
    rest &= ~group;
  }
}

}  // namespace simulator::machine
