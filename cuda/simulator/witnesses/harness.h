// What witnesses share: arrays on the device, launches by a kernel's name, comparison with a reference in float64.
//
// A witness is a kernel of somebody else's that is known to be right on hardware. It is compiled as it was published,
// launched as its own program launches it, on the stand-in driver, and held against a reference of ours.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace simulator::witnesses {

enum class Format { f32, bf16, f16 };
using Values = std::vector<double>;

// Numbers that all formats hold exactly, in [-limit, limit], the same for the same seed.
Values random_values(size_t count, unsigned seed, double limit = 1);

// Memory of the device, freed at its end.
class Array {
 public:
  Array(Format format, size_t count);  // that nobody wrote
  Array(Format format, const Values& values);
  explicit Array(const std::vector<int>& values);
  ~Array();
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  Values values() const;
  CUdeviceptr address = 0;

 private:
  Format format_;
  size_t count_;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};
inline unsigned ceil_div(size_t count, size_t by) { return static_cast<unsigned>((count + by - 1) / by); }

// A parameter of a kernel, as bytes.
struct Parameter {
  Parameter(const Array& array) { store(array.address); }
  Parameter(int value) { store(value); }
  Parameter(long value) { store(value); }
  Parameter(float value) { store(value); }
  template <typename Value>
  void store(Value value) {
    std::memcpy(&word, &value, sizeof value);
  }
  unsigned long long word = 0;
};

// Launches the kernel of that name, and of several instances of a template the one whose mangled name holds `instance`;
// waits for its end. Asks for as much dynamic shared memory as it is given.
struct Kernel {
  std::string name, instance;
};
void launch(const Kernel& kernel, Extent grid, Extent block, size_t shared_bytes, std::vector<Parameter> parameters);

// Throws if an element is further away than `tolerance` times the largest magnitude of `wanted`; notes the error for
// the report.
void expect_near(const Values& got, const Values& wanted, double tolerance);

// The places of races in a source, two lines each; and whether the result is right in every order all the same.
struct KnownRaces {
  std::string file;
  std::vector<std::pair<int, int>> lines;
  bool harmless;
};

struct Witness {
  std::string image, name;
  std::function<void()> run;
  // A bug that is known to be there; it need not show in every order of warps.
  std::optional<KnownRaces> races;
};
inline std::optional<KnownRaces> known_races() { return {}; }
inline std::optional<KnownRaces> known_races(const char* file, std::vector<std::pair<int, int>> lines, bool harmless) {
  return KnownRaces{file, std::move(lines), harmless};
}
struct Registration {
  Registration(Witness witness);
};

}  // namespace simulator::witnesses

// The body follows: WITNESS(image, name) { … }. Races that are known: WITNESS(image, name, file, {{line, other line},
// …}, harmless) { … }
#define WITNESS(image, name, ...)                                                                 \
  static void witness_##image##_##name();                                                         \
  static const simulator::witnesses::Registration registration_of_##image##_##name(               \
      {#image, #name, witness_##image##_##name, simulator::witnesses::known_races(__VA_ARGS__)}); \
  static void witness_##image##_##name()
