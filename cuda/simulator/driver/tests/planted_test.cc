// Planted bugs in kernels that nvcc compiled (planted/bugs.cu), and in programs that launch them: each is found by the
// check that is there for it, at its line, and the healthy twin is silent.
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>

#include "driver/tests/harness.h"

using namespace simulator::driver::testing;

namespace {

constexpr unsigned kThreads = 64, kBlocks = 2, kCount = kThreads * kBlocks;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  EXPECT(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::string& planted_ptx() {
  static const std::string text = text_of(PLANTED_BUGS ".ptx");
  return text;
}

struct Bug {
  std::string kind;
  int line = 0;   // where it is found
  int other = 0;  // of a race, if that is another line
};

// By the marks in bugs.cu.
std::map<std::string, Bug> planted_bugs() {
  std::map<std::string, Bug> bugs;
  std::istringstream source(text_of(PLANTED_SOURCE));
  std::string text, name;
  const std::regex function("__device__ void (\\w+)\\("), mark("// finds: ([a-z ]+)$");
  for (int line = 1; std::getline(source, text); line++) {
    std::smatch match;
    if (std::regex_search(text, match, function)) name = match[1];
    if (text.find("// races with it") != std::string::npos) bugs[name].other = line;
    if (!std::regex_search(text, match, mark)) continue;
    bugs[name].kind = match[1];
    bugs[name].line = line;
  }
  return bugs;
}

struct Buffers {
  CUdeviceptr in = 0, out = 0;
};
Buffers buffers(bool out_written) {
  const Buffers result{allocate(kCount), allocate(kCount)};
  const std::vector<float> ones(kCount, 1.0f);
  SUCCEED(cuMemcpyHtoD(result.in, ones.data(), kCount * sizeof(float)));
  if (out_written) SUCCEED(cuMemsetD32(result.out, 0, kCount));
  return result;
}

CUmodule load(const std::string& ptx) {
  CUmodule module;
  SUCCEED(cuModuleLoadData(&module, ptx.c_str()));
  return module;
}

CUresult launch(CUmodule module, const std::string& kernel, Buffers buffers, unsigned threads = kThreads,
                unsigned shared = 0, CUstream stream = nullptr) {
  CUfunction function;
  SUCCEED(cuModuleGetFunction(&function, module, kernel.c_str()));
  int count = kCount;
  void* parameters[] = {&buffers.in, &buffers.out, &count};
  return cuLaunchKernel(function, kBlocks, 1, 1, threads, 1, 1, shared, stream, parameters, nullptr);
}

// The findings of one launch, which ends before this returns.
std::vector<std::string> findings_of(const std::string& kernel, const char* seed) {
  start({{"SEED", seed}, {"BUDGET", "1000000"}});
  SUCCEED(launch(load(planted_ptx()), kernel, buffers(kernel.find("uninitialised") == std::string::npos)));
  cuCtxSynchronize();
  std::vector<std::string> findings;
  for (size_t i = 0; i < simulatorFindings(); i++) findings.push_back(simulatorFinding(i));
  return findings;
}

bool names_line(const std::string& finding, int line) {
  return finding.find("bugs.cu:" + std::to_string(line) + (finding.find("inlined") == std::string::npos ? "," : "")) !=
         std::string::npos;
}

void expect_found(const std::string& name, const Bug& bug, const char* seed) {
  const std::vector<std::string> findings = findings_of(name + "_planted", seed);
  const auto wrong = [&](const std::string& what) {
    throw std::runtime_error(name + ": " + what + (findings.empty() ? "" : ": " + findings[0]));
  };
  if (findings.size() != 1) wrong(std::to_string(findings.size()) + " findings");
  const std::string& finding = findings[0];
  if (finding.rfind(bug.kind + ": ", 0) != 0) wrong("no " + bug.kind);
  if (finding.find("kernel " + name + "_planted,") == std::string::npos) wrong("the kernel is not named");
  if (!names_line(finding, bug.line)) wrong("line " + std::to_string(bug.line) + " is not named");
  if (bug.kind != "race") return;
  // Which of the two comes first is up to the schedule.
  const size_t before = finding.find("The access before: ");
  if (before == std::string::npos) wrong("one access only");
  const std::string second = finding.substr(0, before), first = finding.substr(before);
  const int other = bug.other ? bug.other : bug.line;
  if (!(names_line(second, bug.line) && names_line(first, other)) &&
      !(names_line(second, other) && names_line(first, bug.line)))
    wrong("lines " + std::to_string(bug.line) + " and " + std::to_string(other) + " are not named");
}

// What the log says of the first call of a function that was refused.
std::string refusal(const std::string& call, const std::string& log) {
  std::istringstream lines(text_of(log));
  for (std::string line; std::getline(lines, line);)
    if (line.find(" " + call + " ") != std::string::npos && line.find("CUDA_SUCCESS") == std::string::npos) return line;
  return "no refused " + call;
}

void expect_part(const std::string& text, const std::string& part) {
  if (text.find(part) == std::string::npos) throw std::runtime_error("no \"" + part + "\" in \"" + text + "\"");
}

}  // namespace

TEST(planted_bugs_are_found_at_their_lines) {
  const std::map<std::string, Bug> bugs = planted_bugs();
  EXPECT(bugs.size() == 22);
  for (const auto& [name, bug] : bugs)
    for (const char* seed : {"1", "2", "3"}) expect_found(name, bug, seed);
}

TEST(their_healthy_twins_are_silent) {
  for (const auto& [name, bug] : planted_bugs())
    for (const char* seed : {"1", "2", "3"})
      for (const std::string& finding : findings_of(name + "_healthy", seed))
        throw std::runtime_error(name + ": " + finding);
}

TEST(a_missing_synchronisation_shows) {
  start();
  const CUmodule module = load(planted_ptx());
  const Buffers data = buffers(false);
  CUstream stream;
  SUCCEED(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  void* pinned;
  SUCCEED(cuMemAllocHost(&pinned, kCount * sizeof(float)));
  const auto* results = static_cast<const float*>(pinned);
  SUCCEED(cuCtxSynchronize());
  SUCCEED(launch(module, "twice", data, kThreads, 0, stream));
  SUCCEED(cuMemcpyDtoHAsync(pinned, data.out, kCount * sizeof(float), stream));
  // Read too early: not a number, whatever the memory held.
  for (unsigned i = 0; i < kCount; i++) EXPECT(results[i] != results[i]);
  SUCCEED(cuStreamSynchronize(stream));
  for (unsigned i = 0; i < kCount; i++) EXPECT(results[i] == 2);
  EXPECT(simulatorFindings() == 0);
}

TEST(memory_freed_before_its_kernel_is_found) {
  start();
  const CUmodule module = load(planted_ptx());
  const Buffers data = buffers(false);
  SUCCEED(cuMemFree(data.in));
  SUCCEED(launch(module, "twice", data));
  EXPECT_RESULT(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT(found("use after free: "));
  EXPECT(found("bugs.cu:"));
}

TEST(memory_that_is_left_is_a_leak) {
  start();
  const CUmodule module = load(planted_ptx());
  const Buffers data = buffers(false);
  SUCCEED(launch(module, "twice", data));
  SUCCEED(cuCtxSynchronize());
  SUCCEED(cuModuleUnload(module));
  SUCCEED(cuMemFree(data.in));
  SUCCEED(cuDevicePrimaryCtxRelease(0));
  simulatorReportLeaks();
  EXPECT(simulatorFindings() == 1 && found("1 allocation (512 bytes in all)"));
}

TEST(launches_over_the_limits_are_refused) {
  const std::string log = PLANTED_BUGS ".log", registers = PLANTED_BUGS ".json";
  std::ofstream(registers) << R"({"bugs": {"twice": {"architectures": {"sm_80": {"registers": 80}}}}})";
  std::ofstream(log, std::ios::trunc).close();
  start({{"LOG", log.c_str()}, {"RESOURCES", registers.c_str()}, {"CHECKS", "off"}});
  const auto expect_refused = [&](CUresult result, CUresult wanted, const std::string& call, const std::string& why) {
    EXPECT_RESULT(result, wanted);
    expect_part(refusal(call, log), why);
    std::ofstream(log, std::ios::trunc).close();
  };
  const CUmodule module = load(planted_ptx());
  const Buffers data = buffers(true);
  expect_refused(launch(module, "of_64_threads", data, 96), CUDA_ERROR_INVALID_VALUE, "cuLaunchKernel",
                 "a block of 96 x 1 x 1 threads, it was compiled for 64");
  expect_refused(launch(module, "dynamic_shared", data, 1056), CUDA_ERROR_INVALID_VALUE, "cuLaunchKernel",
                 "a block of 1056 x 1 x 1 threads");
  SUCCEED(launch(module, "twice", data, 768));
  expect_refused(launch(module, "twice", data, 1024), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "cuLaunchKernel",
                 "1024 x 1 x 1 threads of 80 registers");
  // More than 48 KB of dynamic shared memory have to be asked for.
  expect_refused(launch(module, "dynamic_shared", data, kThreads, 49153), CUDA_ERROR_INVALID_VALUE, "cuLaunchKernel",
                 "49153 bytes of dynamic shared memory, 49152 are allowed; cuFuncSetAttribute may allow more");
  CUfunction function;
  SUCCEED(cuModuleGetFunction(&function, module, "dynamic_shared"));
  SUCCEED(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 49153));
  SUCCEED(launch(module, "dynamic_shared", data, kThreads, 49153));
  SUCCEED(cuCtxSynchronize());
  EXPECT(simulatorFindings() == 0);
  CUmodule refused;
  expect_refused(cuModuleLoadData(&refused, text_of(PLANTED_TOO_MUCH_SHARED ".ptx").c_str()), CUDA_ERROR_INVALID_PTX,
                 "cuModuleLoadData", "too_much_shared uses 65536 bytes of static shared memory, 49152 are the most");
}
