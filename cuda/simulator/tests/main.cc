// simulator_tests [FILTER]
#include <cstdio>
#include <exception>
#include <utility>

#include "tests/harness.h"

namespace simulator::tests {
namespace {

std::vector<std::pair<const char*, void (*)()>>& cases() {
  static std::vector<std::pair<const char*, void (*)()>> registered;
  return registered;
}

}  // namespace

Registration::Registration(const char* name, void (*run)()) { cases().push_back({name, run}); }

}  // namespace simulator::tests

int main(int argc, char** argv) {
  const std::string filter = argc > 1 ? argv[1] : "";
  int passed = 0, failed = 0;
  for (const auto& [name, run] : simulator::tests::cases()) {
    if (std::string(name).find(filter) == std::string::npos) continue;
    try {
      run();
      passed++;
    } catch (const std::exception& error) {
      failed++;
      std::printf("FAILED %s: %s\n", name, error.what());
    }
  }
  if (filter.empty())
    for (const simulator::ptx::Function* function : simulator::ptx::all_functions()) {
      if (simulator::tests::functions_run().count(function)) continue;
      failed++;
      std::printf("FAILED %s is not run by any test\n", function->name);
    }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed ? 1 : 0;
}
