// What kernels cost on aligned images, as the simulator counts it: no bank of shared memory is asked for two words at
// once, and sectors of global memory, 32 bytes, are read and written whole. GPUs tell neither of a test.
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "tests/cuda_calls.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"

namespace diffuse::testing {
namespace {

constexpr const char *kTraffic = "CUDA_SIMULATOR_TRAFFIC", *kDevices = "CUDA_SIMULATOR_DEVICES";
const Numbers kNone;

// Where sectors are read in part, as comments there say: the numbers of a channel that a thread needs for all its
// pixels.
constexpr const char* kNumbersOfChannels[] = {"cuda/common/normalise.h:", "cuda/gemm/convolution_outputs.h:"};

// Lets a GPU of the simulator tell what launches cost. One multiprocessor is filled by small problems, so that kernels
// are chosen for them as for large ones.
class TrafficOfGpu {
 public:
  explicit TrafficOfGpu(const Simulator& simulator)
      : simulator_(simulator), devices_(std::getenv(kDevices) ? std::getenv(kDevices) : ""), file_(std::tmpfile()) {
    check(file_ != nullptr, "cannot make a temporary file");
    close_shared_gpus();
    simulator_.restart(kDevices, "a100@1");
    simulator_.restart(kTraffic, "/proc/self/fd/" + std::to_string(fileno(file_)));
  }
  ~TrafficOfGpu() {
    close_shared_gpus();
    simulator_.restart(kTraffic);
    devices_.empty() ? simulator_.restart(kDevices) : simulator_.restart(kDevices, devices_);
    std::fclose(file_);
  }
  TrafficOfGpu(const TrafficOfGpu&) = delete;
  TrafficOfGpu& operator=(const TrafficOfGpu&) = delete;

  // What has been told since the last time, a launch a line.
  std::vector<std::string> lines() {
    std::vector<std::string> lines(1);
    for (int character; (character = std::fgetc(file_)) != EOF;)
      character == '\n' ? lines.emplace_back() : lines.back() += static_cast<char>(character);
    std::clearerr(file_);
    lines.pop_back();
    return lines;
  }

 private:
  const Simulator& simulator_;
  const std::string devices_;
  FILE* const file_;
};

std::string string_of(const std::string& line, const char* key) {
  const std::string before = std::string("\"") + key + "\":\"";
  const size_t at = line.find(before);
  check(at != std::string::npos, "no " + before + " in " + line);
  return line.substr(at + before.size(), line.find('"', at + before.size()) - at - before.size());
}

bool has_numbers_of_channels(const std::string& place) {
  for (const char* file : kNumbersOfChannels)
    if (place.rfind(file, 0) == 0) return true;
  return false;
}

// What a launch wastes where it should not, in words.
std::string waste_of(const std::string& line) {
  constexpr const char* kPlace = "{\"place\":";
  check(line.find("\"wasteful\":[") != std::string::npos, "no places of waste in " + line);
  std::string waste;
  for (size_t at = line.find(kPlace); at != std::string::npos; at = line.find(kPlace, at + 1)) {
    const std::string entry = line.substr(at, line.find('}', at) + 1 - at), place = string_of(entry, "place");
    const bool conflicts = entry.find("\"wavefronts\":0}") == std::string::npos;
    if (conflicts || !has_numbers_of_channels(place)) waste += "\n          " + entry;
  }
  return waste;
}

Numbers image(std::vector<int64_t> shape, uint64_t seed) {
  Numbers result = noise(std::move(shape), seed);
  result.dtype = DType::bf16;
  return result;
}
Numbers empty_image(std::vector<int64_t> shape) { return {std::move(shape), {}, DType::bf16}; }

void add_convolution(std::vector<KernelCall>& calls, int64_t columns, int64_t K) {
  constexpr int64_t C = 64, H = 8;
  const std::vector<int64_t> in{1, H, columns, C}, out{1, H, columns, K};
  const Numbers x = image(in, 1), dy = image(out, 2), weight = noise({3, 3, C, K}, 3), &no = kNone;
  const Numbers mean = noise({1, 8}, 4), rstd = noise({1, 8}, 5, 0.5, 1), c = noise({C}, 6);
  const std::vector<double> attributes{1, 1, 1, 0};
  calls.push_back(
      {"conv2d_forward",
       {empty_image(out), {{1, H / 4, 3, K}}, x, weight, noise({K}, 4), no, no, no, no, noise({1, K}, 5), dy},
       attributes});
  calls.push_back({"conv2d_forward", {empty_image(out), no, x, weight, no, no, no, no, no, no, no}, attributes});
  calls.push_back({"conv2d_data_gradient",
                   {empty_image(in), {{1, H / 4, 2, C}}, dy, weight, no, no, x, mean, rstd, c, c, no},
                   attributes});
  calls.push_back({"conv2d_weight_gradient", {{{3, 3, C, K}}, {{K}}, x, dy, no, no, no, no, no, no}, attributes});
}

void add_attention(std::vector<KernelCall>& calls, int64_t D) {
  const std::vector<int64_t> shape{1, 128, D};
  const Numbers q = image(shape, 1), k = image(shape, 2), v = image(shape, 3), y = empty_image(shape);
  calls.push_back({"attention_forward", {y, {{1, 1, 128}}, q, k, v}, {1, 0.125}});
  calls.push_back({"attention_backward",
                   {y, y, y, image(shape, 4), image(shape, 5), noise({1, 1, 128}, 6, 4, 5), q, k, v},
                   {1, 0.125}});
}

std::vector<KernelCall> aligned_calls() {
  std::vector<KernelCall> calls;
  add_convolution(calls, 16, 128);
  add_convolution(calls, 8, 64);
  add_convolution(calls, 8, 16);
  for (int64_t D : {64, 128, 256}) add_attention(calls, D);
  const std::vector<int64_t> shape{2, 8, 8, 64};
  const Numbers y = empty_image(shape), x = image(shape, 1), dy = image(shape, 2), &no = kNone;
  const Numbers mean = noise({2, 8}, 3), rstd = noise({2, 8}, 4, 0.5, 1), c = noise({64}, 5);
  calls.push_back({"channel_moments", {{{2, 2, 3, 64}}, x}, {32}});
  for (double silu : {0.0, 1.0}) {
    calls.push_back({"normalise_forward", {y, x, mean, rstd, c, c}, {silu}});
    calls.push_back({"normalise_backward", {y, {{2, 2, 2, 64}}, dy, x, mean, rstd, c, c}, {silu, 32}});
  }
  calls.push_back({"normalise_gradient", {y, dy, x, noise({2, 4, 64}, 7), no}, {}});
  calls.push_back({"silu_forward", {y, x}, {}});
  calls.push_back({"silu_backward", {y, dy, x}, {}});
  calls.push_back({"copy", {y, x}, {}});
  calls.push_back({"add", {y, x, dy}, {1, 2}});
  const Numbers latent = noise({2, 8, 8, 4}, 1), next{latent.shape};
  calls.push_back({"sampler_update",
                   {next, next, next, next, latent, latent, latent, latent, no, no},
                   {1.1, -0.4, 1, 0.3, 0.7, -0.2, 0.5, 0.25, 0.7, 1.5, -0.5, -4, -2, 1, 2, 3, 4}});
  const Numbers parameter = noise({1024}, 1), positive = noise({1024}, 2, 0.5, 1);
  calls.push_back({"adamw_ema",
                   {parameter, parameter, positive, parameter, parameter, noise({1}, 6, 1, 2)},
                   {0.1, 0.9, 0.99, 1e-8, 0.01, 0.5, 0.5, 1, 0.99, 1}});
  return calls;
}

}  // namespace

TEST(cuda_kernels_use_whole_sectors_and_all_banks) {
  const Simulator simulator;
  if (!simulator) {
    std::printf("        not tested: a GPU does not tell what launches cost\n");
    return;
  }
  std::set<std::string> seen;
  int wasteful = 0;
  {
    TrafficOfGpu traffic(simulator);
    for (const KernelCall& call : aligned_calls()) {
      expect_as_on_cpu(call, "aligned", 1.0 / 64);
      for (const std::string& line : traffic.lines()) {
        const std::string kernel = string_of(line, "kernel"), waste = waste_of(line);
        seen.insert(kernel);
        if (waste.empty()) continue;
        wasteful++;
        std::printf("        %s of %s:%s\n", kernel.c_str(), call.kernel.c_str(), waste.c_str());
      }
    }
  }
  for (const char* kernel :
       {"conv2d_wide_bf16", "conv2d_square_bf16", "conv2d_narrow_bf16", "conv2d_weight_gradient_bf16",
        "conv2d_weight_gradient_narrow_bf16", "attention_forward_matrix_64_bf16", "attention_keys_matrix_128_bf16",
        "attention_queries_matrix_256_bf16", "normalise_forward_bf16", "normalise_backward_bf16", "silu_backward_bf16",
        "copy_bf16", "add_bf16", "sampler_update_f32", "adamw_ema_f32"})
    check(seen.count(kernel) == 1, std::string(kernel) + " did not run");
  check(wasteful == 0, text("%d launches waste sectors or wavefronts", wasteful));
}

}  // namespace diffuse::testing
