// What kernels cost on aligned images, as the simulator counts it: no bank of shared memory is asked for two words at
// once, and sectors of global memory, 32 bytes, are read and written whole. GPUs tell neither of a test.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/cuda_aligned_calls.h"
#include "tests/cuda_calls.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"

namespace diffuse::testing {
namespace {

constexpr const char *kTraffic = "CUDA_SIMULATOR_TRAFFIC", *kDevices = "CUDA_SIMULATOR_DEVICES";
const Numbers kNone;

// Where sectors are read or written in part, or banks asked twice, for a reason; what else is wasted fails the test.
struct Exception {
  const char *kernel, *place;  // beginnings of both
  bool banks;                  // asked twice; else sectors in part
};
constexpr Exception kExceptions[] = {
    // The numbers of a channel that a thread needs for all its pixels: asked for one by one, once, found in the L1
    // cache.
    {"", "cuda/common/normalise.h:", false},
    {"", "cuda/gemm/convolution_outputs.h:", false},
    {"scale_shift_", "cuda/ops/scale_shift.cu:", false},
    // Eight float32 of a channel beside eight bf16 take two requests, each of which has half of every sector.
    {"add_channels_bf16", "cuda/common/image.h:", false},
    // Means lie beside logarithms of variances: two requests have a row of eight channels together.
    {"gaussian_latent_", "cuda/ops/gaussian_latent.cu:", false},
    {"hybrid_loss_", "cuda/ops/hybrid_loss.cu:", false},
    // Two numbers of a block's, summed one after the other by one block.
    {"token_denoising_loss_finish", "cuda/common/partials.h:", false},
    // One row of a table for each sample, wherever chance has it.
    {"noising_levels", "cuda/ops/noising.cu:", false},
    {"token_noising_", "cuda/ops/token_noising.cu:", false},
    // Accumulators lie in registers as the general core multiplies them; bound by operations.
    {"matmul_", "cuda/ops/matmul.cu:", false},
    // As tf32, outputs pass through shared memory once, at the end, two neighbours a lane.
    {"attention_", "cuda/common/image.h:", true},
    // A block sums a group's few numbers once.
    {"group_norm_gradient", "cuda/common/line_sums.h:", true},
    // Elements of the same size count in the same place.
    {"dynamic_threshold_", "device_atomic_functions.hpp:", true},
};

// Lets a GPU of the simulator tell what launches cost. One multiprocessor is filled by small problems, so that kernels
// are chosen for them as for large ones.
class TrafficOfGpu {
 public:
  explicit TrafficOfGpu(const Simulator& simulator, const char* gpu = "a100@1")
      : simulator_(simulator), devices_(std::getenv(kDevices) ? std::getenv(kDevices) : ""), file_(std::tmpfile()) {
    check(file_ != nullptr, "cannot make a temporary file");
    close_shared_gpus();
    simulator_.restart(kDevices, gpu);
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

bool begins_with(const std::string& text, const char* beginning) { return text.rfind(beginning, 0) == 0; }

bool is_excepted(const std::string& kernel, const std::string& place, bool banks) {
  for (const Exception& exception : kExceptions)
    if (banks == exception.banks && begins_with(kernel, exception.kernel) && begins_with(place, exception.place))
      return true;
  return false;
}

// What a launch wastes where it should not, in words.
std::string waste_of(const std::string& line) {
  constexpr const char* kPlace = "{\"place\":";
  check(line.find("\"wasteful\":[") != std::string::npos, "no places of waste in " + line);
  const std::string kernel = string_of(line, "kernel");
  std::string waste;
  for (size_t at = line.find(kPlace); at != std::string::npos; at = line.find(kPlace, at + 1)) {
    const std::string entry = line.substr(at, line.find('}', at) + 1 - at), place = string_of(entry, "place");
    const bool sectors = entry.find("\"sectors\":0,") == std::string::npos,
               banks = entry.find("\"wavefronts\":0}") == std::string::npos;
    if ((sectors && !is_excepted(kernel, place, false)) || (banks && !is_excepted(kernel, place, true)))
      waste += "\n          " + entry;
  }
  return waste;
}

// Of an image 8 rows high. Windows of 3 x 3 are read by patches, which work out what the source stands for; of 1 x 1
// pixel by pixel.
void add_convolution(std::vector<KernelCall>& calls, int64_t columns, int64_t K, int64_t window) {
  constexpr int64_t C = 64, H = 8;
  const std::vector<int64_t> in{1, H, columns, C}, out{1, H, columns, K};
  const Numbers x = image(in, 1), dy = image(out, 2), weight = noise({window, window, C, K}, 3), &no = kNone;
  const Numbers mean = noise({1, 8}, 4), rstd = noise({1, 8}, 5, 0.5, 1), c = noise({C}, 6);
  const double pad = window == 3 ? 1 : 0;
  const std::vector<double> attributes{1, pad, pad, 0}, with_silu{1, pad, pad, 1};
  calls.push_back(
      {"conv2d_forward",
       {empty_image(out), {{1, H / 4, 3, K}}, x, weight, noise({K}, 4), no, no, no, no, noise({1, K}, 5), dy},
       attributes});
  calls.push_back({"conv2d_forward", {empty_image(out), no, x, weight, no, no, no, no, no, no, no}, attributes});
  calls.push_back({"conv2d_forward", {empty_image(out), no, x, weight, no, mean, rstd, c, c, no, no}, with_silu});
  calls.push_back({"conv2d_data_gradient",
                   {empty_image(in), {{1, H / 4, 2, C}}, dy, weight, no, no, x, mean, rstd, c, c, no},
                   attributes});
  calls.push_back({"conv2d_data_gradient",
                   {empty_image(in), no, dy, weight, image(out, 7), noise({1, 4, K}, 8), no, no, no, no, no, no},
                   attributes});
  calls.push_back(
      {"conv2d_weight_gradient", {{{window, window, C, K}}, {{K}}, x, dy, no, no, no, no, no, no}, attributes});
  calls.push_back(
      {"conv2d_weight_gradient", {{{window, window, C, K}}, no, x, dy, mean, rstd, c, c, no, no}, with_silu});
}

std::vector<KernelCall> measured_calls() {
  std::vector<KernelCall> calls = aligned_calls();
  for (int64_t window : {1, 3}) {
    add_convolution(calls, 16, 128, window);
    add_convolution(calls, 8, 64, window);
    add_convolution(calls, 8, 16, window);
  }
  // As wide as patches are, and several samples in a tile.
  add_convolution(calls, 64, 32, 3);
  add_convolution(calls, 4, 32, 3);
  return calls;
}

// Every entry of the images of kernels but those of convolutions.
std::vector<std::string> entries_of_images() {
  constexpr const char* kEntry = ".entry ";
  std::vector<std::string> entries;
  for (const auto& file : std::filesystem::directory_iterator(std::getenv("DIFFUSE_CUDA_IMAGES"))) {
    if (file.path().extension() != ".ptx" || file.path().stem().string().rfind("conv2d", 0) == 0) continue;
    std::ifstream stream(file.path());
    for (std::string line; std::getline(stream, line);) {
      const size_t at = line.find(kEntry);
      if (at == std::string::npos) continue;
      const size_t begin = at + std::strlen(kEntry);
      entries.push_back(line.substr(begin, line.find_first_of("( ", begin) - begin));
    }
  }
  return entries;
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
    for (const KernelCall& call : measured_calls()) {
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
  for (const char* kernel : {"conv2d_wide_bf16", "conv2d_square_bf16", "conv2d_narrow_bf16", "conv2d_patch_wide_bf16",
                             "conv2d_patch_square_bf16", "conv2d_patch_narrow_bf16", "conv2d_weight_gradient_bf16",
                             "conv2d_weight_gradient_narrow_bf16", "conv2d_weight_gradient_patch_bf16",
                             "conv2d_weight_gradient_patch_narrow_bf16"})
    check(seen.count(kernel) == 1, std::string(kernel) + " did not run");
  for (const std::string& kernel : entries_of_images()) check(seen.count(kernel) == 1, kernel + " did not run");
  check(wasteful == 0, text("%d launches waste sectors or wavefronts", wasteful));
}

// Of blocks of 256 threads an RTX 4090 holds 6 a multiprocessor where an A100 holds 8.
TEST(cuda_grids_are_rounds_of_what_gpus_hold_at_once) {
  const Simulator simulator;
  if (!simulator) {
    std::printf("        not tested: a GPU does not tell what it is asked for\n");
    return;
  }
  const std::vector<int64_t> shape{1 << 17};
  const auto grid_on = [&](const char* gpu) {
    TrafficOfGpu traffic(simulator, gpu);
    expect_as_on_cpu({"copy", {empty_image(shape), image(shape, 1)}, {}}, "aligned", 0);
    const std::vector<std::string> lines = traffic.lines();
    check(lines.size() == 1, text("%zu launches", lines.size()));
    const size_t at = lines[0].find("\"grid\":[");
    return lines[0].substr(at, lines[0].find(']', at) + 1 - at);
  };
  for (const auto& [gpu, grid] :
       {std::pair{"a100@1", "\"grid\":[32,1,1]"}, std::pair{"rtx4090@1", "\"grid\":[24,1,1]"}}) {
    const std::string found = grid_on(gpu);
    check(found == grid, std::string(gpu) + ": " + found + ", not " + grid);
  }
}

}  // namespace diffuse::testing
