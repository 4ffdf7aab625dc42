// Operands of instructions.
#include "ptx/instructions.h"

namespace simulator::ptx {
namespace {

constexpr std::string_view kSpecials[] = {
    "%tid.x",           "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",      "%ntid.z",
    "%ctaid.x",         "%ctaid.y",     "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z",
    "%laneid",          "%warpid",      "%nwarpid",     "%smid",        "%nsmid",       "%gridid",
    "%lanemask_eq",     "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge", "%dynamic_smem_size",
    "%total_smem_size", "WARP_SZ"};
static_assert(std::size(kSpecials) == static_cast<size_t>(Special::count));

int bytes_of(char letter) { return letter == 'l' || letter == 'd' ? 8 : letter == 'h' ? 2 : letter == 'p' ? 1 : 4; }

}  // namespace

Special special_of(std::string_view name) {
  for (size_t i = 0; i < std::size(kSpecials); i++)
    if (kSpecials[i] == name) return static_cast<Special>(i);
  return Special::count;
}

char letter_of(Type type) {
  if (type == Type::pred) return 'p';
  if (type == Type::f32) return 'f';
  if (type == Type::f64) return 'd';
  const int bytes = size_of(type);
  return bytes == 8 ? 'l' : bytes == 4 ? 'w' : 'h';
}

int InstructionParser::find_register(const std::string& name) const {
  for (auto scope = names_.registers.rbegin(); scope != names_.registers.rend(); ++scope) {
    const auto found = scope->find(name);
    if (found != scope->end()) return found->second;
  }
  return -1;
}

int InstructionParser::declare(const std::string& name, Type type) {
  const int index = static_cast<int>(names_.body->registers.size());
  if (!names_.registers.back().emplace(name, index).second) scanner_.refuse("register " + name + " is declared twice");
  names_.body->registers.push_back({name, type});
  return index;
}

// 64 bits, 32 bits and predicates lie differently in registers; a 16-bit source may be the lower part of a longer one.
void InstructionParser::check_register(const Operand& operand, char letter, bool destination) {
  if (operand.kind != Operand::Kind::reg) return;
  const Register& reg = names_.body->registers[operand.index];
  const int bytes = size_of(reg.type), wanted = bytes_of(letter);
  const bool fits = letter == 'p' || reg.type == Type::pred ? letter == 'p' && reg.type == Type::pred
                    : wanted == 2 && !destination           ? bytes == 2 || bytes == 4
                                                            : bytes == wanted;
  if (!fits) scanner_.refuse("register " + reg.name + " does not fit " + mnemonic_);
}

Operand InstructionParser::named(const std::string& name) {
  Operand operand;
  if (name == "_") {
    operand.kind = Operand::Kind::sink;
    return operand;
  }
  if (const Special special = special_of(name); special != Special::count) {
    operand.kind = Operand::Kind::special;
    operand.index = static_cast<int>(special);
    return operand;
  }
  if (const int reg = find_register(name); reg >= 0) {
    operand.kind = Operand::Kind::reg;
    operand.index = reg;
    return operand;
  }
  if (const auto found = names_.parameters.find(name); found != names_.parameters.end()) {
    operand.kind = Operand::Kind::parameter;
    operand.value = found->second;
    return operand;
  }
  if (const auto found = names_.kernel_variables.find(name); found != names_.kernel_variables.end()) {
    operand.kind = Operand::Kind::variable;
    operand.index = found->second;
    return operand;
  }
  const auto found = names_.module_variables.find(name);
  if (found == names_.module_variables.end()) scanner_.refuse("unknown name " + name);
  const Variable& variable = names_.module->variables[found->second];
  operand.kind = Operand::Kind::variable;
  if (variable.space == Space::shared) {
    // A kernel has its own copy of the module's .shared variables that it names.
    operand.index = static_cast<int>(names_.kernel->variables.size());
    names_.kernel->variables.push_back(variable);
    names_.kernel_variables.emplace(name, operand.index);
  } else {
    operand.index = -1 - found->second;  // of the module
  }
  return operand;
}

Operand InstructionParser::value(char letter) {
  const Token& token = scanner_.peek();
  if (token.kind == Token::Kind::number || token.is("-")) {
    const bool negative = scanner_.accept("-");
    Operand operand;
    operand.kind = Operand::Kind::immediate;
    const std::string text(scanner_.next().text);
    if (!literal_bits(text, negative, letter == 'f' || letter == 'd', bytes_of(letter), operand.value))
      scanner_.refuse("the literal " + text + " does not fit " + mnemonic_);
    return operand;
  }
  const bool negated = scanner_.accept("!");
  if (negated && letter != 'p') scanner_.refuse("only predicates are negated");
  Operand operand = named(scanner_.expect_name("an operand"));
  operand.negated = negated;
  if (operand.kind == Operand::Kind::variable || operand.kind == Operand::Kind::parameter) {
    if (scanner_.accept("+")) operand.value += scanner_.expect_integer("an offset");
  }
  return operand;
}

Operand InstructionParser::operand(char letter, bool destination) {
  Operand operand = value(letter);
  if (destination && operand.kind != Operand::Kind::reg && operand.kind != Operand::Kind::sink)
    scanner_.refuse("the destination of " + mnemonic_ + " is no register");
  check_register(operand, letter, destination);
  return operand;
}

Address InstructionParser::address() {
  scanner_.expect("[");
  Address result;
  if (scanner_.peek().kind == Token::Kind::number) {
    result.base.kind = Operand::Kind::immediate;
    result.offset = scanner_.expect_integer("an address");
  } else {
    result.base = named(scanner_.expect_name("an address"));
    const int sign = scanner_.peek().is("-") ? -1 : 1;
    // Both "+8" and "+-8" are written.
    if (scanner_.accept("+") || scanner_.accept("-")) result.offset = sign * scanner_.expect_integer("an offset");
  }
  scanner_.expect("]");
  if (result.base.kind == Operand::Kind::reg) {
    const int bytes = size_of(names_.body->registers[result.base.index].type);
    if (bytes != 4 && bytes != 8) scanner_.refuse("an address is 32 or 64 bits wide");
  }
  return result;
}

int InstructionParser::vector_length() const {
  if (!scanner_.peek().is("{")) return 1;
  int count = 1;
  for (size_t ahead = 1; !scanner_.peek(ahead).is("}"); ahead++) {
    if (scanner_.peek(ahead).kind == Token::Kind::end) scanner_.refuse("a vector does not end");
    if (scanner_.peek(ahead).is(",")) count++;
  }
  return count;
}

std::vector<Operand> InstructionParser::vector(char letter, size_t count, bool destination) {
  std::vector<Operand> result;
  if (count == 1 && !scanner_.peek().is("{")) {
    result.push_back(operand(letter, destination));
    return result;
  }
  scanner_.expect("{");
  do {
    result.push_back(operand(letter, destination));
  } while (scanner_.accept(","));
  scanner_.expect("}");
  if (result.size() != count) scanner_.refuse(mnemonic_ + " takes vectors of " + std::to_string(count));
  return result;
}

void InstructionParser::vector_into(Instruction& instruction, char letter, size_t count, bool destination) {
  for (Operand& element : vector(letter, count, destination)) instruction.sources.push_back(element);
}

}  // namespace simulator::ptx
