// What a launch did wrong, in the words of the kernel's source.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace simulator::report {

enum class Kind {
  out_of_bounds,      // no allocation, or beyond its end
  use_after_free,     // an allocation that was released
  misaligned,         // an address that is no multiple of what is read or written
  uninitialised,      // a read of what nobody wrote
  pending_copy,       // a touch of the destination of a cp.async that was not waited for
  race,               // two threads, one of them writing, no barrier between
  divergent_barrier,  // some threads of the block can never arrive
  missing_lanes,      // a warp-wide instruction without all lanes of its mask
  launch_limits,      // more threads or memory than device or kernel allow
  hang,               // the budget of instructions is used up
  trap,               // the kernel's own `trap`
  read_only,          // a write to constant memory or to parameters
};

const char* name(Kind);

// The error of CUDA's driver that hardware would give for such a finding, as its CUresult: 700 (illegal address),
// 716 (misaligned), 702 (timeout), 1 (invalid value, before anything ran), 719 (launch failed).
int driver_error(Kind);

struct Extent {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
};

// An instruction and the thread that came to it.
struct Place {
  std::string file;  // of the .cu, empty if the PTX has no line information
  int line = 0;
  std::string inlined_file;  // where the function that holds the line was inlined; empty if it was not
  int inlined_line = 0;
  int ptx_line = 0;
  std::string instruction;  // the line of PTX
  Extent block{0, 0, 0};
  Extent thread{0, 0, 0};

  // "file:line, block (1, 0, 0), thread (5, 0, 0), PTX line 7: …"
  std::string text() const;
};

struct Finding {
  Kind kind = Kind::trap;
  std::string message;  // what happened, without the place
  std::string kernel;
  Place place;
  std::optional<Place> earlier;  // of a race: the access before, in the same launch

  // "race: …, kernel …, file:line, block …; the access before: file:line, block …"
  std::string text() const;
};

// What a launch cost, summed over an instruction, a source line or a whole launch.
struct Counters {
  uint64_t warp_instructions = 0;
  uint64_t lane_instructions = 0;
  uint64_t global_requests = 0;
  uint64_t global_bytes_read = 0;
  uint64_t global_bytes_written = 0;
  uint64_t global_sectors = 0;        // of 32 bytes, as touched
  uint64_t global_sectors_ideal = 0;  // as many as the bytes would fill
  uint64_t shared_requests = 0;
  uint64_t shared_bytes_read = 0;
  uint64_t shared_bytes_written = 0;
  uint64_t shared_wavefronts = 0;
  uint64_t shared_wavefronts_ideal = 0;  // bank conflicts are the difference
  uint64_t local_bytes = 0;
  uint64_t atomics = 0;
  uint64_t flops_f32 = 0;
  uint64_t flops_f64 = 0;
  uint64_t flops_half = 0;    // f16, bf16 outside the matrix unit
  uint64_t flops_matrix = 0;  // mma
  uint64_t special = 0;       // approximate functions
  uint64_t barriers = 0;
  void operator+=(const Counters&);
};

// Where an instruction's counters belong.
struct LineCounters {
  std::string file;
  int line = 0;
  Counters counters;
};

struct ClassCount {
  std::string name;  // an opcode with its types: "fma.f32"
  uint64_t warp_instructions = 0;
  uint64_t lane_instructions = 0;
};

// Findings of one or more launches, the first `limit` of them; and the counters of the last launch.
class Report {
 public:
  explicit Report(size_t limit = 16) : limit_(limit) {}
  void add(Finding finding);
  bool full() const { return findings_.size() >= limit_; }
  const std::vector<Finding>& findings() const { return findings_; }
  uint64_t count() const { return count_; }  // also of those that were not kept
  void clear();

  // Counters are complete if the launch asked for traffic; else those of memory stay zero.
  Counters total;
  std::vector<LineCounters> lines;  // by file and line
  std::vector<ClassCount> classes;  // by frequency

 private:
  size_t limit_;
  uint64_t count_ = 0;
  std::vector<Finding> findings_;
};

}  // namespace simulator::report
