// simulator_witnesses FOLDER [FILTER]
//   FOLDER    has the PTX of each image, IMAGE.ptx; witnesses whose image is not there are skipped
//   FILTER    runs only the witnesses whose IMAGE/NAME contains it
//
// Exit code: 0 all passed, 1 one failed. The last line is "N passed, N failed, N skipped".
#include "witnesses/harness.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>

#include "driver/control.h"

namespace simulator::witnesses {
namespace {

std::vector<Witness>& witnesses() {
  static std::vector<Witness> list;
  return list;
}

std::string image_text;
double largest_error = 0;

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

void succeed(CUresult result, const std::string& what) {
  const char* name = "?";
  cuGetErrorName(result, &name);
  expect(result == CUDA_SUCCESS, what + " returned " + name);
}

size_t bytes_of(Format format) { return format == Format::f32 ? 4 : 2; }

// Of numbers that the format holds exactly.
uint32_t bits_of(Format format, double value) {
  if (format == Format::f32) return std::bit_cast<uint32_t>(static_cast<float>(value));
  if (format == Format::bf16) return std::bit_cast<uint32_t>(static_cast<float>(value)) >> 16;
  if (value == 0) return 0;
  int exponent;
  const double fraction = std::frexp(std::fabs(value), &exponent);  // in [0.5, 1)
  return (value < 0 ? 0x8000 : 0) | uint32_t(exponent + 14) << 10 | (uint32_t(fraction * 2048) & 0x3ff);
}

double value_of(Format format, uint32_t bits) {
  if (format == Format::f32) return std::bit_cast<float>(bits);
  if (format == Format::bf16) return std::bit_cast<float>(bits << 16);
  const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  if (exponent == 31) return NAN;
  const double magnitude = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
  return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace

Values random_values(size_t count, unsigned seed, double limit) {
  Values values(count);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (double& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = (static_cast<int>(state >> 33 & 0xff) - 128) / 128.0 * limit;
  }
  return values;
}

Array::Array(Format format, size_t count) : format_(format), count_(count) {
  succeed(cuMemAlloc(&address, count * bytes_of(format)), "cuMemAlloc");
}

Array::Array(Format format, const Values& values) : Array(format, values.size()) {
  std::vector<uint8_t> bytes(count_ * bytes_of(format));
  for (size_t i = 0; i < count_; i++) {
    const uint32_t bits = bits_of(format, values[i]);
    std::memcpy(bytes.data() + i * bytes_of(format), &bits, bytes_of(format));
  }
  succeed(cuMemcpyHtoD(address, bytes.data(), bytes.size()), "cuMemcpyHtoD");
}

Array::Array(const std::vector<int>& values) : Array(Format::f32, values.size()) {
  succeed(cuMemcpyHtoD(address, values.data(), values.size() * sizeof(int)), "cuMemcpyHtoD");
}

Array::~Array() { cuMemFree(address); }

Values Array::values() const {
  std::vector<uint8_t> bytes(count_ * bytes_of(format_));
  succeed(cuMemcpyDtoH(bytes.data(), address, bytes.size()), "cuMemcpyDtoH");
  Values values(count_);
  for (size_t i = 0; i < count_; i++) {
    uint32_t bits = 0;
    std::memcpy(&bits, bytes.data() + i * bytes_of(format_), bytes_of(format_));
    values[i] = value_of(format_, bits);
  }
  return values;
}

// The mangled name: _Z, namespaces, the length of the name, the name, and what follows of parameters and of a
// template's arguments.
static std::string entry_of(const Kernel& kernel) {
  const std::regex entry("\\.entry (_Z(?:N\\w+)?" + std::to_string(kernel.name.size()) + kernel.name + "[EIP]\\w*)");
  std::vector<std::string> found;
  for (std::sregex_iterator at(image_text.begin(), image_text.end(), entry), end; at != end; ++at)
    if ((*at)[1].str().find(kernel.instance) != std::string::npos) found.push_back((*at)[1]);
  expect(found.size() == 1,
         std::to_string(found.size()) + " kernels are called " + kernel.name + " " + kernel.instance);
  return found[0];
}

void launch(const Kernel& kernel, Extent grid, Extent block, size_t shared_bytes, std::vector<Parameter> parameters) {
  CUmodule module;
  CUfunction function;
  succeed(cuModuleLoadData(&module, image_text.c_str()), "cuModuleLoadData");
  succeed(cuModuleGetFunction(&function, module, entry_of(kernel).c_str()), "cuModuleGetFunction");
  if (shared_bytes > 48 << 10)
    succeed(
        cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(shared_bytes)),
        "cuFuncSetAttribute");
  std::vector<void*> pointers;
  for (Parameter& parameter : parameters) pointers.push_back(&parameter.word);
  succeed(cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                         static_cast<unsigned>(shared_bytes), nullptr, pointers.data(), nullptr),
          "cuLaunchKernel of " + kernel.name);
  succeed(cuCtxSynchronize(), kernel.name);
  succeed(cuModuleUnload(module), "cuModuleUnload");
}

void expect_near(const Values& got, const Values& wanted, double tolerance) {
  expect(got.size() == wanted.size(), "results of different sizes");
  double scale = 0, error = 0;
  for (const double value : wanted) scale = std::max(scale, std::fabs(value));
  for (size_t i = 0; i < got.size(); i++) {
    const double distance = std::fabs(got[i] - wanted[i]) / scale;
    expect(distance <= tolerance, "element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", not " +
                                      std::to_string(wanted[i]) + ": " + std::to_string(distance) + " of the largest");
    error = std::max(error, distance);
  }
  largest_error = std::max(largest_error, error);
}

Registration::Registration(Witness witness) { witnesses().push_back(std::move(witness)); }

namespace {

bool names(const std::string& text, const std::string& file, int line) {
  return std::regex_search(text, std::regex(file + ":" + std::to_string(line) + "\\b"));
}

bool is_known(const std::string& finding, const KnownRaces& races) {
  return finding.rfind("race: ", 0) == 0 &&
         std::any_of(races.lines.begin(), races.lines.end(), [&](const std::pair<int, int>& lines) {
           return names(finding, races.file, lines.first) && names(finding, races.file, lines.second);
         });
}

// One run with one order of blocks and warps; whether the race that is known was found.
bool run_once(const Witness& witness, int seed, bool checks) {
  setenv("CUDA_SIMULATOR_SEED", std::to_string(seed).c_str(), 1);
  setenv("CUDA_SIMULATOR_CHECKS", checks ? "on" : "off", 1);
  simulatorRestart();
  succeed(cuInit(0), "cuInit");
  CUcontext context;
  succeed(cuDevicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
  succeed(cuCtxSetCurrent(context), "cuCtxSetCurrent");
  try {
    witness.run();
  } catch (const std::exception&) {
    if (simulatorFindings() == 0) throw;
  }
  if (simulatorFindings() == 0) return false;
  const std::string finding = simulatorFinding(0);
  expect(witness.races && is_known(finding, *witness.races), finding);
  return true;
}

std::string said_of(const Witness& witness) {
  constexpr int kOrders = 3, kOrdersForRace = 16;
  largest_error = 0;
  const std::optional<KnownRaces>& races = witness.races;
  // What a race spoils is not compared.
  if (!races || races->harmless)
    for (int seed = 1; seed <= kOrders; seed++) run_once(witness, seed, !races);
  char text[40];
  std::snprintf(text, sizeof text, "error %.1e", largest_error);
  if (!races) return text;
  int found = 0;
  for (int seed = 1; seed <= kOrdersForRace; seed++) found += run_once(witness, seed, true);
  std::string places = races->file;
  for (const auto& [line, other] : races->lines)
    places += (line == races->lines[0].first ? ":" : " or :") + std::to_string(line) + " and :" + std::to_string(other);
  expect(found > 0, "the race that is known, of " + places + ", was not found in any of the orders");
  return "the race of " + places + " is found in " + std::to_string(found) + " of " + std::to_string(kOrdersForRace) +
         " orders" + (races->harmless ? std::string("; ") + text + " without checks" : "");
}

int run_all(const std::string& folder, const std::string& filter) {
  int passed = 0, failed = 0, skipped = 0;
  for (const Witness& witness : witnesses()) {
    const std::string title = witness.image + "/" + witness.name;
    if (title.find(filter) == std::string::npos) continue;
    std::ifstream file(folder + "/" + witness.image + ".ptx");
    if (!file) {
      std::printf("skipped %s: no %s.ptx\n", title.c_str(), witness.image.c_str());
      skipped++;
      continue;
    }
    image_text.assign(std::istreambuf_iterator<char>(file), {});
    try {
      const std::string said = said_of(witness);
      std::printf("ok      %s: %s\n", title.c_str(), said.c_str());
      passed++;
    } catch (const std::exception& error) {
      std::printf("FAILED  %s: %s\n", title.c_str(), error.what());
      failed++;
    }
    std::fflush(stdout);
  }
  simulatorRestart();
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace simulator::witnesses

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: simulator_witnesses FOLDER [FILTER]\n");
    return 2;
  }
  return simulator::witnesses::run_all(arguments[1], count > 2 ? arguments[2] : "");
}
