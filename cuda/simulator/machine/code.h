// A kernel made ready to run on a device: operands are places in register files, names are addresses.
#pragma once

#include <cstdint>
#include <vector>

#include "ptx/body.h"

namespace simulator::machine {

// Offset in bytes in a warp's registers, or with kConstant in the constants of the kernel. Both hold 32 lanes for each
// value; predicates are one mask.
using Slot = uint32_t;
constexpr Slot kConstant = 0x80000000u;
constexpr Slot kNoSlot = 0x7fffffffu;

// How a value lies in its slot.
enum class Storage : uint8_t { none, lanes32, lanes64, mask };

struct Instruction {
  ptx::Opcode opcode;
  Storage storage = Storage::none;         // of the destination
  Storage second_storage = Storage::none;  // of loads and stores: that of the registers
  ptx::Space space;
  ptx::Type type;
  uint8_t bytes = 0;  // of an element
  uint8_t mode, count;
  bool flag, strong;
  bool guard_negated;
  bool negated;                  // the predicate among the sources
  bool short_registers = false;  // of loads: they have 16 bits
  bool wide_address[2] = {true, true};
  uint16_t sources_count = 0;
  Slot guard = kNoSlot;
  Slot destination = kNoSlot, second_destination = kNoSlot;
  Slot sources[4] = {0, 0, 0, 0};
  Slot bases[2] = {0, 0};
  int64_t offsets[2] = {0, 0};
  uint32_t list = 0;  // in Code::lists: all sources of instructions that have more than four
  int target = -1, reconvergence = -1;
  const ptx::Function* function = nullptr;
};

struct Code {
  const ptx::Kernel* kernel = nullptr;
  std::vector<Instruction> instructions;
  std::vector<Slot> lists;
  std::vector<int> targets;  // of brx.idx: at `list`, `count` of them
  std::vector<std::byte> constants;
  size_t register_bytes = 0;
  struct SpecialSlot {
    ptx::Special special;
    Slot slot;
  };
  std::vector<SpecialSlot> specials;
  // Variables of shared memory lie apart, so that an index over an array's end does not meet the next one. `gaps` are
  // the bytes between them.
  std::vector<std::pair<size_t, size_t>> gaps;
  size_t shared_bytes = 0;    // static, with gaps
  size_t dynamic_offset = 0;  // where the extern array begins
  // The least bytes that the kernel reads or writes at once, as powers of two: what races are looked for in.
  int global_shift = 4, shared_shift = 4;
};

// `addresses`: of the module's variables. Throws ptx::ParseError for what cannot be run.
Code make_code(const ptx::Module& module, const ptx::Kernel& kernel, const std::vector<uint64_t>& addresses);

// The windows of the generic address space. Global memory has all other addresses.
constexpr uint64_t kSharedWindow = uint64_t(0x10) << 40, kLocalWindow = uint64_t(0x11) << 40;
constexpr uint64_t kParameterWindow = uint64_t(0x12) << 40, kWindowBytes = uint64_t(1) << 32;

}  // namespace simulator::machine
