#include "report/report.h"

#include <utility>

namespace simulator::report {
namespace {

std::string text_of(const Extent& at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

}  // namespace

const char* name(Kind kind) {
  switch (kind) {
    case Kind::out_of_bounds:
      return "out of bounds";
    case Kind::use_after_free:
      return "use after free";
    case Kind::misaligned:
      return "misaligned";
    case Kind::uninitialised:
      return "uninitialised";
    case Kind::pending_copy:
      return "pending copy";
    case Kind::race:
      return "race";
    case Kind::divergent_barrier:
      return "divergent barrier";
    case Kind::missing_lanes:
      return "missing lanes";
    case Kind::launch_limits:
      return "launch limits";
    case Kind::hang:
      return "hang";
    case Kind::trap:
      return "trap";
    case Kind::read_only:
      return "read only";
  }
  return "unknown";
}

int driver_error(Kind kind) {
  switch (kind) {
    case Kind::out_of_bounds:
    case Kind::use_after_free:
    case Kind::read_only:
      return 700;
    case Kind::misaligned:
      return 716;
    case Kind::hang:
      return 702;
    case Kind::launch_limits:
      return 1;
    default:
      return 719;
  }
}

std::string Place::text() const {
  std::string result;
  if (line) result += file + ":" + std::to_string(line);
  if (inlined_line) result += " (inlined at " + inlined_file + ":" + std::to_string(inlined_line) + ")";
  if (line) result += ", ";
  result += "block " + text_of(block) + ", thread " + text_of(thread);
  if (ptx_line) result += ", PTX line " + std::to_string(ptx_line) + ": " + instruction;
  return result;
}

std::string Finding::text() const {
  std::string result = std::string(name(kind)) + ": " + message;
  if (!kernel.empty()) result += ", kernel " + kernel;
  if (kind != Kind::launch_limits) result += ", " + place.text();
  if (earlier) result += " The access before: " + earlier->text();
  return result;
}

void Counters::operator+=(const Counters& other) {
  warp_instructions += other.warp_instructions;
  lane_instructions += other.lane_instructions;
  global_requests += other.global_requests;
  global_bytes_read += other.global_bytes_read;
  global_bytes_written += other.global_bytes_written;
  global_sectors += other.global_sectors;
  global_sectors_ideal += other.global_sectors_ideal;
  shared_requests += other.shared_requests;
  shared_bytes_read += other.shared_bytes_read;
  shared_bytes_written += other.shared_bytes_written;
  shared_wavefronts += other.shared_wavefronts;
  shared_wavefronts_ideal += other.shared_wavefronts_ideal;
  local_bytes += other.local_bytes;
  atomics += other.atomics;
  flops_f32 += other.flops_f32;
  flops_f64 += other.flops_f64;
  flops_half += other.flops_half;
  flops_matrix += other.flops_matrix;
  special += other.special;
  barriers += other.barriers;
}

void Report::add(Finding finding) {
  count_++;
  if (!full()) findings_.push_back(std::move(finding));
}

void Report::clear() {
  count_ = 0;
  findings_.clear();
  total = {};
  lines.clear();
  classes.clear();
}

}  // namespace simulator::report
