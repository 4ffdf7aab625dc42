// The state of warps and blocks while a kernel runs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "machine/code.h"
#include "memory/shadow.h"
#include "report/report.h"

namespace simulator::machine {

constexpr uint32_t kAllLanes = 0xffffffffu;
constexpr int kWarpSize = 32;

// Threads of a warp that run together. Where they part, each side becomes a fragment of its own; a record waits at the
// place where they meet again.
struct Fragment {
  enum class State : uint8_t { ready, at_sync, at_barrier };
  uint32_t pc = 0;
  uint32_t mask = 0;
  int record = -1;             // that it will arrive at
  uint32_t stop = UINT32_MAX;  // the record's place
  State state = State::ready;
};

struct Record {
  uint32_t pc = 0;
  uint32_t expected = 0;  // 0: the record is free
  uint32_t arrived = 0;
  int parent = -1;
};

// A cp.async of a warp, from its issue to its wait.
struct AsyncCopy {
  uint32_t mask;  // lanes that did not wait yet
  uint32_t pc;
  int bytes;
  uint32_t group[kWarpSize];
  uint32_t to[kWarpSize];
  uint8_t data[kWarpSize][16];
};

struct Block;

struct Warp {
  Block* block = nullptr;
  uint32_t index = 0;  // in its block
  std::vector<std::byte> registers;
  std::vector<std::byte> local;  // of all lanes, one lane's after the other's
  std::vector<uint8_t> local_state;
  uint32_t live = 0, started = 0;
  uint32_t stamp = 0;
  std::vector<Fragment> fragments;
  size_t current = 0;
  std::vector<Record> records;
  bool at_barrier = false;
  std::vector<AsyncCopy> copies;
  uint32_t groups[kWarpSize] = {};  // ended by each lane

  Fragment& fragment() { return fragments[current]; }
};

struct Block {
  uint64_t index = 0;
  report::Extent at{0, 0, 0};
  std::vector<Warp> warps;
  std::vector<std::byte> shared;
  std::vector<uint8_t> state;
  std::vector<memory::Cell> cells;
  uint32_t epoch = 0;
  memory::Access epoch_first = 0;     // accesses before it are ordered by a barrier
  uint32_t waiting = 0, running = 0;  // warps
};

// Lanes of a mask, one after the other.
template <typename Visit>
inline void for_each_lane(uint32_t mask, Visit visit) {
  for (uint32_t rest = mask; rest; rest &= rest - 1) visit(__builtin_ctz(rest));
}

}  // namespace simulator::machine
