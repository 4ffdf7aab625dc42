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
  explicit Story(const Simulator& simulator) : simulator_(simulator) {}

  // False if it failed.
  bool step(const std::string& name, const std::function<void()>& body) {
    std::string outcome = "ok";
    try {
      body();
    } catch (const Error& error) {
      outcome = error.code + " " + error.message;
      check((error.code == "ERR_DEVICE" || error.code == "ERR_OUT_OF_MEMORY") && !error.message.empty(), text());
      if (failure_.empty()) failure_ = outcome;
      if (failed_.empty()) failed_ = name;
    }
    text_ += name + ": " + outcome + "\n";
    ends_.push_back({name, simulator_.calls()});
    return outcome == "ok";
  }
  const std::string& text() const { return text_; }
  bool has(const char* part) const { return text_.find(part) != std::string::npos; }
  void expect(bool holds) const { check(holds, text_); }
  // What failed first, and the words of the error; both empty if nothing did.
  const std::string& failed_step() const { return failed_; }
  const std::string& failure() const { return failure_; }
  // The steps, each with the number of the driver's calls until its end.
  const std::vector<std::pair<std::string, uint64_t>>& ends() const { return ends_; }

 private:
  const Simulator& simulator_;
  std::string text_, failed_, failure_;
  std::vector<std::pair<std::string, uint64_t>> ends_;
};

// Opens, copies, compiles, runs call by call, recorded, replayed and measured, and closes. What a failed call was part
// of fails, or does without; then either all goes on or the device says that it is closed.
void live_through(Story& story, const std::vector<float>& expected) {
  const std::vector<float> numbers{1, 2, 3};
  std::shared_ptr<Device> device;
  std::optional<Memory> memory;
  std::optional<TrainingProgram> program;
  const auto run = [&](bool profile) { story.expect(program->run(kScalars, profile) == expected); };
  const auto compile = [&] { program.emplace(device); };
  const auto copy_in = [&] {
    memory.emplace(device, numbers.size() * sizeof(float));
    device->upload(memory->data(), numbers.data(), memory->bytes(), nullptr);
  };
  const bool well = story.step("open", [&] { device = open_gpu(); }) && story.step("copy in", copy_in) &&
                    story.step("compile", compile) && story.step("first run", [&] { run(false); }) &&
                    story.step("recorded run", [&] { run(false); }) &&
                    story.step("replayed run", [&] { run(false); }) && story.step("measured run", [&] { run(true); }) &&
                    story.step("copy out", [&] { story.expect(read_floats(*memory) == numbers); }) &&
                    story.step("state", [&] { program->state(); }) &&
                    story.step("synchronise", [&] { device->synchronise(); });
  if (!well && device) {
    const bool again =
        (program || story.step("compile again", compile)) && story.step("run again", [&] { run(false); });
    story.expect(again || story.has("is closed since an error, and must be opened anew: "));
  }
  story.step("close", [&] {
    program.reset();
    memory.reset();
    device.reset();
  });
}

struct DriverCall {
  std::string name, step;
};

// The calls of the driver in their order when nothing fails, each with the step that it is part of.
std::vector<DriverCall> calls_of(const Simulator& simulator, const std::vector<float>& expected) {
  constexpr const char* kLog = "CUDA_SIMULATOR_LOG";
  FILE* log = std::tmpfile();
  check(log != nullptr, "cannot make a temporary file");
  simulator.restart(kLog, "/proc/self/fd/" + std::to_string(fileno(log)));
  Story story(simulator);
  live_through(story, expected);
  simulator.restart(kLog);
  std::vector<DriverCall> calls;
  char line[512], name[512];
  size_t number = 0;
  while (std::fgets(line, sizeof line, log)) {
    if (std::sscanf(line, "%zu %511s", &number, name) != 2 || number == 0) continue;
    calls.resize(std::max(calls.size(), number));
    calls[number - 1].name = name;
  }
  std::fclose(log);
  uint64_t begin = 0;
  for (const auto& [step, end] : story.ends()) {
    check(end > begin, "no call of the driver is part of: " + step);
    std::printf("        %s: %d calls of the driver\n", step.c_str(), static_cast<int>(end - begin));
    for (; begin < end; begin++) calls.at(begin).step = step;
  }
  return calls;
}

// What fails then stays, and nobody can do anything about it.
bool gives_back(const std::string& function) {
  for (const char* part : {"Free", "Destroy", "Unload", "Release"})
    if (function.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

// Whether the words of an error say which call failed. Some failures have words of their own.
static bool names(const std::string& failure, const std::string& function) {
  const std::string name = function.substr(0, function.find("_v"));
  const auto has = [&](const std::string& part) { return failure.find(part) != std::string::npos; };
  return has(name + " failed: ") || (name == "cuModuleLoadDataEx" && has(" cannot be loaded on ")) ||
         (name == "cuModuleGetFunction" && has(" has no kernel ")) ||
         (name == "cuDriverGetVersion" && has(" does not say which version "));
}

TEST(cuda_survives_any_failure_of_the_driver) {
  close_shared_gpus();
  const Simulator simulator;
  if (!simulator) {
    std::printf("        not tested: a GPU's driver cannot be made to fail\n");
    return;
  }
  const std::vector<float> expected = TrainingProgram(open_gpu()).run(kScalars);
  const std::vector<DriverCall> calls = calls_of(simulator, expected);
  check(calls.size() > 100, text("only %zu calls of the driver were seen", calls.size()));
  struct Fault {
    const char* error;
    bool lasting;  // everything fails that comes after it, giving back too: all goes with the context
  };
  for (auto [error, lasting] : {Fault{"CUDA_ERROR_UNKNOWN", false},
                                {"CUDA_ERROR_OUT_OF_MEMORY", false},
                                {"CUDA_ERROR_LAUNCH_FAILED", true},
                                {"CUDA_ERROR_ILLEGAL_ADDRESS", true}}) {
    for (size_t number = 0; number < calls.size(); number++) {
      const DriverCall& call = calls[number];
      const bool leaks = lasting || gives_back(call.name);
      simulator.restart(kFailAt, std::to_string(number + 1) + ":" + error);
      Story story(simulator);
      story.step(call.name + ", call " + std::to_string(number + 1) + ", of: " + call.step + ", fails with " + error,
                 [] {});
      live_through(story, expected);
      // What the device can do without fails later, if the failure lasts.
      if (!story.failure().empty()) {
        const bool own_words = call.name == "cuDriverGetVersion";
        story.expect(own_words || story.failure().find(error) != std::string::npos);
        story.expect(lasting || (names(story.failure(), call.name) && story.failed_step() == call.step));
      }
      // After all was closed, the process can begin anew; unless a context that has failed could not be let go.
      const bool stays = lasting && call.name.find("CtxRelease") != std::string::npos;
      story.step("anew", [&] { story.expect(TrainingProgram(open_gpu()).run(kScalars) == expected); });
      story.expect(stays || story.has("anew: ok"));
      for (const std::string& finding : simulator.findings())
        if (!leaks || finding.rfind("leak", 0) != 0) failed(story.text() + finding);
    }
  }
  simulator.restart(kFailAt);
}

}  // namespace diffuse::testing
