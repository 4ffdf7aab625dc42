// One launch while it runs. Its parts: run.cc (blocks and warps in turn), execute.cc (instructions), control.cc
// (threads that part and meet), memory_access.cc, atomics.cc, copies.cc, warp_operations.cc, matrices.cc, touches.cc
// and checks.cc (the shadows of memory), traffic.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machine/code.h"
#include "machine/lane_shape.h"
#include "machine/launch.h"
#include "machine/random.h"
#include "machine/warp.h"

namespace simulator::machine {

// Thrown at a finding, which is in the report by then.
struct Stopped {};

// A piece of memory that lanes of an access lie in, with its shadows.
struct Region {
  std::byte* data = nullptr;
  uint8_t* state = nullptr;       // null for parameters
  memory::Cell* cells = nullptr;  // null for memory of one thread
  uint64_t address = 0, bytes = 0;
  int shift = 0;             // of the cells' granules
  memory::Access first = 0;  // older accesses are ordered
  ptx::Space space = ptx::Space::global;
  bool read_only = false;
};

enum class Touch : uint8_t { read, strong_read, write, atomic };

// How far an earlier access of this launch is from what a warp does now: in the warp's turn since it met a barrier; in
// an earlier turn of it; in another warp, since the block met a barrier; in the block before that; in another block.
enum class Distance : uint8_t { same_turn, same_warp, other_warp, other_epoch, other_block };

class Execution {
 public:
  Execution(const Launch& launch, const Code& code, report::Report& report);
  void run();

 private:
  // run.cc
  void start(Block& block, uint64_t index);
  void start_warp(Block& block, Warp& warp);
  void fill_specials(const Block& block, Warp& warp);
  void release_barrier(Block& block);
  void leave(Warp& warp);
  void restart_stamps();

  // execute.cc
  // At most `quantum` instructions.
  void run_warp(Warp& warp, uint64_t quantum);
  void run_function(Warp& warp, const Instruction& instruction, uint32_t mask);
  void add_noise(const Instruction& instruction, void* lanes);
  void compare(Warp& warp, const Instruction& instruction, uint32_t mask);
  void select(Warp& warp, const Instruction& instruction, uint32_t mask);
  void pack(Warp& warp, const Instruction& instruction, uint32_t mask);
  void unpack(Warp& warp, const Instruction& instruction, uint32_t mask);
  void active_mask(Warp& warp, const Instruction& instruction, uint32_t mask);

  // control.cc
  void branch(Warp& warp, const Instruction& instruction, uint32_t taken);
  void branch_table(Warp& warp, const Instruction& instruction, uint32_t mask);
  void part(Warp& warp, const Instruction& instruction, const std::vector<std::pair<uint32_t, uint32_t>>& ways);
  void exit(Warp& warp, uint32_t mask);
  void settle(Warp& warp);
  int take_record(Warp& warp);
  bool next_fragment(Warp& warp);
  bool resolve_sync(Warp& warp);
  void go_on(Warp& warp, uint32_t pc);
  // Whether the lanes that have to take part are all here; if not, the fragment waits for the others.
  bool gathered(Warp& warp, const Instruction& instruction, uint32_t mask);
  uint32_t members(Warp& warp, const Instruction& instruction, uint32_t mask);
  void run_together(Warp& warp, const Instruction& instruction, uint32_t mask);
  void arrive(Warp& warp, const Instruction& instruction, uint32_t mask);

  // memory_access.cc
  void load(Warp& warp, const Instruction& instruction, uint32_t mask);
  void store(Warp& warp, const Instruction& instruction, uint32_t mask);
  void convert_address(Warp& warp, const Instruction& instruction, uint32_t mask);
  void is_space(Warp& warp, const Instruction& instruction, uint32_t mask);
  void addresses(const Warp& warp, const Instruction& instruction, int which, uint64_t (&result)[kWarpSize]) const;
  // The space of a generic access and the lanes that go there; their addresses become those of the space.
  ptx::Space resolve(const Instruction& instruction, uint32_t& mask, uint64_t (&at)[kWarpSize]) const;
  void access(Warp& warp, const Instruction& instruction, ptx::Space space, uint32_t mask, uint64_t (&at)[kWarpSize]);
  // That of the warp's instruction; it may have two, as copies do.
  const LaneShape& shape_of(const Warp& warp, uint32_t mask, const uint64_t (&at)[kWarpSize], uint32_t bytes,
                            int which = 0);
  void check_alignment(Warp& warp, const LaneShape& shape, const uint64_t (&at)[kWarpSize]);
  Region region_of(Warp& warp, ptx::Space space, uint64_t address, uint32_t bytes, int lane);
  Region shared_region(Block& block) const;

  // touches.cc
  // `offset`: of what the first lane of the shape accesses.
  void touch_lanes(Warp& warp, const Region& region, Touch kind, const LaneShape& shape, uint64_t offset);
  void set_state(const Region& region, memory::ByteState state, const LaneShape& shape, uint64_t offset);
  bool touch_alike(const Warp& warp, const Region& region, bool write, const LaneShape& shape, uint64_t offset);

  // checks.cc
  void touch(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes);
  void check_state(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes);
  void check_race(Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset, uint32_t bytes);
  Distance distance(const Warp& warp, memory::Access earlier) const;
  bool ordered(const Warp& warp, memory::Access earlier, int lane) const;
  memory::Access joined(const Warp& warp, memory::Access earlier, memory::Access mine) const;
  bool conflicts(const Warp& warp, memory::Access reads, int lane) const;
  [[noreturn]] void fail_race(const Warp& warp, const Region& region, Touch kind, int lane, uint64_t offset,
                              memory::Access earlier, bool write);

  // atomics.cc, copies.cc
  void atomic(Warp& warp, const Instruction& instruction, uint32_t mask);
  void copy_async(Warp& warp, const Instruction& instruction, uint32_t mask);
  void commit_copies(Warp& warp, uint32_t mask);
  void wait_copies(Warp& warp, const Instruction& instruction, uint32_t mask);

  // warp_operations.cc, matrices.cc
  void shuffle(Warp& warp, const Instruction& instruction, uint32_t mask);
  void vote(Warp& warp, const Instruction& instruction, uint32_t mask);
  void match(Warp& warp, const Instruction& instruction, uint32_t mask);
  void reduce(Warp& warp, const Instruction& instruction, uint32_t mask);
  void warp_barrier(Warp& warp);
  void matrix_multiply(Warp& warp, const Instruction& instruction);
  void matrix_move(Warp& warp, const Instruction& instruction);

  // traffic.cc
  void note_global(Warp& warp, uint32_t mask, const uint64_t (&at)[kWarpSize], uint32_t bytes, bool write);
  void note_shared(Warp& warp, uint32_t mask, const uint64_t (&at)[kWarpSize], uint32_t bytes, bool write);
  void count_traffic();

  [[noreturn]] void fail(report::Kind kind, const std::string& message, const Warp& warp, int lane);
  report::Place place(uint64_t block, uint32_t warp, uint32_t lane, uint32_t pc) const;
  [[noreturn]] void fail_at(report::Kind kind, const std::string& message, const Warp& warp, int lane, uint32_t pc);

  void* at(Warp& warp, Slot slot) {
    return const_cast<std::byte*>(slot & kConstant ? code_.constants.data() + (slot & ~kConstant)
                                                   : warp.registers.data() + slot);
  }
  const void* at(const Warp& warp, Slot slot) const {
    return const_cast<Execution*>(this)->at(const_cast<Warp&>(warp), slot);
  }
  uint32_t* words(Warp& warp, Slot slot) { return static_cast<uint32_t*>(at(warp, slot)); }
  // The mask of a predicate; with the instruction's "!".
  uint32_t predicate(Warp& warp, const Instruction& instruction, Slot slot) {
    return *words(warp, slot) ^ (instruction.negated ? kAllLanes : 0);
  }

  const Launch& launch_;
  const Code& code_;
  report::Report& report_;
  memory::DeviceMemory& memory_;
  memory::Stamps& stamps_;
  memory::Access launch_first_ = 0;
  Random random_;
  bool checks_;
  uint64_t spent_ = 0;
  std::vector<Block> blocks_;  // resident
  std::vector<Warp*> ready_;
  struct Count {
    uint64_t warps = 0, lanes = 0;
  };
  std::vector<Count> counts_;                          // of each instruction
  std::vector<report::Counters> traffic_;              // of each instruction
  std::vector<memory::Allocation*> last_found_;        // by each instruction
  std::vector<std::unique_ptr<LaneShape>> shapes_[3];  // of each instruction's last access
};

}  // namespace simulator::machine
