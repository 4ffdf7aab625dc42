// What is told of a run: findings, calls, traffic.
#pragma once

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "driver/configuration.h"
#include "report/report.h"

namespace simulator::driver {

class Journal {
 public:
  // Files are written to at their end, so that several processes may share one.
  void open(const Configuration& configuration);

  // To the report, and once to standard error.
  void finding(const report::Finding& finding);
  // What a program did wrong outside kernels. `kind` is "misuse", "memory" or "leak"; leaks go to the report alone.
  void finding(const std::string& kind, const std::string& text);
  // To standard error, once: why a module is refused, e.g.
  void say(const std::string& text);
  void call(uint64_t number, const char* name, CUresult result, const std::string& note);
  void traffic(int device, const std::string& kernel, report::Extent grid, report::Extent block, size_t shared_bytes,
               const report::Report& report);

  bool wants_traffic() const { return traffic_.is_open(); }
  const std::vector<std::string>& findings() const { return findings_; }
  void clear() { findings_.clear(); }

 private:
  void tell(const std::string& text, const std::string& json, bool aloud);
  std::ofstream report_, traffic_, log_;
  bool report_json_ = false;
  std::vector<std::string> findings_;
  std::set<std::string> told_;
};

}  // namespace simulator::driver
