// The driver fails in every place where it can, once.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>

#include "engine/error.h"
#include "tests/cuda_devices.h"
#include "tests/cuda_program.h"
#include "tests/harness.h"

namespace diffuse::testing {
namespace {

constexpr const char* kFailAt = "CUDA_SIMULATOR_FAIL_AT";
constexpr TrainingProgram::Scalars kScalars{1, 0.5, 0.1, 0};

// What came of the steps of a program.
class Story {
 public:
  // False if it failed.
  bool step(const std::string& name, const std::function<void()>& body) {
    std::string outcome = "ok";
    try {
      body();
    } catch (const Error& error) {
      outcome = error.code + " " + error.message;
      check((error.code == "ERR_DEVICE" || error.code == "ERR_OUT_OF_MEMORY") && !error.message.empty(), text());
    }
    text_ += name + ": " + outcome + "\n";
    return outcome == "ok";
  }
  const std::string& text() const { return text_; }
  bool has(const char* part) const { return text_.find(part) != std::string::npos; }
  void expect(bool holds) const { check(holds, text_); }

 private:
  std::string text_;
};

// Opens, compiles, runs call by call, recorded, replayed and measured, and closes. What a failed call was part of
// fails, or does without; then either all goes on or the device says that it is closed.
void live_through(Story& story, const std::vector<float>& expected) {
  std::shared_ptr<Device> device;
  std::optional<TrainingProgram> program;
  const auto run = [&](bool profile) { story.expect(program->run(kScalars, profile) == expected); };
  const auto compile = [&] { program.emplace(device); };
  const bool well = story.step("open", [&] { device = open_gpu(); }) && story.step("compile", compile) &&
                    story.step("first run", [&] { run(false); }) && story.step("recorded run", [&] { run(false); }) &&
                    story.step("replayed run", [&] { run(false); }) && story.step("profile", [&] { run(true); }) &&
                    story.step("state", [&] { program->state(); });
  if (well || !device) return;
  const bool again = (program || story.step("compile again", compile)) && story.step("run again", [&] { run(false); });
  story.expect(again || story.has("is closed since an error, and must be opened anew: "));
}

// The driver's functions in the order in which they are called when nothing fails.
std::vector<std::string> calls_of(const Simulator& simulator, const std::vector<float>& expected) {
  constexpr const char* kLog = "CUDA_SIMULATOR_LOG";
  FILE* log = std::tmpfile();
  check(log != nullptr, "cannot make a temporary file");
  simulator.restart(kLog, "/proc/self/fd/" + std::to_string(fileno(log)));
  Story story;
  live_through(story, expected);
  simulator.restart(kLog);
  std::vector<std::string> names;
  char line[512], name[512];
  size_t number = 0;
  while (std::fgets(line, sizeof line, log)) {
    if (std::sscanf(line, "%zu %511s", &number, name) != 2 || number == 0) continue;
    names.resize(std::max(names.size(), number));
    names[number - 1] = name;
  }
  std::fclose(log);
  return names;
}

// What fails then stays, and nobody can do anything about it.
bool gives_back(const std::string& function) {
  for (const char* part : {"Free", "Destroy", "Unload", "Release"})
    if (function.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST(cuda_survives_any_failure_of_the_driver) {
  close_shared_gpus();
  const Simulator simulator;
  if (!simulator) {
    std::printf("        not tested: a GPU's driver cannot be made to fail\n");
    return;
  }
  const std::vector<float> expected = TrainingProgram(open_gpu()).run(kScalars);
  const std::vector<std::string> calls = calls_of(simulator, expected);
  check(calls.size() > 100, text("only %zu calls of the driver were seen", calls.size()));
  struct Fault {
    const char* error;
    bool lasting;  // everything fails that comes after it, giving back too: all goes with the context
  };
  for (auto [error, lasting] :
       {Fault{"CUDA_ERROR_UNKNOWN", false}, {"CUDA_ERROR_OUT_OF_MEMORY", false}, {"CUDA_ERROR_LAUNCH_FAILED", true}}) {
    for (size_t call = 0; call < calls.size(); call += quick() ? 7 : 1) {
      const bool leaks = lasting || gives_back(calls[call]);
      simulator.restart(kFailAt, std::to_string(call + 1) + ":" + error);
      Story story;
      story.step(calls[call] + ", call " + std::to_string(call + 1) + ", fails with " + error, [] {});
      live_through(story, expected);
      // After all was closed, the process can begin anew; unless a context that has failed could not be let go.
      const bool stays = lasting && calls[call].find("CtxRelease") != std::string::npos;
      story.step("anew", [&] { story.expect(TrainingProgram(open_gpu()).run(kScalars) == expected); });
      story.expect(stays || story.has("anew: ok"));
      for (const std::string& finding : simulator.findings())
        if (!leaks || finding.rfind("leak", 0) != 0) failed(story.text() + finding);
    }
  }
  simulator.restart(kFailAt);
}

}  // namespace diffuse::testing
