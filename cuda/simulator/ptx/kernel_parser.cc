#include "ptx/kernel_parser.h"

#include <algorithm>

#include "ptx/flow.h"
#include "ptx/registers.h"

namespace simulator::ptx {

KernelParser::KernelParser(Scanner& scanner, Module& module, Kernel& kernel,
                           std::shared_ptr<const std::vector<std::string>> files,
                           const std::vector<std::string>& source)
    : scanner_(scanner),
      module_(module),
      kernel_(kernel),
      body_(std::make_shared<Body>()),
      instructions_(scanner, names_) {
  names_.kernel = &kernel_;
  names_.module = &module_;
  names_.body = body_.get();
  for (const Parameter& parameter : kernel.parameters) names_.parameters[parameter.name] = parameter.offset;
  for (size_t i = 0; i < module.variables.size(); i++)
    names_.module_variables[module.variables[i].name] = static_cast<int>(i);
  body_->source = source;
  body_->files = std::move(files);
}

void KernelParser::open_scope() {
  scanner_.expect("{");
  scopes_.push_back(scopes_seen_++);
  names_.registers.emplace_back();
}

void KernelParser::close_scope() {
  scanner_.expect("}");
  scopes_.pop_back();
  names_.registers.pop_back();
}

void KernelParser::parse() {
  open_scope();
  while (!scopes_.empty()) {
    if (scanner_.at_end()) scanner_.refuse("kernel " + kernel_.name + " does not end");
    statement();
  }
  resolve_targets();
  place_variables();
  find_reconvergence(*body_);
  kernel_.registers = registers_alive_at_once(*body_);
  kernel_.body = body_;
}

void KernelParser::statement() {
  const Token& token = scanner_.peek();
  if (token.is("{")) return open_scope();
  if (token.is("}")) return close_scope();
  if (token.kind == Token::Kind::name && scanner_.peek(1).is(":")) {
    const std::string name(scanner_.next().text);
    scanner_.expect(":");
    if (scanner_.peek().is(".branchtargets")) return branch_targets(name);
    return label(name);
  }
  if (token.kind == Token::Kind::name && token.text[0] == '.') return directive();
  instruction();
}

void KernelParser::label(const std::string& name) {
  if (!labels_.emplace(std::pair(scopes_.back(), name), static_cast<int>(body_->instructions.size())).second)
    scanner_.refuse("label " + name + " stands twice");
}

void KernelParser::branch_targets(const std::string& name) {
  scanner_.expect(".branchtargets");
  std::vector<std::string>& targets = names_.branch_targets[name];
  do {
    targets.push_back(scanner_.expect_name("a label"));
  } while (scanner_.accept(","));
  scanner_.expect(";");
}

void KernelParser::directive() {
  const int line = scanner_.line();
  const std::string word(scanner_.next().text);
  if (word == ".reg") return registers();
  if (word == ".loc") return location();
  if (word == ".shared") return variable(Space::shared);
  if (word == ".local") return variable(Space::local);
  if (word == ".pragma") {
    scanner_.next();
    return scanner_.expect(";");
  }
  scanner_.refuse_at(line, "unknown directive " + word + " in kernel " + kernel_.name);
}

void KernelParser::registers() {
  const std::string type_name = scanner_.expect_name("a type");
  const Type type = type_of(type_name.substr(1));
  if (type_name[0] != '.' || type == Type::none || size_of(type) == (type == Type::pred ? 0 : 1))
    scanner_.refuse("unknown type " + type_name + " of registers");
  do {
    const std::string name = scanner_.expect_name("a register");
    if (scanner_.accept("<")) {
      const int64_t count = scanner_.expect_integer("a count of registers");
      scanner_.expect(">");
      for (int64_t i = 0; i < count; i++) instructions_.declare(name + std::to_string(i), type);
    } else {
      instructions_.declare(name, type);
    }
  } while (scanner_.accept(","));
  scanner_.expect(";");
}

// .loc 2 34 5, function_name $L__info_string1, inlined_at 1 57 3
void KernelParser::location() {
  location_ = {};
  location_.file = static_cast<int>(scanner_.expect_integer("the number of a file"));
  location_.line = static_cast<int>(scanner_.expect_integer("a line"));
  scanner_.expect_integer("a column");
  while (scanner_.accept(",")) {
    const std::string word = scanner_.expect_name("function_name or inlined_at");
    if (word == "function_name") {
      scanner_.expect_name("a label");
      if (scanner_.accept("+")) scanner_.expect_integer("an offset");
    } else if (word == "inlined_at") {
      location_.inlined_file = static_cast<int>(scanner_.expect_integer("the number of a file"));
      location_.inlined_line = static_cast<int>(scanner_.expect_integer("a line"));
      scanner_.expect_integer("a column");
    } else {
      scanner_.refuse("unknown part " + word + " of .loc");
    }
  }
}

void KernelParser::variable(Space space) {
  do {
    Variable variable = parse_variable(scanner_, space);
    if (variable.bytes == 0) scanner_.refuse("variable " + variable.name + " has no size");
    names_.kernel_variables[variable.name] = static_cast<int>(kernel_.variables.size());
    kernel_.variables.push_back(std::move(variable));
  } while (scanner_.accept(","));
  scanner_.expect(";");
}

void KernelParser::instruction() {
  const int line = scanner_.line();
  int guard = -1;
  bool negated = false;
  if (scanner_.accept("@")) {
    negated = scanner_.accept("!");
    const std::string name = scanner_.expect_name("a predicate");
    guard = instructions_.find_register(name);
    if (guard < 0 || body_->registers[guard].type != Type::pred) scanner_.refuse_at(line, "unknown predicate " + name);
  }
  std::vector<std::string> targets;
  Instruction instruction = instructions_.parse(targets);
  instruction.guard = guard;
  instruction.guard_negated = negated;
  instruction.location = location_;
  instruction.targets.assign(targets.size(), -1);
  for (size_t i = 0; i < targets.size(); i++)
    pending_.push_back({body_->instructions.size(), i, targets[i], scopes_, line});
  body_->instructions.push_back(std::move(instruction));
}

void KernelParser::resolve_targets() {
  for (const PendingTarget& pending : pending_) {
    int& target = body_->instructions[pending.instruction].targets[pending.index];
    for (auto scope = pending.scopes.rbegin(); scope != pending.scopes.rend() && target < 0; ++scope)
      if (const auto found = labels_.find({*scope, pending.label}); found != labels_.end()) target = found->second;
    if (target < 0) scanner_.refuse_at(pending.line, "unknown label " + pending.label);
  }
  // A label may stand at the very end: there threads exit.
  Instruction exit;
  exit.opcode = Opcode::exit;
  exit.mnemonic = "exit";
  exit.line = scanner_.line();
  exit.location = location_;
  body_->instructions.push_back(exit);
}

// As ptxas does: in their order, the extern array after all others.
void KernelParser::place_variables() {
  const auto place = [&](bool with_size) {
    for (Variable& variable : kernel_.variables) {
      if ((variable.bytes != 0) != with_size) continue;
      size_t& bytes = variable.space == Space::shared ? kernel_.shared_bytes : kernel_.local_bytes;
      variable.offset = (bytes + variable.alignment - 1) / variable.alignment * variable.alignment;
      bytes = variable.offset + variable.bytes;
    }
  };
  place(true);
  const size_t static_bytes = kernel_.shared_bytes;
  place(false);
  const bool has_dynamic =
      std::any_of(kernel_.variables.begin(), kernel_.variables.end(),
                  [](const Variable& variable) { return variable.space == Space::shared && variable.bytes == 0; });
  if (!has_dynamic) kernel_.shared_bytes = static_bytes;
}

}  // namespace simulator::ptx
