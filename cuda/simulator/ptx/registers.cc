#include "ptx/registers.h"

#include <algorithm>

#include "ptx/flow.h"

namespace simulator::ptx {
namespace {

class Set {
 public:
  explicit Set(size_t count) : words_((count + 63) / 64) {}
  bool has(int index) const { return words_[index / 64] >> (index % 64) & 1; }
  void add(int index) { words_[index / 64] |= uint64_t(1) << (index % 64); }
  void remove(int index) { words_[index / 64] &= ~(uint64_t(1) << (index % 64)); }
  // True if this changed the set.
  bool add_all(const Set& other) {
    uint64_t change = 0;
    for (size_t i = 0; i < words_.size(); i++) {
      change |= other.words_[i] & ~words_[i];
      words_[i] |= other.words_[i];
    }
    return change != 0;
  }
  template <typename Visit>
  void each(Visit visit) const {
    for (size_t i = 0; i < words_.size(); i++)
      for (uint64_t rest = words_[i]; rest; rest &= rest - 1) visit(static_cast<int>(i * 64) + __builtin_ctzll(rest));
  }

 private:
  std::vector<uint64_t> words_;
};

// visit(register, whether it is written).
template <typename Visit>
void visit_registers(const Instruction& instruction, Visit visit) {
  const auto operand = [&](const Operand& candidate, bool written) {
    if (candidate.kind == Operand::Kind::reg) visit(candidate.index, written);
  };
  operand(instruction.destination, true);
  operand(instruction.second_destination, true);
  size_t written = 0;  // of the list of sources, which begins with destinations for these
  if (instruction.opcode == Opcode::load || instruction.opcode == Opcode::unpack ||
      instruction.opcode == Opcode::matrix_load)
    written = instruction.count;
  if (instruction.opcode == Opcode::matrix_multiply) written = instruction.flag ? 2 : 4;
  for (size_t i = 0; i < instruction.sources.size(); i++) operand(instruction.sources[i], i < written);
  for (const Address& address : instruction.addresses) operand(address.base, false);
  if (instruction.guard >= 0) visit(instruction.guard, false);
}

// Goes over an instruction backwards: what it writes is not needed before it, unless a guard may keep the old value;
// what it reads is.
void step_back(const Instruction& instruction, Set& alive) {
  if (instruction.guard < 0)
    visit_registers(instruction, [&](int reg, bool written) {
      if (written) alive.remove(reg);
    });
  visit_registers(instruction, [&](int reg, bool written) {
    if (!written) alive.add(reg);
  });
}

struct Liveness {
  Graph graph;
  std::vector<Set> at_end;  // of each block
};

Liveness liveness_of(const Body& body) {
  Liveness result{graph_of(body.instructions), {}};
  const size_t count = result.graph.successors.size();
  result.at_end.assign(count, Set(body.registers.size()));
  std::vector<Set> at_start(count, Set(body.registers.size()));
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t block = count - 1; block-- > 0;) {
      Set& alive = result.at_end[block];
      bool grown = false;
      for (const int to : result.graph.successors[block]) grown |= alive.add_all(at_start[to]);
      Set before = alive;
      for (int i = result.graph.first[block + 1] - 1; i >= result.graph.first[block]; i--)
        step_back(body.instructions[i], before);
      changed |= at_start[block].add_all(before) || grown;
    }
  }
  return result;
}

// From the first to the last instruction for which a register must keep its value or takes it.
struct Life {
  int reg = -1;
  int start = -1, end = -1;
  void cover(int at) {
    if (start < 0 || at < start) start = at;
    end = std::max(end, at);
  }
};

std::vector<Life> lives_of(const Body& body) {
  const Liveness liveness = liveness_of(body);
  std::vector<Life> lives(body.registers.size());
  for (size_t block = 0; block + 1 < liveness.graph.first.size(); block++) {
    const int first = liveness.graph.first[block], last = liveness.graph.first[block + 1] - 1;
    Set alive = liveness.at_end[block];
    alive.each([&](int reg) { lives[reg].cover(last); });
    for (int i = last; i >= first; i--) {
      visit_registers(body.instructions[i], [&](int reg, bool) { lives[reg].cover(i); });
      step_back(body.instructions[i], alive);
    }
    alive.each([&](int reg) { lives[reg].cover(first); });
  }
  for (size_t i = 0; i < lives.size(); i++) lives[i].reg = static_cast<int>(i);
  return lives;
}

int bytes_of(Type type) { return size_of(type) == 8 ? 8 : 4; }

}  // namespace

RegisterPlaces place_registers(const Body& body) {
  RegisterPlaces places;
  places.place.assign(body.registers.size(), -1);
  std::vector<Life> lives = lives_of(body);
  std::erase_if(lives, [](const Life& life) { return life.start < 0; });
  std::sort(lives.begin(), lives.end(), [](const Life& a, const Life& b) { return a.start < b.start; });
  // Linear scan. A place is free again after the instruction that needs it last: sources and destinations never share.
  std::vector<Life> active;
  std::vector<int> free_places[2];  // of 4 and of 8 bytes
  for (const Life& life : lives) {
    const Type type = body.registers[life.reg].type;
    if (type == Type::pred) {
      places.place[life.reg] = places.predicates++;
      continue;
    }
    std::erase_if(active, [&](const Life& other) {
      if (other.end >= life.start) return false;
      free_places[bytes_of(body.registers[other.reg].type) == 8].push_back(places.place[other.reg]);
      return true;
    });
    const int bytes = bytes_of(type);
    std::vector<int>& free = free_places[bytes == 8];
    if (free.empty()) {
      places.place[life.reg] = places.bytes;
      places.bytes += bytes;
    } else {
      places.place[life.reg] = free.back();
      free.pop_back();
    }
    active.push_back(life);
  }
  return places;
}

int registers_alive_at_once(const Body& body) {
  const Liveness liveness = liveness_of(body);
  int most = 0;
  for (size_t block = 0; block + 1 < liveness.graph.first.size(); block++) {
    Set alive = liveness.at_end[block];
    for (int i = liveness.graph.first[block + 1] - 1; i >= liveness.graph.first[block]; i--) {
      step_back(body.instructions[i], alive);
      int bytes = 0;
      alive.each([&](int reg) {
        if (body.registers[reg].type != Type::pred) bytes += bytes_of(body.registers[reg].type);
      });
      most = std::max(most, bytes / 4);
    }
  }
  return most;
}

}  // namespace simulator::ptx
