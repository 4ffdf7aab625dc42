#include "tests/cuda_scenarios.h"

#include <unistd.h>

#include <cstdio>

#include "cuda/devices.h"
#include "engine/error.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"

namespace diffuse::testing {

namespace {

void report() {
  const cuda::GpuReport report = cuda::report_gpus();
  std::printf("driver '%s', reason '%s'\n", report.driver_version.c_str(), report.reason.c_str());
  for (const cuda::Gpu& gpu : report.gpus)
    std::printf("cuda:%d %s, refusal '%s'\n", gpu.ordinal, gpu.name.c_str(), gpu.refusal.c_str());
}

void open() {
  try {
    std::printf("open: %s\n", open_gpu()->name().c_str());
  } catch (const Error& error) {
    std::printf("open: %s %s\n", error.code.c_str(), error.message.c_str());
  }
}

constexpr struct {
  const char* name;
  void (*run)();
} kScenarios[] = {{"report", report}, {"open", open}};

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
