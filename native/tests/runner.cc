#include "tests/runner.h"

#include <cstring>
#include <ctime>

#include "engine/error.h"

namespace diffuse::testing {

// Seconds that the process has computed, on all of its threads.
static double seconds_computed() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

static bool passes(const Test& test) {
  constexpr double kLong = 0.5;
  const double start = seconds_computed();
  try {
    test.run();
    const double seconds = seconds_computed() - start;
    std::printf("ok      %s%s\n", test.name, seconds < kLong ? "" : text(" (%.1f s)", seconds).c_str());
    return true;
  } catch (const Error& error) {
    std::printf("FAILED  %s: %s: %s\n", test.name, error.code.c_str(), error.message.c_str());
  } catch (const std::exception& error) {
    std::printf("FAILED  %s: %s\n", test.name, error.what());
  }
  return false;
}

int run_tests(const char* filter, int failures) {
  int passed = 0, skipped = 0;
  for (const Test& test : tests()) {
    if (!std::strstr(test.name, filter)) {
      skipped++;
    } else if (passes(test)) {
      passed++;
    } else {
      failures++;
    }
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failures, skipped);
  return failures;
}

}  // namespace diffuse::testing
