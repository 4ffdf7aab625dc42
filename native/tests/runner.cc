#include "tests/runner.h"

#include <cstring>

#include "engine/error.h"

namespace diffuse::testing {

static bool passes(const Test& test) {
  try {
    test.run();
    std::printf("ok      %s\n", test.name);
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
