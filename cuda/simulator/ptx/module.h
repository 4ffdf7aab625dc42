// A module of PTX as the parser leaves it: variables, and kernels of decoded instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace simulator::ptx {

// "name.ptx:12: unknown instruction foo.bar"
struct ParseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Space : uint8_t { generic, global, shared, local, parameter, constant };

struct Parameter {
  std::string name;
  size_t offset = 0;
  size_t bytes = 0;
  size_t alignment = 1;
};

// A .global or .const of the module, or a .shared or .local of a kernel.
struct Variable {
  std::string name;
  Space space = Space::global;
  size_t offset = 0;  // of .shared and .local
  size_t bytes = 0;   // 0: extern .shared, whose size the launch says
  size_t alignment = 1;
  std::vector<std::byte> initial;  // of .global and .const; missing bytes are zero
  // Addresses of other variables that stand in the initialiser.
  struct Reference {
    size_t offset;
    std::string variable;
    int64_t addend;
  };
  std::vector<Reference> references;
};

struct Body;  // instructions, labels and registers: ptx/body.h

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  uint32_t max_threads[3] = {0, 0, 0};       // .maxntid; 0: not given
  uint32_t required_threads[3] = {0, 0, 0};  // .reqntid; 0: not given
  size_t shared_bytes = 0;                   // static
  size_t local_bytes = 0;                    // of one thread
  int registers = 0;                         // of 32 bits, alive at once; ptxas may need some more
  std::vector<Variable> variables;           // .shared and .local
  std::shared_ptr<const Body> body;

  // The most threads of a block that the directives allow; 0: no limit.
  uint64_t thread_limit() const {
    const uint32_t* limit = required_threads[0] ? required_threads : max_threads;
    return uint64_t(limit[0]) * limit[1] * limit[2];
  }
};

struct Module {
  std::string name;
  std::string target;  // "sm_80"
  int version = 0;     // 90: PTX 9.0
  std::vector<Variable> variables;
  std::vector<Kernel> kernels;

  const Kernel* find(const std::string& kernel) const {
    for (const Kernel& candidate : kernels)
      if (candidate.name == kernel) return &candidate;
    return nullptr;
  }
};

// Throws ParseError, which names what is unknown and its line.
Module parse(const std::string& text, const std::string& name);

}  // namespace simulator::ptx
