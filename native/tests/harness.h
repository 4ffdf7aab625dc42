// A test runner without dependencies, so that the native tests build wherever the engine does, also under sanitizers
// and emulators.
#pragma once

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace diffuse::testing {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

// Whether long tests should be shortened.
inline bool& quick() {
  static bool value = false;
  return value;
}

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

template <typename... Argument>
std::string text(const char* format, Argument... arguments) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format, arguments...);
  return buffer;
}

// Ends the test with a message.
[[noreturn]] inline void failed(const std::string& message) { throw std::runtime_error(message); }

inline void check(bool holds, const std::string& message) {
  if (!holds) failed(message);
}

}  // namespace diffuse::testing

// TEST(name) { … }: runs when the program does; fails by throwing.
#define TEST(name)                                                                 \
  static void name();                                                              \
  static const diffuse::testing::Registration registration_of_##name(#name, name); \
  static void name()
