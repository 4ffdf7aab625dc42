// A little frame for tests of the simulator: cases register themselves, kernels are PTX in the text of the tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "machine/launch.h"
#include "ptx/functions.h"

namespace simulator::tests {

struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Registration {
  Registration(const char* name, void (*run)());
};

#define TEST(name)                                                            \
  static void name();                                                         \
  static const ::simulator::tests::Registration register_##name(#name, name); \
  static void name()

#define EXPECT(condition)                                                                                         \
  do {                                                                                                            \
    if (!(condition))                                                                                             \
      throw ::simulator::tests::Failed(std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": " #condition); \
  } while (false)

void expect_equal(uint64_t got, uint64_t expected, const std::string& what);
// Whether the text holds the part; names both if not.
void expect_part(const std::string& text, const std::string& part);

// ".version … .entry test(.param .u64 in, .param .u64 out) { registers; the addresses in %in and %out; %tid; body; ret;
// }". Registers: %r, %h (16 bits), %d (64 bits), %f, %g (float64), %p, 64 of each. `directives` stand between head and
// body.
std::string kernel_text(const std::string& body, const std::string& directives = {},
                        const std::string& module_text = {});

// The rows of the table of functions that tests have run so far.
std::set<const ptx::Function*>& functions_run();

struct Setup {
  report::Extent grid, block{32, 1, 1};
  size_t dynamic_shared = 0;
  uint64_t seed = 1;
  bool checks = true, noise = false, traffic = false;
  uint64_t budget = uint64_t(1) << 24;
  size_t out_bytes = 4096;
  bool out_written = true;  // by the host, with zeros
};

struct Outcome {
  bool ok = false;
  report::Report report;
  std::vector<std::byte> out;

  template <typename T>
  T at(size_t index) const {
    T value;
    std::memcpy(&value, out.data() + index * sizeof(T), sizeof(T));
    return value;
  }
};

// Runs kernel_text's kernel; `in` is copied to the device.
Outcome run(const std::string& ptx, const std::vector<std::byte>& in, const Setup& setup = {});
template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// What an instruction of the table of functions returns for the bits of its sources, in 32 lanes, which take the cases
// in turns; with `every_other` the odd lanes pass by and have 0.
std::vector<uint64_t> results_of(const std::string& mnemonic, const std::vector<std::vector<uint64_t>>& sources,
                                 bool every_other = false);

// One case of an instruction of the table of functions: the bits of its sources and of what it returns.
struct Case {
  std::vector<uint64_t> sources;
  uint64_t expected;
};
// Runs up to 32 cases, a lane each, once with a full warp and once with every other lane passing by.
void instruction(const std::string& mnemonic, const std::vector<Case>& cases);

// The findings of a kernel, under several seeds: expects the first of some seed to be of this kind, and one without
// any.
void expect_finding(const std::string& ptx, report::Kind kind, Setup setup = {},
                    const std::vector<std::byte>& in = std::vector<std::byte>(4096));
void expect_healthy(const std::string& ptx, Setup setup = {},
                    const std::vector<std::byte>& in = std::vector<std::byte>(4096));

inline uint64_t f(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
inline uint64_t d(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, 8);
  return bits;
}

}  // namespace simulator::tests
