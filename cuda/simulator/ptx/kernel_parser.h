// Reads the body of a kernel.
#pragma once

#include <string>
#include <vector>

#include "ptx/instructions.h"

namespace simulator::ptx {

// `bytes`: of the parameters before it, and with it afterwards.
Parameter parse_parameter(Scanner& scanner, size_t& bytes);
Variable parse_variable(Scanner& scanner, Space space);

class KernelParser {
 public:
  KernelParser(Scanner& scanner, Module& module, Kernel& kernel, std::shared_ptr<const std::vector<std::string>> files,
               const std::vector<std::string>& source);
  // From "{" to the "}" of the kernel; completes `kernel`.
  void parse();

 private:
  void statement();
  void open_scope();
  void close_scope();
  void directive();
  void registers();
  void location();
  void variable(Space space);
  void label(const std::string& name);
  void branch_targets(const std::string& name);
  void instruction();
  void resolve_targets();
  void place_variables();

  Scanner& scanner_;
  Module& module_;
  Kernel& kernel_;
  std::shared_ptr<Body> body_;
  Names names_;
  InstructionParser instructions_;
  std::vector<int> scopes_;  // numbers of the open ones, from the outermost
  int scopes_seen_ = 0;
  std::map<std::pair<int, std::string>, int> labels_;  // of a scope, to the instruction that follows
  std::vector<PendingTarget> pending_;
  Location location_;
};

}  // namespace simulator::ptx
