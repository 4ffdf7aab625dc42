// The table of instructions that work on each lane alone: one row for every spelling, shared by the parser, which takes
// operands from it, and by the machine, which calls it. What is not in it (or in instructions.cc) is refused.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace simulator::ptx {

// Registers are arrays of 32 lanes: of 8 bytes for types of 64 bits, of 4 bytes for all shorter ones (zero-extended),
// and predicates are masks of 32 bits. `destination` may be one of the sources.
using LaneFunction = void (*)(void* destination, const void* a, const void* b, const void* c, const void* e,
                              void* second_destination);
// The lanes for which a comparison holds.
using CompareFunction = uint32_t (*)(const void* a, const void* b);

enum class FunctionClass : uint8_t { other, integer, f32, f64, half, convert, special };

struct Function {
  const char* name;
  // A letter for the destination and one for each source: w (32 bits), h (16 bits), l (64 bits), f (float32),
  // d (float64), p (predicate), i (an immediate of 32 bits); then '>' if the carry is written, '<' if it is read.
  const char* operands;
  LaneFunction run = nullptr;
  LaneFunction second = nullptr;  // applied to what `run` left in lanes of 64 bits
  CompareFunction compare = nullptr;
  FunctionClass kind = FunctionClass::other;
  uint8_t operations = 0;    // of a lane: flops of a floating-point instruction
  bool approximate = false;  // hardware may be off by some units in the last place
};

// Null if there is no such instruction.
const Function* find_function(std::string_view mnemonic);
// All of the table.
std::vector<const Function*> all_functions();

}  // namespace simulator::ptx
