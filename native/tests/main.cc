// Tests of the native code that need no Node: the worker team, the choice of instruction set, and every kernel on every
// instruction set for memory errors and for equal bits with any number of threads. Numbers are checked by
// packages/testkit.
//
// usage: diffuse_native_tests [--quick] [--expect-isa NAME] [FILTER]
//   --quick             kernels on the best instruction set alone, with 1 and 3 threads: for sanitizers and emulators
//   --expect-isa NAME   fails unless NAME is the best instruction set that is found on this CPU
//   FILTER              runs only the tests whose names contain it
//
// Exit code: 0 all passed, 1 a test failed, 2 wrong usage. The last line is "N passed, N failed, N skipped".
#include <cstring>

#include "cpu/dispatch.h"
#include "engine/workers.h"
#include "tests/runner.h"

namespace diffuse::testing {

static int run(const char* filter, const char* expected_isa) {
  flush_subnormals();
  std::string found;
  for (const auto& isa : supported_isas()) found += " " + isa;
  std::printf("instruction sets:%s\n", found.c_str());
  int failures = 0;
  if (expected_isa && supported_isas().front() != expected_isa) {
    std::printf("FAILED  expected %s to be the best instruction set\n", expected_isa);
    failures++;
  }
  return run_tests(filter, failures) > 0 ? 1 : 0;
}

}  // namespace diffuse::testing

int main(int count, char** arguments) {
  const char *filter = "", *expected_isa = nullptr;
  for (int i = 1; i < count; i++) {
    if (std::strcmp(arguments[i], "--expect-isa") == 0 && i + 1 < count) {
      expected_isa = arguments[++i];
    } else if (std::strcmp(arguments[i], "--quick") == 0) {
      diffuse::testing::quick() = true;
    } else if (arguments[i][0] != '-') {
      filter = arguments[i];
    } else {
      std::fprintf(stderr, "usage: %s [--quick] [--expect-isa NAME] [FILTER]; got %s\n", arguments[0], arguments[i]);
      return 2;
    }
  }
  return diffuse::testing::run(filter, expected_isa);
}
