#include "machine/code.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "memory/shadow.h"
#include "ptx/registers.h"

namespace simulator::machine {
namespace {

using ptx::Opcode;
using ptx::Operand;
using ptx::Space;

constexpr size_t kLanes = 32;
constexpr size_t kGapBytes = 128;  // a row of banks, so that the banks of an array do not change

Storage storage_of(ptx::Type type) {
  return type == ptx::Type::pred ? Storage::mask : ptx::size_of(type) == 8 ? Storage::lanes64 : Storage::lanes32;
}

class Maker {
 public:
  Maker(const ptx::Module& module, const ptx::Kernel& kernel, const std::vector<uint64_t>& addresses)
      : module_(module), kernel_(kernel), body_(*kernel.body), addresses_(addresses) {
    code_.kernel = &kernel;
  }

  Code make() {
    if (body_.instructions.size() > memory::kMaxPlace)
      throw ptx::ParseError(module_.name + ": kernel " + kernel_.name + " has more instructions than can be numbered");
    place_shared();
    place_registers();
    for (size_t i = 0; i < body_.instructions.size(); i++) add(body_.instructions[i], body_.reconvergence[i]);
    return std::move(code_);
  }

 private:
  void place_shared();
  void place_registers();
  void add(const ptx::Instruction& from, int reconvergence);
  void add_address(Instruction& to, const ptx::Address& from, int index);
  void note_width(const Instruction& instruction);
  uint64_t address_of(const Operand& operand) const;
  Slot slot_of(const Operand& operand, Storage storage);
  Slot constant(uint64_t value, Storage storage);
  Slot special(ptx::Special special);
  Storage storage_of_source(const ptx::Instruction& from, size_t index) const;

  const ptx::Module& module_;
  const ptx::Kernel& kernel_;
  const ptx::Body& body_;
  const std::vector<uint64_t>& addresses_;
  Code code_;
  std::vector<size_t> shared_offsets_;  // of the kernel's variables
  std::vector<Slot> register_slots_;
  std::map<std::pair<uint64_t, Storage>, Slot> constants_;
  std::map<ptx::Special, Slot> specials_;
  Slot sink_ = 0;
};

void Maker::place_shared() {
  size_t end = 0;
  shared_offsets_.assign(kernel_.variables.size(), 0);
  const auto place = [&](size_t i) {
    const ptx::Variable& variable = kernel_.variables[i];
    const size_t start = end ? end + kGapBytes : 0;
    const size_t offset = (start + variable.alignment - 1) / variable.alignment * variable.alignment;
    if (offset > end) code_.gaps.push_back({end, offset});
    shared_offsets_[i] = offset;
    end = offset + variable.bytes;
  };
  for (size_t i = 0; i < kernel_.variables.size(); i++)
    if (kernel_.variables[i].space == Space::shared && kernel_.variables[i].bytes) place(i);
  code_.shared_bytes = end;
  code_.dynamic_offset = end;
  // All extern arrays are the same memory.
  size_t alignment = 0;
  for (const ptx::Variable& variable : kernel_.variables)
    if (variable.space == Space::shared && !variable.bytes) alignment = std::max(alignment, variable.alignment);
  if (!alignment) return;
  const size_t start = end ? end + kGapBytes : 0;
  code_.dynamic_offset = (start + alignment - 1) / alignment * alignment;
  if (code_.dynamic_offset > end) code_.gaps.push_back({end, code_.dynamic_offset});
  code_.shared_bytes = code_.dynamic_offset;
  for (size_t i = 0; i < kernel_.variables.size(); i++)
    if (kernel_.variables[i].space == Space::shared && !kernel_.variables[i].bytes)
      shared_offsets_[i] = code_.dynamic_offset;
}

void Maker::place_registers() {
  const ptx::RegisterPlaces places = ptx::place_registers(body_);
  // Predicates lie before all others.
  const size_t start = (places.predicates * sizeof(uint32_t) + 63) / 64 * 64;
  register_slots_.assign(body_.registers.size(), kNoSlot);
  for (size_t i = 0; i < body_.registers.size(); i++) {
    const int place = places.place[i];
    if (place < 0) continue;
    const bool predicate = body_.registers[i].type == ptx::Type::pred;
    register_slots_[i] = static_cast<Slot>(predicate ? place * sizeof(uint32_t) : start + place * kLanes);
  }
  sink_ = static_cast<Slot>(start + places.bytes * kLanes);
  code_.register_bytes = sink_ + kLanes * 8;
}

Slot Maker::constant(uint64_t value, Storage storage) {
  if (storage == Storage::mask) value = value ? UINT32_MAX : 0;
  const auto [entry, added] =
      constants_.try_emplace({value, storage}, kConstant | static_cast<Slot>(code_.constants.size()));
  if (!added) return entry->second;
  const size_t bytes = storage == Storage::lanes64 ? 8 : 4;
  for (size_t lane = 0; lane < kLanes; lane++)
    for (size_t i = 0; i < bytes; i++) code_.constants.push_back(static_cast<std::byte>(value >> (8 * i)));
  return entry->second;
}

Slot Maker::special(ptx::Special special) {
  const auto [entry, added] = specials_.try_emplace(special, static_cast<Slot>(code_.register_bytes));
  if (added) {
    // 64 bits, since a special register may be moved to either width.
    code_.register_bytes += kLanes * 8;
    code_.specials.push_back({special, entry->second});
  }
  return entry->second;
}

uint64_t Maker::address_of(const Operand& operand) const {
  if (operand.kind == Operand::Kind::parameter || operand.kind == Operand::Kind::immediate) return operand.value;
  if (operand.index < 0) return addresses_[-1 - operand.index] + operand.value;
  const ptx::Variable& variable = kernel_.variables[operand.index];
  return (variable.space == Space::shared ? shared_offsets_[operand.index] : variable.offset) + operand.value;
}

Slot Maker::slot_of(const Operand& operand, Storage storage) {
  switch (operand.kind) {
    case Operand::Kind::none:
      return kNoSlot;
    case Operand::Kind::sink:
      return sink_;
    case Operand::Kind::reg:
      return register_slots_[operand.index];
    case Operand::Kind::special:
      return special(static_cast<ptx::Special>(operand.index));
    default:
      return constant(address_of(operand), storage);
  }
}

Storage Maker::storage_of_source(const ptx::Instruction& from, size_t index) const {
  const Operand& operand = from.sources[index];
  if (operand.kind == Operand::Kind::reg) return storage_of(body_.registers[operand.index].type);
  if (from.function) {
    const char* letters = from.function->operands;
    const char letter = index + 1 < std::strlen(letters) ? letters[index + 1] : 'p';
    return letter == 'l' || letter == 'd' ? Storage::lanes64 : letter == 'p' ? Storage::mask : Storage::lanes32;
  }
  if (from.opcode == Opcode::select) return index == 2 ? Storage::mask : storage_of(from.type);
  if (from.opcode == Opcode::store || from.opcode == Opcode::atomic || from.opcode == Opcode::load)
    return storage_of(from.type);
  if (from.opcode == Opcode::convert_address || from.opcode == Opcode::is_space) return Storage::lanes64;
  if (from.opcode == Opcode::unpack && index == from.count) return storage_of(from.type);
  if (from.opcode == Opcode::match && index == 0) return storage_of(from.type);
  if (from.opcode == Opcode::barrier_reduce || (from.opcode == Opcode::vote && index == 0)) return Storage::mask;
  return Storage::lanes32;
}

void Maker::add_address(Instruction& to, const ptx::Address& from, int index) {
  to.offsets[index] = from.offset;
  if (from.base.kind == Operand::Kind::none) return;
  if (from.base.kind == Operand::Kind::reg) {
    to.bases[index] = register_slots_[from.base.index];
    to.wide_address[index] = ptx::size_of(body_.registers[from.base.index].type) == 8;
  } else {
    // A name instead of a register: the same address in all lanes.
    uint64_t address = address_of(from.base);
    if (to.space == Space::generic && from.base.kind == Operand::Kind::variable && from.base.index >= 0)
      address += kernel_.variables[from.base.index].space == Space::shared ? kSharedWindow : kLocalWindow;
    to.bases[index] = constant(address, Storage::lanes64);
  }
}

void Maker::note_width(const Instruction& instruction) {
  const auto note = [](int& shift, int bytes) {
    shift = std::min(shift, std::countr_zero(static_cast<unsigned>(bytes)));
  };
  const bool generic = instruction.space == Space::generic;
  switch (instruction.opcode) {
    case Opcode::load:
    case Opcode::store:
    case Opcode::atomic: {
      const int bytes = std::min(16, instruction.bytes * std::max<int>(instruction.count, 1));
      if (generic || instruction.space == Space::global || instruction.space == Space::constant)
        note(code_.global_shift, bytes);
      if (generic || instruction.space == Space::shared) note(code_.shared_shift, bytes);
      break;
    }
    case Opcode::copy_async:
      note(code_.shared_shift, instruction.count);
      // Fewer bytes may be read than the instruction says.
      note(code_.global_shift, instruction.sources_count && !instruction.flag ? 1 : instruction.count);
      break;
    default:
      break;
  }
}

void Maker::add(const ptx::Instruction& from, int reconvergence) {
  Instruction to{};
  to.opcode = from.opcode;
  to.space = from.space;
  to.type = from.type;
  to.bytes = static_cast<uint8_t>(ptx::size_of(from.type));
  to.mode = from.mode;
  to.count = from.count;
  to.flag = from.flag;
  to.strong = from.strong;
  to.function = from.function;
  to.reconvergence = reconvergence;
  to.guard_negated = from.guard_negated;
  if (from.guard >= 0) to.guard = register_slots_[from.guard];
  if (from.destination.kind != Operand::Kind::none) {
    to.storage = from.destination.kind == Operand::Kind::reg ? storage_of(body_.registers[from.destination.index].type)
                                                             : Storage::lanes64;
    to.destination = slot_of(from.destination, to.storage);
  }
  if (from.second_destination.kind != Operand::Kind::none)
    to.second_destination = slot_of(from.second_destination, Storage::mask);
  to.list = static_cast<uint32_t>(code_.lists.size());
  to.sources_count = static_cast<uint16_t>(from.sources.size());
  for (size_t i = 0; i < from.sources.size(); i++) {
    const Storage storage = storage_of_source(from, i);
    const Slot slot = slot_of(from.sources[i], storage);
    if (i < 4) to.sources[i] = slot;
    code_.lists.push_back(slot);
    to.negated |= from.sources[i].negated;
    if (i == 0) to.second_storage = storage;
    if (i == 0 && from.sources[i].kind == Operand::Kind::reg)
      to.short_registers = ptx::size_of(body_.registers[from.sources[i].index].type) == 2;
    if ((from.opcode == Opcode::load || from.opcode == Opcode::store) && storage != to.second_storage)
      throw ptx::ParseError(module_.name + ":" + std::to_string(from.line) +
                            ": registers of different sizes in a vector");
  }
  for (int i = 0; i < 2; i++) add_address(to, from.addresses[i], i);
  if (from.opcode == Opcode::branch) to.target = from.targets[0];
  if (from.opcode == Opcode::branch_table) {
    to.target = static_cast<int>(code_.targets.size());
    to.sources_count = static_cast<uint16_t>(from.targets.size());
    code_.targets.insert(code_.targets.end(), from.targets.begin(), from.targets.end());
  }
  note_width(to);
  code_.instructions.push_back(to);
}

}  // namespace

Code make_code(const ptx::Module& module, const ptx::Kernel& kernel, const std::vector<uint64_t>& addresses) {
  return Maker(module, kernel, addresses).make();
}

}  // namespace simulator::machine
