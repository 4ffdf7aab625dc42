// Blocks and warps in a random order that the seed decides.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "machine/execution.h"

namespace simulator::machine {

using ptx::Special;
using report::Kind;

namespace {

// A warp runs as many instructions, on average, before another one has its turn.
constexpr uint64_t kQuantum = 256;
// More stamps than a warp's turn and the barrier or the block that follows it can take.
constexpr uint32_t kStampsAhead = 4096;

Extent place_in(uint64_t index, const Extent& extent) {
  return {static_cast<uint32_t>(index % extent.x), static_cast<uint32_t>(index / extent.x % extent.y),
          static_cast<uint32_t>(index / extent.x / extent.y)};
}

std::string limit_text(const char* what, uint64_t value, uint64_t limit) {
  return std::string(what) + ": " + std::to_string(value) + ", the limit is " + std::to_string(limit);
}

// Empty if the launch is within all limits.
std::string refusal(const Launch& launch, const Code& code) {
  const Limits& limits = launch.limits;
  const ptx::Kernel& kernel = *code.kernel;
  if (!launch.grid.count() || !launch.block.count()) return "grid and block must not be empty";
  const uint64_t threads = launch.block.count();
  if (threads > limits.threads) return limit_text("threads of a block", threads, limits.threads);
  const Extent& block = launch.block;
  if (block.x > limits.block.x || block.y > limits.block.y || block.z > limits.block.z)
    return "the block is too long in a direction";
  const Extent& grid = launch.grid;
  if (grid.x > limits.grid.x || grid.y > limits.grid.y || grid.z > limits.grid.z)
    return "the grid is too long in a direction";
  const uint64_t allowed = kernel.thread_limit();
  if (allowed && threads > allowed) return limit_text("threads of a block, by .maxntid", threads, allowed);
  if (kernel.required_threads[0] && (block.x != kernel.required_threads[0] || block.y != kernel.required_threads[1] ||
                                     block.z != kernel.required_threads[2]))
    return "the block is not the one that .reqntid asks for";
  const size_t shared = kernel.shared_bytes + launch.dynamic_shared_bytes;
  if (shared > limits.shared_bytes)
    return limit_text("bytes of shared memory, static and dynamic", shared, limits.shared_bytes);
  if (launch.parameters.size() != kernel.parameter_bytes)
    return limit_text("bytes of parameters", launch.parameters.size(), kernel.parameter_bytes);
  if (kernel.parameter_bytes > limits.parameter_bytes)
    return limit_text("bytes of parameters", kernel.parameter_bytes, limits.parameter_bytes);
  return {};
}

}  // namespace

Execution::Execution(const Launch& launch, const Code& code, report::Report& report)
    : launch_(launch),
      code_(code),
      report_(report),
      memory_(launch.program->memory()),
      stamps_(memory_.stamps),
      random_(launch.seed * 0x2545f4914f6cdd1du + 1),
      checks_(launch.checks),
      counts_(code.instructions.size()),
      last_found_(code.instructions.size()) {
  for (auto& shapes : shapes_) shapes.resize(code.instructions.size());
  if (launch.traffic) traffic_.resize(code.instructions.size());
  stamps_.begin_launch();
  if (stamps_.next() > memory::kMaxStamp - kStampsAhead) memory_.restart_stamps();
  launch_first_ = memory::first_of(stamps_.first);
}

void Execution::fail(Kind kind, const std::string& message, const Warp& warp, int lane) {
  const size_t current = std::min(warp.current, warp.fragments.size() - 1);
  fail_at(kind, message, warp, lane, warp.fragments.empty() ? 0 : warp.fragments[current].pc);
}

void Execution::fail_at(Kind kind, const std::string& message, const Warp& warp, int lane, uint32_t pc) {
  report_.add(
      {kind, message, code_.kernel->name, place(warp.block->index, warp.index, static_cast<uint32_t>(lane), pc), {}});
  throw Stopped();
}

report::Place Execution::place(uint64_t block, uint32_t warp, uint32_t lane, uint32_t pc) const {
  const ptx::Body& body = *code_.kernel->body;
  const ptx::Instruction& instruction = body.instructions[pc];
  report::Place result;
  result.file = body.file(instruction.location.file);
  result.line = instruction.location.line;
  result.inlined_file = body.file(instruction.location.inlined_file);
  result.inlined_line = instruction.location.inlined_line;
  result.ptx_line = instruction.line;
  if (static_cast<size_t>(instruction.line) <= body.source.size())
    result.instruction = body.source[instruction.line - 1];
  result.block = place_in(block, launch_.grid);
  result.thread = place_in(uint64_t(warp) * kWarpSize + lane, launch_.block);
  return result;
}

void Execution::fill_specials(const Block& block, Warp& warp) {
  const Extent &grid = launch_.grid, &size = launch_.block;
  const uint32_t warps = static_cast<uint32_t>(block.warps.size());
  Extent thread = place_in(uint64_t(warp.index) * kWarpSize, size);
  for (uint32_t lane = 0; lane < kWarpSize; lane++) {
    const uint32_t bit = 1u << lane;
    const uint32_t values[] = {thread.x,
                               thread.y,
                               thread.z,
                               size.x,
                               size.y,
                               size.z,
                               block.at.x,
                               block.at.y,
                               block.at.z,
                               grid.x,
                               grid.y,
                               grid.z,
                               lane,
                               warp.index,
                               warps,
                               0,
                               1,
                               0,
                               bit,
                               bit - 1,
                               bit | (bit - 1),
                               ~(bit | (bit - 1)),
                               ~(bit - 1),
                               static_cast<uint32_t>(launch_.dynamic_shared_bytes),
                               static_cast<uint32_t>(code_.kernel->shared_bytes + launch_.dynamic_shared_bytes),
                               kWarpSize};
    static_assert(std::size(values) == static_cast<size_t>(Special::count));
    for (const Code::SpecialSlot& special : code_.specials)
      words(warp, special.slot)[lane] = values[static_cast<size_t>(special.special)];
    if (++thread.x < size.x) continue;
    thread.x = 0;
    if (++thread.y < size.y) continue;
    thread.y = 0;
    thread.z++;
  }
}

void Execution::start_warp(Block& block, Warp& warp) {
  warp.block = &block;
  // What depends on a register that nobody wrote is not a number, or an address out of bounds.
  warp.registers.assign(code_.register_bytes, std::byte{0xff});
  warp.local.assign(code_.kernel->local_bytes * kWarpSize, std::byte{0xcb});
  warp.local_state.assign(warp.local.size(), memory::kUninitialised);
  const uint64_t threads = launch_.block.count() - static_cast<uint64_t>(warp.index) * kWarpSize;
  warp.live = threads >= kWarpSize ? kAllLanes : (1u << threads) - 1;
  warp.started = warp.live;
  warp.fragments.assign(1, Fragment{0, warp.live, -1, UINT32_MAX, Fragment::State::ready});
  warp.current = 0;
  warp.records.clear();
  warp.at_barrier = false;
  warp.copies.clear();
  std::fill(std::begin(warp.groups), std::end(warp.groups), 0);
  warp.stamp = stamps_.take({block.index, warp.index, block.epoch});
  fill_specials(block, warp);
}

void Execution::start(Block& block, uint64_t index) {
  block.index = index;
  block.at = place_in(index, launch_.grid);
  const size_t bytes = code_.dynamic_offset + launch_.dynamic_shared_bytes;
  block.shared.assign(bytes, std::byte{0xcb});
  block.state.assign(bytes, memory::kUninitialised);
  for (const auto& [first, end] : code_.gaps)
    std::fill(block.state.begin() + first, block.state.begin() + std::min(end, bytes), memory::kGap);
  block.cells.assign((bytes >> code_.shared_shift) + 1, memory::Cell{});
  block.epoch = 0;
  block.epoch_first = memory::first_of(stamps_.next());
  const uint64_t warps = (launch_.block.count() + kWarpSize - 1) / kWarpSize;
  block.warps.resize(warps);
  block.waiting = 0;
  block.running = static_cast<uint32_t>(warps);
  for (uint32_t i = 0; i < warps; i++) {
    block.warps[i].index = i;
    start_warp(block, block.warps[i]);
    ready_.push_back(&block.warps[i]);
  }
}

void Execution::release_barrier(Block& block) {
  uint32_t pc = 0;
  bool first = true;
  for (Warp& warp : block.warps) {
    if (!warp.live) continue;
    const uint32_t here = warp.fragments[0].pc;
    if (first) pc = here;
    first = false;
    if (here != pc)
      fail_at(Kind::divergent_barrier, "warps of the block wait at different barriers", warp, __builtin_ctz(warp.live),
              here);
  }
  for (Warp& warp : block.warps)
    if (warp.live != warp.started) {
      const uint32_t gone = warp.started & ~warp.live;
      const Warp& waiting =
          *std::find_if(block.warps.begin(), block.warps.end(), [](const Warp& other) { return other.live != 0; });
      fail_at(Kind::divergent_barrier,
              "thread " + std::to_string(warp.index * kWarpSize + __builtin_ctz(gone)) +
                  " of the block exited without coming here",
              waiting, __builtin_ctz(waiting.live), pc);
    }
  block.epoch++;
  block.epoch_first = memory::first_of(stamps_.next());
  const Instruction& instruction = code_.instructions[pc];
  if (instruction.opcode == ptx::Opcode::barrier_reduce) {
    uint32_t yes = 0, threads = 0;
    for (Warp& warp : block.warps) {
      yes += __builtin_popcount(predicate(warp, instruction, instruction.sources[0]) & warp.live);
      threads += __builtin_popcount(warp.live);
    }
    for (Warp& warp : block.warps) {
      uint32_t* to = words(warp, instruction.destination);
      if (instruction.mode == 0)
        for_each_lane(warp.live, [&](int lane) { to[lane] = yes; });
      else
        *to = (*to & ~warp.live) | ((instruction.mode == 1 ? yes == threads : yes != 0) ? warp.live : 0);
    }
  }
  for (Warp& warp : block.warps) {
    warp.stamp = stamps_.take({block.index, warp.index, block.epoch});
    warp.at_barrier = false;
    go_on(warp, pc);
    next_fragment(warp);
    ready_.push_back(&warp);
  }
  block.waiting = 0;
}

// A warp that waits at a barrier or has ended leaves those that run.
void Execution::leave(Warp& warp) {
  Block& block = *warp.block;
  if (warp.live)
    block.waiting++;
  else
    block.running--;
  if (block.waiting && block.waiting == block.running) release_barrier(block);
}

// When all stamps are used up (after millions of barriers) they begin anew: accesses of the past are forgotten, and
// races with them are not found.
void Execution::restart_stamps() {
  memory_.restart_stamps();
  launch_first_ = memory::first_of(stamps_.first);
  for (Block& block : blocks_) {
    std::fill(block.cells.begin(), block.cells.end(), memory::Cell{});
    block.epoch_first = launch_first_;
    for (Warp& warp : block.warps) warp.stamp = stamps_.take({block.index, warp.index, block.epoch});
  }
}

void Execution::run() {
  const uint64_t count = launch_.grid.count();
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (uint64_t i = count; i > 1; i--) std::swap(order[i - 1], order[random_.below(i)]);
  blocks_.resize(std::min<uint64_t>(count, std::max(1u, launch_.resident_blocks)));
  uint64_t started = 0;
  for (Block& block : blocks_) start(block, order[started++]);
  while (!ready_.empty()) {
    const size_t choice = random_.below(ready_.size());
    Warp& warp = *ready_[choice];
    if (stamps_.next() > memory::kMaxStamp - kStampsAhead) restart_stamps();
    run_warp(warp, 1 + random_.below(2 * kQuantum));
    if (spent_ > launch_.budget)
      fail(Kind::hang, "the launch's budget of instructions is used up", warp, __builtin_ctz(warp.live | 1u << 31));
    if (warp.live && !warp.at_barrier) continue;
    ready_[choice] = ready_.back();
    ready_.pop_back();
    leave(warp);
    Block& block = *warp.block;
    if (!block.running && started < count) start(block, order[started++]);
  }
  count_traffic();
}

bool run(const Launch& launch, report::Report& report) {
  const Code* code = launch.program->code(launch.kernel);
  report::Finding refused;
  refused.kind = Kind::launch_limits;
  refused.kernel = launch.kernel;
  refused.message = code ? refusal(launch, *code) : "the module has no such kernel";
  if (!refused.message.empty()) {
    report.add(std::move(refused));
    return false;
  }
  Execution execution(launch, *code, report);
  try {
    execution.run();
  } catch (const Stopped&) {
    return false;
  }
  return true;
}

}  // namespace simulator::machine
