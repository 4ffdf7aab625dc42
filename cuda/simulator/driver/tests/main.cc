// Tests of the stand-in driver, called as a program would.
//
// usage: simulator_driver_tests [FILTER]
//   FILTER    runs only the tests whose names contain it
//
// Exit code: 0 all passed, 1 a test failed. The last line is "N passed, N failed, N skipped".
#include <cstring>

#include "driver/tests/harness.h"

namespace simulator::driver::testing {

void restart(const Settings& settings) {
  for (const char* name : {"DEVICES", "MEMORY", "SEED", "CHECKS", "DRIVER_VERSION", "INIT_ERROR", "FAIL_AT",
                           "FAIL_CALL", "REPORT", "TRAFFIC", "LOG", "RESOURCES", "BUDGET"})
    unsetenv((std::string("CUDA_SIMULATOR_") + name).c_str());
  for (const auto& [name, value] : settings) setenv((std::string("CUDA_SIMULATOR_") + name).c_str(), value, 1);
  simulatorRestart();
}

void start(const Settings& settings) {
  restart(settings);
  SUCCEED(cuInit(0));
  CUcontext context;
  SUCCEED(cuDevicePrimaryCtxRetain(&context, 0));
  SUCCEED(cuCtxSetCurrent(context));
}

bool found(const std::string& text) {
  for (size_t i = 0; i < simulatorFindings(); i++) {
    if (std::string(simulatorFinding(i)).find(text) != std::string::npos) return true;
  }
  return false;
}

static int run_all(const char* filter) {
  int passed = 0, failed = 0, skipped = 0;
  for (const Test& test : tests()) {
    if (!std::strstr(test.name, filter)) {
      skipped++;
      continue;
    }
    try {
      test.run();
      passed++;
      std::printf("ok      %s\n", test.name);
    } catch (const std::exception& error) {
      failed++;
      std::printf("FAILED  %s: %s\n", test.name, error.what());
      for (size_t i = 0; i < simulatorFindings(); i++) std::printf("        %s\n", simulatorFinding(i));
    }
    std::fflush(stdout);
  }
  // So that what tests leave behind is no leak of theirs.
  restart({});
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : 0;
}

}  // namespace simulator::driver::testing

int main(int count, char** arguments) { return simulator::driver::testing::run_all(count > 1 ? arguments[1] : ""); }
