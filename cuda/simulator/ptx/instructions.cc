// One instruction: by its first word it belongs to a family; what is in none is looked up in the table of functions.
#include "ptx/instructions.h"

#include <algorithm>

namespace simulator::ptx {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (;;) {
    const size_t dot = text.find('.', start);
    parts.push_back(text.substr(start, dot - start));
    if (dot == std::string::npos) return parts;
    start = dot + 1;
  }
}

Comparison combination_of(const std::string& modifier) {
  return modifier == "and"   ? Comparison::and_
         : modifier == "or"  ? Comparison::or_
         : modifier == "xor" ? Comparison::xor_
                             : Comparison::none;
}

// "setp.lt.and.s32" without its "and".
std::string without_combination(const std::vector<std::string>& modifiers, Comparison& combination) {
  std::string name = "setp";
  for (const std::string& modifier : modifiers) {
    const Comparison found = combination_of(modifier);
    if (found == Comparison::none)
      name += "." + modifier;
    else
      combination = found;
  }
  return name;
}

}  // namespace

bool InstructionParser::spelled(const Modifiers& modifiers, std::string_view text) {
  std::string joined;
  for (const std::string& modifier : modifiers) joined += (joined.empty() ? "" : ".") + modifier;
  return joined == text;
}

void InstructionParser::refuse_modifier(const std::string& modifier) const {
  scanner_.refuse_at(line_, "unknown modifier ." + modifier + " of " + mnemonic_);
}

void InstructionParser::refuse_instruction() const { scanner_.refuse_at(line_, "unknown instruction " + mnemonic_); }

Instruction InstructionParser::parse(std::vector<std::string>& labels) {
  line_ = scanner_.line();
  mnemonic_ = scanner_.expect_name("an instruction");
  Modifiers modifiers = split(mnemonic_);
  const std::string head = modifiers.front();
  modifiers.erase(modifiers.begin());
  Instruction instruction;
  instruction.line = line_;
  instruction.mnemonic = mnemonic_;
  using Family = void (InstructionParser::*)(Instruction&, const Modifiers&);
  static const std::map<std::string, Family> kFamilies = {{"mov", &InstructionParser::parse_move},
                                                          {"setp", &InstructionParser::parse_compare},
                                                          {"set", &InstructionParser::parse_set},
                                                          {"selp", &InstructionParser::parse_select},
                                                          {"ld", &InstructionParser::parse_memory},
                                                          {"ldu", &InstructionParser::parse_memory},
                                                          {"st", &InstructionParser::parse_memory},
                                                          {"atom", &InstructionParser::parse_atomic},
                                                          {"red", &InstructionParser::parse_atomic},
                                                          {"cvta", &InstructionParser::parse_convert_address},
                                                          {"isspacep", &InstructionParser::parse_convert_address},
                                                          {"cp", &InstructionParser::parse_copy},
                                                          {"bar", &InstructionParser::parse_barrier},
                                                          {"barrier", &InstructionParser::parse_barrier},
                                                          {"shfl", &InstructionParser::parse_warp},
                                                          {"vote", &InstructionParser::parse_warp},
                                                          {"match", &InstructionParser::parse_warp},
                                                          {"redux", &InstructionParser::parse_warp},
                                                          {"activemask", &InstructionParser::parse_warp},
                                                          {"mma", &InstructionParser::parse_matrix},
                                                          {"ldmatrix", &InstructionParser::parse_matrix},
                                                          {"stmatrix", &InstructionParser::parse_matrix},
                                                          {"membar", &InstructionParser::parse_without_effect},
                                                          {"fence", &InstructionParser::parse_without_effect},
                                                          {"prefetch", &InstructionParser::parse_without_effect},
                                                          {"prefetchu", &InstructionParser::parse_without_effect},
                                                          {"nanosleep", &InstructionParser::parse_without_effect}};
  if (head == "bra" || head == "brx" || head == "ret" || head == "exit" || head == "trap") {
    parse_branch(instruction, modifiers, labels);
  } else if (head == "call") {
    scanner_.refuse_at(line_, "calls of functions are not supported: everything must be inlined");
  } else if (const auto family = kFamilies.find(head); family != kFamilies.end()) {
    (this->*family->second)(instruction, modifiers);
  } else {
    parse_function(instruction);
  }
  scanner_.expect(";");
  return instruction;
}

// Where a source of 32 bits is a register of 64, its lower half is read (PTX ISA, "Operand Size Exceeding
// Instruction-Type Size"): the function of the same instruction that does so, or null.
const Function* InstructionParser::function_of_lower_half(char letter) const {
  const int index = find_register(std::string(scanner_.peek().text));
  if (letter != 'w' || index < 0 || size_of(names_.body->registers[index].type) != 8) return nullptr;
  return find_function(mnemonic_ + ".of_lower_half");
}

void InstructionParser::parse_function(Instruction& instruction) {
  const Function* function = find_function(mnemonic_);
  if (!function || !function->run) refuse_instruction();
  instruction.opcode = Opcode::function;
  instruction.function = function;
  std::string_view letters = function->operands;
  instruction.destination = operand(letters[0], true);
  bool carry_out = false, carry_in = false;
  for (char letter : letters.substr(1)) {
    if (letter == '>') {
      carry_out = true;
    } else if (letter == '<') {
      carry_in = true;
    } else {
      scanner_.expect(",");
      if (const Function* of_half = function_of_lower_half(letter)) {
        instruction.function = of_half;
        letter = 'l';
      }
      const Operand source = operand(letter);
      if (source.negated) scanner_.refuse(mnemonic_ + " takes no negated predicates");
      instruction.sources.push_back(source);
    }
  }
  if (!carry_out && !carry_in) return;
  int index = find_register("%CC");
  if (index < 0) {
    // Of the kernel, whatever scope is open.
    index = static_cast<int>(names_.body->registers.size());
    names_.body->registers.push_back({"%CC", Type::pred});
    names_.registers.front().emplace("%CC", index);
  }
  Operand carry;
  carry.kind = Operand::Kind::reg;
  carry.index = index;
  if (carry_out) instruction.second_destination = carry;
  if (carry_in) {
    instruction.sources.resize(3);
    instruction.sources.push_back(carry);
  }
}

void InstructionParser::parse_move(Instruction& instruction, const Modifiers& modifiers) {
  const Type type = modifiers.size() == 1 ? type_of(modifiers[0]) : Type::none;
  if (type == Type::none) refuse_instruction();
  instruction.type = type;
  const char part_letter = [&] {
    const int bytes = size_of(type);
    return bytes == 8 ? 'w' : 'h';
  }();
  if (scanner_.peek().is("{")) {
    const size_t count = vector_length();
    instruction.opcode = Opcode::unpack;
    instruction.count = static_cast<uint8_t>(count);
    vector_into(instruction, count == 4 ? 'h' : part_letter, count, true);
    scanner_.expect(",");
    instruction.sources.push_back(operand(letter_of(type)));
    if (count != 2 && !(count == 4 && size_of(type) == 8)) refuse_instruction();
    return;
  }
  const Operand destination = operand(letter_of(type), true);
  scanner_.expect(",");
  instruction.destination = destination;
  if (scanner_.peek().is("{")) {
    const size_t count = vector_length();
    instruction.opcode = Opcode::pack;
    instruction.count = static_cast<uint8_t>(count);
    vector_into(instruction, count == 4 ? 'h' : part_letter, count, false);
    if (count != 2 && !(count == 4 && size_of(type) == 8)) refuse_instruction();
    return;
  }
  const Function* function = find_function(mnemonic_);
  if (!function) refuse_instruction();
  instruction.opcode = Opcode::function;
  instruction.function = function;
  // Bits of a float32 may be moved as b32 and the other way round: literals of either kind are taken.
  char letter = function->operands[1];
  if (letter == 'w' || letter == 'l') {
    const std::string_view text = scanner_.peek(scanner_.peek().is("-") ? 1 : 0).text;
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F')) letter = 'f';
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'd' || text[1] == 'D')) letter = 'd';
  }
  instruction.sources.push_back(operand(letter));
  if (instruction.sources[0].negated) refuse_instruction();
}

void InstructionParser::parse_compare(Instruction& instruction, const Modifiers& modifiers) {
  Comparison combination = Comparison::none;
  const Function* function = find_function(without_combination(modifiers, combination));
  if (!function) refuse_instruction();
  instruction.opcode = Opcode::compare;
  instruction.function = function;
  instruction.mode = static_cast<uint8_t>(combination);
  instruction.destination = operand('p', true);
  if (scanner_.accept("|")) instruction.second_destination = operand('p', true);
  for (int i = 1; i <= 2; i++) {
    scanner_.expect(",");
    instruction.sources.push_back(operand(function->operands[i]));
  }
  if (combination == Comparison::none) return;
  scanner_.expect(",");
  instruction.sources.push_back(operand('p'));
}

void InstructionParser::parse_set(Instruction& instruction, const Modifiers& modifiers) {
  if (modifiers.size() < 3) refuse_instruction();
  // set.lt.u32.f32: the type of the result stands before that of the sources.
  Modifiers comparison = modifiers;
  const Type type = type_of(modifiers[modifiers.size() - 2]);
  comparison.erase(comparison.end() - 2);
  Comparison combination = Comparison::none;
  const Function* function = find_function(without_combination(comparison, combination));
  if (!function || (type != Type::u32 && type != Type::s32 && type != Type::b32 && type != Type::f32))
    refuse_instruction();
  instruction.opcode = Opcode::set;
  instruction.function = function;
  instruction.type = type;
  instruction.mode = static_cast<uint8_t>(combination);
  instruction.destination = operand(letter_of(type), true);
  for (int i = 1; i <= 2; i++) {
    scanner_.expect(",");
    instruction.sources.push_back(operand(function->operands[i]));
  }
  if (combination == Comparison::none) return;
  scanner_.expect(",");
  instruction.sources.push_back(operand('p'));
}

void InstructionParser::parse_select(Instruction& instruction, const Modifiers& modifiers) {
  const Type type = modifiers.size() == 1 ? type_of(modifiers[0]) : Type::none;
  if (type == Type::none || type == Type::pred || size_of(type) == 1) refuse_instruction();
  instruction.opcode = Opcode::select;
  instruction.type = type;
  const char letter = letter_of(type);
  instruction.destination = operand(letter, true);
  for (const char source : {letter, letter, 'p'}) {
    scanner_.expect(",");
    instruction.sources.push_back(operand(source));
  }
}

void InstructionParser::parse_branch(Instruction& instruction, const Modifiers& modifiers,
                                     std::vector<std::string>& labels) {
  const std::string head = mnemonic_.substr(0, mnemonic_.find('.'));
  const bool uniform = spelled(modifiers, "uni");
  if (head == "brx") {
    if (!spelled(modifiers, "idx") && !spelled(modifiers, "idx.uni")) refuse_instruction();
    instruction.opcode = Opcode::branch_table;
    instruction.sources.push_back(operand('w'));
    scanner_.expect(",");
    const std::string table = scanner_.expect_name("a table of labels");
    const auto found = names_.branch_targets.find(table);
    if (found == names_.branch_targets.end()) scanner_.refuse("unknown table of labels " + table);
    labels = found->second;
    return;
  }
  if (!modifiers.empty() && !uniform) refuse_instruction();
  if (head == "bra") {
    instruction.opcode = Opcode::branch;
    labels.push_back(scanner_.expect_name("a label"));
  } else {
    instruction.opcode = head == "trap" ? Opcode::trap : Opcode::exit;
  }
}

void InstructionParser::parse_without_effect(Instruction& instruction, const Modifiers& modifiers) {
  // Memory is coherent here and every access is seen at once: fences have nothing to order, caches nothing to fetch.
  static const std::vector<std::string> kKnown = {
      "membar.cta",         "membar.gl",         "membar.sys",        "fence.acq_rel.cta", "fence.acq_rel.gpu",
      "fence.acq_rel.sys",  "fence.sc.cta",      "fence.sc.gpu",      "fence.sc.sys",      "prefetch.global.L1",
      "prefetch.global.L2", "prefetch.local.L1", "prefetch.local.L2", "prefetch.L1",       "prefetch.L2",
      "prefetchu.L1",       "nanosleep.u32"};
  if (std::find(kKnown.begin(), kKnown.end(), mnemonic_) == kKnown.end()) {
    if (!modifiers.empty()) refuse_modifier(modifiers.back());
    refuse_instruction();
  }
  instruction.opcode = Opcode::nothing;
  if (scanner_.peek().is("["))
    address();
  else if (!scanner_.peek().is(";"))
    operand('w');
}

}  // namespace simulator::ptx
