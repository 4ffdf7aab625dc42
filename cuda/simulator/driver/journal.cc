#include "driver/journal.h"

#include <cstdio>

#include "driver/errors.h"
#include "driver/refusal.h"

namespace simulator::driver {

static std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (static_cast<unsigned char>(character) < ' ') {
      result += format_text("\\u%04x", character);
    } else {
      result += character;
    }
  }
  return result + '"';
}

static std::string array(report::Extent extent) { return format_text("[%u,%u,%u]", extent.x, extent.y, extent.z); }

static bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void Journal::open(const Configuration& configuration) {
  *this = Journal();
  if (!configuration.report.empty()) report_.open(configuration.report, std::ios::app);
  if (!configuration.traffic.empty()) traffic_.open(configuration.traffic, std::ios::app);
  if (!configuration.log.empty()) log_.open(configuration.log, std::ios::app);
  report_json_ = ends_with(configuration.report, ".json") || ends_with(configuration.report, ".jsonl");
}

void Journal::tell(const std::string& text, const std::string& json, bool aloud) {
  findings_.push_back(text);
  if (report_.is_open()) report_ << (report_json_ ? json : text) << std::endl;
  if (aloud) say(text);
}

void Journal::say(const std::string& text) {
  if (told_.insert(text).second) std::fprintf(stderr, "CUDA simulator: %s\n", text.c_str());
}

// The members of a place, without the braces.
static std::string json_of(const report::Place& place) {
  return "\"file\":" + quoted(place.file) + ",\"line\":" + std::to_string(place.line) +
         ",\"ptx_line\":" + std::to_string(place.ptx_line) + ",\"instruction\":" + quoted(place.instruction) +
         ",\"block\":" + array(place.block) + ",\"thread\":" + array(place.thread);
}

void Journal::finding(const report::Finding& finding) {
  const std::string earlier = finding.earlier ? ",\"earlier\":{" + json_of(*finding.earlier) + "}" : "";
  tell(finding.text(),
       "{\"kind\":" + quoted(report::name(finding.kind)) + ",\"message\":" + quoted(finding.message) +
           ",\"kernel\":" + quoted(finding.kernel) + "," + json_of(finding.place) + earlier + "}",
       true);
}

void Journal::finding(const std::string& kind, const std::string& text) {
  tell(kind + ": " + text, "{\"kind\":" + quoted(kind) + ",\"message\":" + quoted(text) + "}", kind != "leak");
}

void Journal::call(uint64_t number, const char* name, CUresult result, const std::string& note) {
  if (!log_.is_open()) return;
  const char* error = error_name(result);
  log_ << number << ' ' << name << ' ' << (error ? error : std::to_string(result));
  if (!note.empty()) log_ << ": " << note;
  log_ << std::endl;
}

void Journal::traffic(int device, const std::string& kernel, report::Extent grid, report::Extent block,
                      size_t shared_bytes, const report::Report& report) {
  const report::Counters& counters = report.total;
  std::string line = "{\"device\":" + std::to_string(device) + ",\"kernel\":" + quoted(kernel) +
                     ",\"grid\":" + array(grid) + ",\"block\":" + array(block) +
                     ",\"dynamic_shared_bytes\":" + std::to_string(shared_bytes);
  const auto add = [&](const char* name, uint64_t value) {
    line += format_text(",\"%s\":%llu", name, static_cast<unsigned long long>(value));
  };
  add("warp_instructions", counters.warp_instructions);
  add("lane_instructions", counters.lane_instructions);
  add("global_requests", counters.global_requests);
  add("global_bytes_read", counters.global_bytes_read);
  add("global_bytes_written", counters.global_bytes_written);
  add("global_sectors", counters.global_sectors);
  add("global_sectors_ideal", counters.global_sectors_ideal);
  add("shared_requests", counters.shared_requests);
  add("shared_bytes_read", counters.shared_bytes_read);
  add("shared_bytes_written", counters.shared_bytes_written);
  add("shared_wavefronts", counters.shared_wavefronts);
  add("shared_wavefronts_ideal", counters.shared_wavefronts_ideal);
  add("local_bytes", counters.local_bytes);
  add("atomics", counters.atomics);
  add("flops_f32", counters.flops_f32);
  add("flops_f64", counters.flops_f64);
  add("flops_half", counters.flops_half);
  add("flops_matrix", counters.flops_matrix);
  add("special", counters.special);
  add("barriers", counters.barriers);
  line += ",\"wasteful\":[";
  const char* comma = "";
  for (const report::LineCounters& at : report.lines) {
    const uint64_t sectors = at.counters.global_sectors - at.counters.global_sectors_ideal;
    const uint64_t wavefronts = at.counters.shared_wavefronts - at.counters.shared_wavefronts_ideal;
    if (sectors == 0 && wavefronts == 0) continue;
    line += comma + format_text("{\"place\":%s,\"sectors\":%llu,\"wavefronts\":%llu}",
                                quoted(at.file + ":" + std::to_string(at.line)).c_str(),
                                static_cast<unsigned long long>(sectors), static_cast<unsigned long long>(wavefronts));
    comma = ",";
  }
  traffic_ << line << "]}" << std::endl;
}

}  // namespace simulator::driver
