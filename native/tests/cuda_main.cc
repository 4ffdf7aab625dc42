// Tests of the CUDA backend: every kernel against its CPU twin, and the host's side. They run on the GPUs of this
// machine or, by DIFFUSE_CUDA_DRIVER and DIFFUSE_CUDA_IMAGES, on simulated ones (scripts/test-cuda.mjs).
//
// usage: diffuse_cuda_tests [--quick] [--scenario NAME] [FILTER]
//   --quick           kernels on fewer shapes and layouts
//   --scenario NAME   what a test runs in a process of its own (cuda_scenarios.h)
//   FILTER            runs only the tests whose names contain it; the test of a kernel has the kernel's name
//
// Exit code: 0 all passed, 1 a test failed, 2 wrong usage. The last line is "N passed, N failed, N skipped".
#include <cstring>

#include "engine/error.h"
#include "engine/workers.h"
#include "tests/cuda_devices.h"
#include "tests/cuda_scenarios.h"
#include "tests/runner.h"

namespace diffuse::testing {

// What was not given back, and what the simulator found without failing a call for it.
static bool nothing_found() {
  try {
    const Simulator simulator;
    if (!simulator) return true;
    const std::vector<std::string> findings = simulator.findings();
    for (const std::string& finding : findings) std::printf("FOUND   %s\n", finding.c_str());
    return findings.empty();
  } catch (const Error&) {
    return true;  // there is no driver, as every test has said
  }
}

static bool run_cuda_tests(const char* filter) {
  const int failures = run_tests(filter, 0);
  close_shared_gpus();
  return nothing_found() && failures == 0;
}

}  // namespace diffuse::testing

int main(int count, char** arguments) {
  const char* filter = "";
  for (int i = 1; i < count; i++) {
    if (std::strcmp(arguments[i], "--quick") == 0) {
      diffuse::testing::quick() = true;
    } else if (std::strcmp(arguments[i], "--scenario") == 0 && i + 1 < count) {
      return diffuse::testing::run_scenario(arguments[i + 1]) ? 0 : 2;
    } else if (arguments[i][0] != '-') {
      filter = arguments[i];
    } else {
      std::fprintf(stderr, "usage: %s [--quick] [--scenario NAME] [FILTER]; got %s\n", arguments[0], arguments[i]);
      return 2;
    }
  }
  diffuse::flush_subnormals();
  return diffuse::testing::run_cuda_tests(filter) ? 0 : 1;
}
