// What an instruction of the table of functions has to return, by the text of the PTX ISA, computed in another way than
// the simulator does: integers in 128 bits, numbers with a fraction in binary128, rounded once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace simulator::tests {

struct Expected {
  uint64_t bits;
  bool any_nan = false;  // every NaN of the format will do where this is one
  char format = 'f';     // g: bf16
  int format_bits = 32;
  bool pairs = false;  // two of 16 bits
};

// The bits that the destination's register holds, for the sources' bits. Nothing for an instruction that is tested
// elsewhere by examples: those whose results are approximate, and some that work on bits.
std::optional<Expected> expected_of(const std::string& mnemonic, const std::vector<uint64_t>& sources);

// Whether the register holds what is expected.
bool agrees(const Expected& expected, uint64_t bits);

// Bits of numbers that matter for the type at the end of a mnemonic: zeros, ones, ends of ranges, halves, subnormals,
// infinities, NaN.
std::vector<uint64_t> samples_of(const std::string& type);

// Between numbers and bits of a type, "f16" (or one of the two of "f16x2").
uint64_t bits_of_number(double value, const std::string& type);
double number_of_bits(uint64_t bits, const std::string& type);

// The types of the sources of an instruction, "u32"; a shift's count is "u32" too.
std::vector<std::string> source_types_of(const std::string& mnemonic, size_t sources);

}  // namespace simulator::tests
