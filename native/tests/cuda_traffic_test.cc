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
    {"matmul_f32", "cuda/ops/matmul.cu:", false},
    // As tf32, outputs pass through shared memory once, at the end, two neighbours a lane.
    {"attention_", "cuda/common/image.h:", true},
    {"conv2d_tf32_narrow_f32", "cuda/gemm/convolution_outputs.h:", true},
    {"conv2d_tf32_patch_narrow_f32", "cuda/gemm/convolution_outputs.h:", true},
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
void add_convolution(std::vector<KernelCall>& calls, int64_t columns, int64_t K, int64_t window, bool tf32) {
  constexpr int64_t C = 64, H = 8;
  const DType dtype = tf32 ? DType::f32 : DType::bf16;
  const std::vector<int64_t> in{1, H, columns, C}, out{1, H, columns, K};
  const Numbers x = image(in, 1, dtype), dy = image(out, 2, dtype), weight = noise({window, window, C, K}, 3),
                &no = kNone;
  const Numbers mean = noise({1, 8}, 4), rstd = noise({1, 8}, 5, 0.5, 1), c = noise({C}, 6);
  const double pad = window == 3 ? 1 : 0;
  const std::vector<double> attributes{1, pad, pad, 0}, with_silu{1, pad, pad, 1};
  calls.push_back(
      {"conv2d_forward",
       {empty_image(out, dtype), {{1, H / 4, 3, K}}, x, weight, noise({K}, 4), no, no, no, no, noise({1, K}, 5), dy},
       attributes,
       tf32});
  calls.push_back(
      {"conv2d_forward", {empty_image(out, dtype), no, x, weight, no, no, no, no, no, no, no}, attributes, tf32});
  calls.push_back(
      {"conv2d_forward", {empty_image(out, dtype), no, x, weight, no, mean, rstd, c, c, no, no}, with_silu, tf32});
  calls.push_back({"conv2d_data_gradient",
                   {empty_image(in, dtype), {{1, H / 4, 2, C}}, dy, weight, no, no, x, mean, rstd, c, c, no},
                   attributes,
                   tf32});
  calls.push_back(
      {"conv2d_data_gradient",
       {empty_image(in, dtype), no, dy, weight, image(out, 7, dtype), noise({1, 4, K}, 8), no, no, no, no, no, no},
       attributes,
       tf32});
  calls.push_back(
      {"conv2d_weight_gradient", {{{window, window, C, K}}, {{K}}, x, dy, no, no, no, no, no, no}, attributes, tf32});
  calls.push_back(
      {"conv2d_weight_gradient", {{{window, window, C, K}}, no, x, dy, mean, rstd, c, c, no, no}, with_silu, tf32});
}

std::vector<KernelCall> measured_calls() {
  std::vector<KernelCall> calls = aligned_calls();
  for (const bool tf32 : {false, true}) {
    for (int64_t window : {1, 3}) {
      add_convolution(calls, 16, 128, window, tf32);
      add_convolution(calls, 8, 64, window, tf32);
      add_convolution(calls, 8, 16, window, tf32);
    }
    // As wide as patches are, and several samples in a tile.
    add_convolution(calls, 64, 32, 3, tf32);
    add_convolution(calls, 4, 32, 3, tf32);
  }
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

// Calls whose images, all tensors of 1024 elements or more, are read and written once, in packs of as many elements as
// 128 bits hold or, where they share a counter of Philox, of four.
std::vector<KernelCall> calls_of_packs(DType dtype) {
  const std::vector<int64_t> shape{2, 4, 8, 64};
  const Numbers &no = kNone, y{shape, {}, dtype}, numbers{shape};
  Numbers a = noise(shape, 1), b = noise(shape, 2);
  const Numbers first = a, many = noise({2, 8, 8, 64}, 3);
  a.dtype = b.dtype = dtype;
  std::vector<KernelCall> calls{
      {"silu_forward", {y, a}, {}},
      {"silu_backward", {y, a, b}, {}},
      {"copy", {y, a}, {}},
      {"cast", {y, first}, {}},
      {"cast", {numbers, a}, {}},
      {"fill", {y}, {1.5}},
      {"scale", {y, a}, {-2}},
      {"add", {y, a, b}, {1, -0.5}},
      {"multiply", {y, a, b}, {}},
      {"dropout", {y, a}, {0.3, 1, 2, 3, 4, 5}},
      {"upsample_nearest_forward", {{{2, 16, 8, 64}, {}, dtype}, {{2, 8, 4, 64}, a.values, dtype}}, {}},
      {"upsample_nearest_backward", {{{2, 8, 4, 64}, {}, dtype}, {{2, 8, 8, 64}, many.values, dtype}}, {}},
  };
  if (dtype == DType::bf16) return calls;
  const Numbers one{{1}}, two{{2}}, given{{1}, {1.5}}, weight{{2}, {1, 3}};
  for (KernelCall& call : std::vector<KernelCall>{
           {"multiply_samples", {y, a, weight}, {}},
           {"divide_samples", {y, a, weight}, {}},
           {"sum_samples", {two, a}, {}},
           {"sum", {one, a}, {}},
           {"weighted_mse_forward", {one, two, a, b, weight}, {}},
           {"weighted_mse_backward", {y, given, a, b, weight}, {}},
           {"add_channels", {y, a, noise({2, 64}, 5)}, {}},
           {"matmul", {{{16, 32}}, noise({16, 128}, 6), noise({128, 32}, 7)}, {0, 0}},
           {"matmul", {{{16, 32}}, noise({128, 16}, 6), noise({32, 128}, 7)}, {1, 1}},
           {"embedding_forward",
            {{{64, 64}},
             noise({5, 64}, 1),
             generate(
                 {64}, [](int64_t n) { return double(n % 5); }, DType::i32)},
            {}},
           {"random_normal", {y}, {1, 2, 3, 4, 5}},
           {"random_uniform", {y}, {1, 2, 3, 4, 5, -1, 1}},
           {"gradient_norm", {one, noise({4096}, 1)}, {}},
           {"sampler_update",
            {y, y, y, y, a, b, a, b, no, no},
            {1.1, -0.4, 1, 0.3, 0.7, -0.2, 0.5, 0.25, 0, 1.5, -0.5, -4, -2, 1, 2, 3, 4}},
           {"sampler_update",
            {y, y, no, no, a, b, no, no, a, b},
            {1.1, -0.4, 1, 0.3, 0.7, -0.2, 0.5, 0.25, 0.7, 1.5, -0.5, -4, -2, 1, 2, 3, 4}},
           {"noising", {y, y, two, two, no, a, noise({5, 6}, 3), no}, {1, 2, 3, 4, 0, 0}},
           {"noising",
            {y, y, two, two, no,
             generate(
                 shape, [](int64_t i) { return static_cast<double>(i % 256); }, DType::u8),
             noise({5, 6}, 3), no},
            {1, 2, 3, 4, 0, 0}},
       })
    calls.push_back(std::move(call));
  // Whether a sample is told anything is chance.
  for (double offset = 0;; offset++) {
    const Numbers sample = noise({1, 4, 8, 64}, 1), estimate{sample.shape};
    calls.push_back({"self_conditioning", {estimate, sample, sample, {{1, 2}, {1, 1}}}, {9, 1, 2, 3, offset}});
    if (outputs_on_cpu(calls.back())[0][0] != 0) return calls;
    calls.pop_back();
  }
}

int64_t elements_of(const Numbers& numbers) {
  int64_t count = numbers.shape.empty() ? 0 : 1;
  for (const int64_t size : numbers.shape) count *= size;
  return count;
}

int64_t number_of(const std::string& line, const char* key) {
  const std::string before = std::string("\"") + key + "\":";
  const size_t at = line.find(before);
  check(at != std::string::npos, "no " + before + " in " + line);
  return std::atoll(line.c_str() + at + before.size());
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
                             "conv2d_patch_square_bf16", "conv2d_patch_narrow_bf16", "conv2d_tf32_patch_wide_f32",
                             "conv2d_tf32_patch_square_f32", "conv2d_tf32_patch_narrow_f32",
                             "conv2d_weight_gradient_bf16", "conv2d_weight_gradient_narrow_bf16",
                             "conv2d_weight_gradient_patch_bf16", "conv2d_weight_gradient_patch_narrow_bf16"})
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

TEST(cuda_kernels_move_aligned_elements_in_packs) {
  const Simulator simulator;
  if (!simulator) {
    std::printf("        not tested: a GPU does not tell what launches cost\n");
    return;
  }
  TrafficOfGpu traffic(simulator);
  const auto requests = [&](const KernelCall& call, int64_t displacement) {
    expect_as_on_cpu(call, displacement == 1 ? "displaced" : "aligned to a pack", 1.0 / 64, displacement);
    int64_t sum = 0;
    for (const std::string& line : traffic.lines()) sum += number_of(line, "global_requests");
    return sum;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const KernelCall& call : calls_of_packs(dtype)) {
      const int64_t pack = dtype == DType::bf16 && call.kernel != "dropout" ? 8 : 4;
      int64_t elements = 0;
      for (const Numbers& numbers : call.tensors)
        if (elements_of(numbers) >= 1024) elements += elements_of(numbers);
      // A warp asks for a pack of four or more once, for single elements four times or more.
      const int64_t singly = requests(call, 1), packed = requests(call, pack), expected = elements / 32 * 3 / 4;
      check(singly - packed >= expected,
            text("%s: %lld requests of memory where nothing is aligned and %lld where packs are, not %lld fewer",
                 call.kernel.c_str(), static_cast<long long>(singly), static_cast<long long>(packed),
                 static_cast<long long>(expected)));
    }
}

}  // namespace diffuse::testing
