#include "tests/cuda_scenarios.h"

#include <unistd.h>

#include <cstdio>
#include <optional>

#include "cuda/devices.h"
#include "engine/error.h"
#include "tests/cuda_devices.h"
#include "tests/cuda_program.h"
#include "tests/harness.h"

namespace diffuse::testing {

namespace {

void report() {
  const cuda::GpuReport report = cuda::report_gpus();
  std::printf("driver '%s', reason '%s'\n", report.driver_version.c_str(), report.reason.c_str());
  for (const cuda::Gpu& gpu : report.gpus)
    std::printf("cuda:%d %s, refusal '%s'\n", gpu.ordinal, gpu.name.c_str(), gpu.refusal.c_str());
}

// Says "what: ok" or with what it failed.
template <typename Body>
bool attempt(const char* what, Body body) {
  try {
    body();
    std::printf("%s: ok\n", what);
    return true;
  } catch (const Error& error) {
    std::printf("%s: %s %s\n", what, error.code.c_str(), error.message.c_str());
    return false;
  }
}

constexpr TrainingProgram::Scalars kScalars{1, 0.5, 0.1, 0};

// Everything that a program does, of which one call of the driver's fails; then whether the device can be used on, and
// whether one that is opened anew can be.
void faults() {
  {
    std::shared_ptr<Device> device;
    std::optional<TrainingProgram> program;
    const bool well =
        attempt("open", [&] { device = open_gpu(); }) && attempt("compile", [&] { program.emplace(device); }) &&
        attempt("first run", [&] { program->run(kScalars); }) &&
        attempt("recorded run", [&] { program->run(kScalars); }) &&
        attempt("replayed run", [&] { program->run(kScalars); }) &&
        attempt("profile", [&] { program->run(kScalars, true); }) && attempt("state", [&] { program->state(); });
    if (!well && device) {
      if (!program) attempt("compile afterwards", [&] { program.emplace(device); });
      if (program) attempt("run afterwards", [&] { program->run(kScalars); });
      if (program) attempt("run once more", [&] { program->run(kScalars); });
    }
  }
  attempt("anew", [] { TrainingProgram(open_gpu()).run(kScalars); });
}

constexpr struct {
  const char* name;
  void (*run)();
} kScenarios[] = {{"report", report}, {"open", [] { attempt("open", [] { open_gpu(); }); }}, {"faults", faults}};

}  // namespace

bool run_scenario(const std::string& name) {
  for (const auto& scenario : kScenarios) {
    if (name != scenario.name) continue;
    scenario.run();
    return true;
  }
  return false;
}

std::string scenario(const std::string& name, const std::map<std::string, std::string>& environment) {
  char program[4096] = "";
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  check(length > 0, "cannot find the path of this program");
  std::string command = "env";
  for (const auto& [variable, value] : environment) command += " '" + variable + "=" + value + "'";
  command += " '" + std::string(program, static_cast<size_t>(length)) + "' --scenario " + name + " 2>&1";
  FILE* output = popen(command.c_str(), "r");
  check(output != nullptr, "cannot run " + command);
  std::string text;
  for (int character; (character = std::fgetc(output)) != EOF;) text += static_cast<char>(character);
  const int status = pclose(output);
  check(status == 0, command + " ended with status " + std::to_string(status) + ":\n" + text);
  return text;
}

}  // namespace diffuse::testing
