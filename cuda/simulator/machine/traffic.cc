// What a launch cost: instructions, operations, sectors of global memory, wavefronts of shared memory.
#include <algorithm>
#include <map>

#include "machine/execution.h"

namespace simulator::machine {
namespace {

constexpr uint64_t kSectorBytes = 32, kBanks = 32, kBankBytes = 4;

report::Counters operations_of(const ptx::Instruction& instruction, uint64_t warps, uint64_t lanes) {
  report::Counters counters;
  counters.warp_instructions = warps;
  counters.lane_instructions = lanes;
  switch (instruction.opcode) {
    case ptx::Opcode::matrix_multiply:
      counters.flops_matrix = warps * 2 * 16 * 8 * instruction.count;
      break;
    case ptx::Opcode::barrier:
    case ptx::Opcode::barrier_reduce:
      counters.barriers = warps;
      break;
    case ptx::Opcode::atomic:
      counters.atomics = lanes;
      break;
    default:
      break;
  }
  if (!instruction.function) return counters;
  const uint64_t operations = lanes * instruction.function->operations;
  switch (instruction.function->kind) {
    case ptx::FunctionClass::f32:
      counters.flops_f32 = operations;
      break;
    case ptx::FunctionClass::f64:
      counters.flops_f64 = operations;
      break;
    case ptx::FunctionClass::half:
      counters.flops_half = operations;
      break;
    case ptx::FunctionClass::special:
      counters.special = lanes;
      break;
    default:
      break;
  }
  return counters;
}

}  // namespace

void Execution::note_global(Warp& warp, uint32_t mask, const uint64_t (&at)[kWarpSize], uint32_t bytes, bool write) {
  report::Counters& counters = traffic_[warp.fragment().pc];
  std::vector<uint64_t> starts;
  for_each_lane(mask, [&](int lane) { starts.push_back(at[lane]); });
  const uint64_t touched = starts.size() * bytes;
  (write ? counters.global_bytes_written : counters.global_bytes_read) += touched;
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  uint64_t sectors = 0, last = UINT64_MAX;
  for (const uint64_t start : starts)
    for (uint64_t sector = start / kSectorBytes; sector <= (start + bytes - 1) / kSectorBytes; sector++) {
      sectors += sector != last;
      last = sector;
    }
  counters.global_requests++;
  counters.global_sectors += sectors;
  counters.global_sectors_ideal += (starts.size() * bytes + kSectorBytes - 1) / kSectorBytes;
}

// A wavefront serves one word of each bank. Accesses of 8 and 16 bytes are done by halves and quarters of the warp.
void Execution::note_shared(Warp& warp, uint32_t mask, const uint64_t (&at)[kWarpSize], uint32_t bytes, bool write) {
  report::Counters& counters = traffic_[warp.fragment().pc];
  const int lanes_at_once = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  const uint64_t words_of_lane = std::max<uint64_t>(bytes / kBankBytes, 1);
  counters.shared_requests++;
  (write ? counters.shared_bytes_written : counters.shared_bytes_read) += uint64_t(__builtin_popcount(mask)) * bytes;
  for (int first = 0; first < kWarpSize; first += lanes_at_once) {
    std::vector<uint64_t> words;
    for (int lane = first; lane < first + lanes_at_once; lane++)
      if (mask >> lane & 1)
        for (uint64_t i = 0; i < words_of_lane; i++) words.push_back(at[lane] / kBankBytes + i);
    if (words.empty()) continue;
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    uint64_t of_bank[kBanks] = {};
    for (const uint64_t word : words) of_bank[word % kBanks]++;
    counters.shared_wavefronts += *std::max_element(of_bank, of_bank + kBanks);
    counters.shared_wavefronts_ideal += (words.size() + kBanks - 1) / kBanks;
  }
}

// Lines and classes of instructions are told with the traffic alone.
void Execution::count_traffic() {
  const ptx::Body& body = *code_.kernel->body;
  std::map<std::pair<int, int>, report::Counters> by_line;
  std::map<std::string, report::ClassCount> by_class;
  report_.total = {};
  for (size_t pc = 0; pc < counts_.size(); pc++) {
    if (!counts_[pc].warps) continue;
    const ptx::Instruction& instruction = body.instructions[pc];
    report::Counters counters = operations_of(instruction, counts_[pc].warps, counts_[pc].lanes);
    if (!traffic_.empty()) counters += traffic_[pc];
    report_.total += counters;
    if (traffic_.empty()) continue;
    by_line[{instruction.location.file, instruction.location.line}] += counters;
    report::ClassCount& count = by_class[instruction.mnemonic];
    count.warp_instructions += counts_[pc].warps;
    count.lane_instructions += counts_[pc].lanes;
  }
  report_.lines.clear();
  for (const auto& [place, counters] : by_line)
    report_.lines.push_back({body.file(place.first), place.second, counters});
  report_.classes.clear();
  for (auto& [name, count] : by_class) {
    count.name = name;
    report_.classes.push_back(count);
  }
  std::sort(
      report_.classes.begin(), report_.classes.end(), [](const report::ClassCount& a, const report::ClassCount& b) {
        return a.warp_instructions != b.warp_instructions ? a.warp_instructions > b.warp_instructions : a.name < b.name;
      });
}

}  // namespace simulator::machine
