// A runner of tests, and what the tests of the stand-in driver share.
#pragma once

#include <cuda.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "driver/control.h"

namespace simulator::driver::testing {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline void expect(bool holds, const char* what, const char* file, int line) {
  if (!holds) throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

inline void expect_result(CUresult result, CUresult wanted, const char* what, const char* file, int line) {
  if (result == wanted) return;
  const char *got_name = "?", *wanted_name = "?";
  cuGetErrorName(result, &got_name);
  cuGetErrorName(wanted, &wanted_name);
  expect(false, (std::string(what) + " returned " + got_name + ", not " + wanted_name).c_str(), file, line);
}

// Environment of one test: CUDA_SIMULATOR_<name> = value. Restarts the driver with it, and initialises it.
using Settings = std::vector<std::pair<const char*, const char*>>;
void restart(const Settings& settings);
// The same, and the primary context of device 0 is current.
void start(const Settings& settings = {});

// A finding that contains the text.
bool found(const std::string& text);

// tests/kernels.cc: PTX with the kernels
//   fill(float* out, unsigned count, float value)   out[i] = value
//   add(float* out, unsigned count, float value)    out[i] += value
//   big_shared()                                    60,000 bytes of dynamic shared memory are its to touch
extern const char* const kKernels;
CUfunction function(const char* name);
CUmodule load_kernels();
// fill or add over `count` elements.
void launch(CUfunction function, CUdeviceptr out, unsigned count, float value, CUstream stream = nullptr);
CUdeviceptr allocate(unsigned floats);
std::vector<float> download(CUdeviceptr from, unsigned count);

}  // namespace simulator::driver::testing

#define TEST(name)                                                                           \
  static void name();                                                                        \
  static const simulator::driver::testing::Registration registration_of_##name(#name, name); \
  static void name()
#define EXPECT(condition) simulator::driver::testing::expect(condition, #condition, __FILE__, __LINE__)
#define EXPECT_RESULT(call, wanted) simulator::driver::testing::expect_result(call, wanted, #call, __FILE__, __LINE__)
#define SUCCEED(call) EXPECT_RESULT(call, CUDA_SUCCESS)
