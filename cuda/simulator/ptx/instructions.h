// Reads one instruction after its guard.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ptx/body.h"
#include "ptx/scanner.h"

namespace simulator::ptx {

// What names mean inside a kernel.
struct Names {
  std::vector<std::map<std::string, int>> registers;  // of each open scope
  std::map<std::string, int> kernel_variables;        // .shared and .local
  std::map<std::string, int> module_variables;
  std::map<std::string, size_t> parameters;  // to their offsets
  std::map<std::string, std::vector<std::string>> branch_targets;
  Kernel* kernel;
  Module* module;
  Body* body;
};

// A label that a branch names, to be resolved when all labels are known.
struct PendingTarget {
  size_t instruction;
  size_t index;
  std::string label;
  std::vector<int> scopes;
  int line;
};

class InstructionParser {
 public:
  InstructionParser(Scanner& scanner, Names& names) : scanner_(scanner), names_(names) {}
  // Leaves the scanner after the semicolon. Labels go to `labels`.
  Instruction parse(std::vector<std::string>& labels);
  int find_register(const std::string& name) const;  // -1 if there is none
  int declare(const std::string& name, Type type);

 private:
  using Modifiers = std::vector<std::string>;

  // Operands. `letter` as in functions.h.
  Operand operand(char letter, bool destination = false);
  Operand value(char letter);
  Operand named(const std::string& name);
  void check_register(const Operand& operand, char letter, bool destination);
  Address address();
  std::vector<Operand> vector(char letter, size_t count, bool destination);
  void vector_into(Instruction& instruction, char letter, size_t count, bool destination);
  int vector_length() const;
  bool memory_destination_fits(int reg, Type type) const;
  Operand memory_register(Type type, bool destination);

  // Families of instructions.
  const Function* function_of_lower_half(char letter) const;
  void parse_function(Instruction& instruction);
  void parse_move(Instruction& instruction, const Modifiers& modifiers);
  void parse_compare(Instruction& instruction, const Modifiers& modifiers);
  void parse_set(Instruction& instruction, const Modifiers& modifiers);
  void parse_select(Instruction& instruction, const Modifiers& modifiers);
  void parse_branch(Instruction& instruction, const Modifiers& modifiers, std::vector<std::string>& labels);
  void parse_memory(Instruction& instruction, const Modifiers& modifiers);
  void parse_atomic(Instruction& instruction, const Modifiers& modifiers);
  void parse_convert_address(Instruction& instruction, const Modifiers& modifiers);
  void parse_copy(Instruction& instruction, const Modifiers& modifiers);
  void parse_barrier(Instruction& instruction, const Modifiers& modifiers);
  void parse_warp(Instruction& instruction, const Modifiers& modifiers);
  void parse_matrix(Instruction& instruction, const Modifiers& modifiers);
  void parse_without_effect(Instruction& instruction, const Modifiers& modifiers);

  // Whether the modifiers are just these.
  static bool spelled(const Modifiers& modifiers, std::string_view text);
  [[noreturn]] void refuse_modifier(const std::string& modifier) const;
  [[noreturn]] void refuse_instruction() const;

  Scanner& scanner_;
  Names& names_;
  std::string mnemonic_;
  int line_ = 0;
};

Special special_of(std::string_view name);  // Special::count if there is none
char letter_of(Type type);

}  // namespace simulator::ptx
