// Instructions that touch memory.
#include <algorithm>

#include "ptx/instructions.h"

namespace simulator::ptx {
namespace {

bool is_one_of(const std::string& text, std::initializer_list<std::string_view> choices) {
  return std::find(choices.begin(), choices.end(), text) != choices.end();
}

// Says how caches are used, which changes nothing here.
bool is_cache_hint(const std::string& modifier) {
  return is_one_of(modifier,
                   {"ca", "cg", "cs", "cv", "lu", "wb", "wt", "nc", "L1::evict_normal", "L1::evict_unchanged",
                    "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B"});
}
bool is_strong(const std::string& modifier) {
  return is_one_of(modifier, {"volatile", "relaxed", "acquire", "release", "acq_rel"});
}
bool is_scope(const std::string& modifier) { return is_one_of(modifier, {"cta", "gpu", "sys"}); }

bool space_of(const std::string& modifier, Space& space) {
  if (modifier == "global")
    space = Space::global;
  else if (modifier == "shared" || modifier == "shared::cta")
    space = Space::shared;
  else if (modifier == "local")
    space = Space::local;
  else if (modifier == "param" || modifier == "param::entry")
    space = Space::parameter;
  else if (modifier == "const")
    space = Space::constant;
  else
    return false;
  return true;
}

}  // namespace

// Registers may be longer than what is loaded or stored; those of floats may not.
Operand InstructionParser::memory_register(Type type, bool destination) {
  const char letter = letter_of(type);
  Operand result = value(letter);
  if (result.kind == Operand::Kind::immediate && !destination) return result;
  if (result.kind == Operand::Kind::sink && destination) return result;
  if (result.kind != Operand::Kind::reg) scanner_.refuse(mnemonic_ + " takes registers");
  const Register& reg = names_.body->registers[result.index];
  const bool is_float = type == Type::f32 || type == Type::f64;
  const int bytes = size_of(reg.type);
  if (reg.type == Type::pred || (is_float ? bytes != size_of(type) : bytes < size_of(type)))
    scanner_.refuse("register " + reg.name + " does not fit " + mnemonic_);
  return result;
}

void InstructionParser::parse_memory(Instruction& instruction, const Modifiers& modifiers) {
  const bool store = mnemonic_.compare(0, 2, "st") == 0;
  instruction.opcode = store ? Opcode::store : Opcode::load;
  for (const std::string& modifier : modifiers) {
    if (const Type type = type_of(modifier); type != Type::none && type != Type::pred)
      instruction.type = type;
    else if (space_of(modifier, instruction.space) || modifier == "weak" || is_cache_hint(modifier) ||
             is_scope(modifier))
      continue;
    else if (is_strong(modifier))
      instruction.strong = true;
    else if (modifier == "v2" || modifier == "v4")
      instruction.count = modifier == "v2" ? 2 : 4;
    else
      refuse_modifier(modifier);
  }
  if (instruction.type == Type::none) refuse_instruction();
  if (store && (instruction.space == Space::parameter || instruction.space == Space::constant)) refuse_instruction();
  const auto elements = [&] {
    if (instruction.count == 1 && !scanner_.peek().is("{")) {
      instruction.sources.push_back(memory_register(instruction.type, !store));
      return;
    }
    scanner_.expect("{");
    do {
      instruction.sources.push_back(memory_register(instruction.type, !store));
    } while (scanner_.accept(","));
    scanner_.expect("}");
    if (instruction.sources.size() != instruction.count) scanner_.refuse("wrong count of elements for " + mnemonic_);
  };
  if (store) {
    instruction.addresses[0] = address();
    scanner_.expect(",");
    elements();
  } else {
    elements();
    scanner_.expect(",");
    instruction.addresses[0] = address();
  }
}

void InstructionParser::parse_atomic(Instruction& instruction, const Modifiers& modifiers) {
  const bool reduction = mnemonic_.compare(0, 3, "red") == 0;
  instruction.opcode = Opcode::atomic;
  static const std::map<std::string, AtomicOperation> kOperations = {
      {"add", AtomicOperation::add},       {"min", AtomicOperation::minimum},
      {"max", AtomicOperation::maximum},   {"and", AtomicOperation::and_},
      {"or", AtomicOperation::or_},        {"xor", AtomicOperation::xor_},
      {"exch", AtomicOperation::exchange}, {"cas", AtomicOperation::compare_exchange},
      {"inc", AtomicOperation::increment}, {"dec", AtomicOperation::decrement}};
  bool known = false;
  for (const std::string& modifier : modifiers) {
    if (const auto operation = kOperations.find(modifier); operation != kOperations.end()) {
      instruction.mode = static_cast<uint8_t>(operation->second);
      known = true;
    } else if (const Type type = type_of(modifier); type != Type::none && type != Type::pred) {
      instruction.type = type;
    } else if (!space_of(modifier, instruction.space) && !is_strong(modifier) && !is_scope(modifier) &&
               modifier != "noftz") {
      refuse_modifier(modifier);
    }
  }
  const auto operation = static_cast<AtomicOperation>(instruction.mode);
  const int bytes = size_of(instruction.type);
  const bool is_float = letter_of(instruction.type) == 'f' || letter_of(instruction.type) == 'd' ||
                        is_one_of(modifiers.back(), {"f16", "bf16", "f16x2", "bf16x2"});
  if (!known || bytes < 2 || (is_float && operation != AtomicOperation::add) ||
      (bytes == 2 && !is_float && operation != AtomicOperation::compare_exchange))
    refuse_instruction();
  if (instruction.space == Space::local || instruction.space == Space::parameter ||
      instruction.space == Space::constant)
    refuse_instruction();
  const char letter = letter_of(instruction.type);
  if (!reduction) {
    instruction.destination = operand(letter, true);
    scanner_.expect(",");
  }
  instruction.addresses[0] = address();
  const int sources = operation == AtomicOperation::compare_exchange ? 2 : 1;
  for (int i = 0; i < sources; i++) {
    scanner_.expect(",");
    instruction.sources.push_back(operand(letter));
  }
}

void InstructionParser::parse_convert_address(Instruction& instruction, const Modifiers& modifiers) {
  const bool test = mnemonic_.compare(0, 4, "isspa") == 0 || mnemonic_[0] == 'i';
  instruction.opcode = test ? Opcode::is_space : Opcode::convert_address;
  size_t at = 0;
  if (!test && !modifiers.empty() && modifiers[0] == "to") {
    instruction.flag = true;
    at++;
  }
  if (at >= modifiers.size() || !space_of(modifiers[at], instruction.space)) refuse_instruction();
  at++;
  if (!test) {
    if (at >= modifiers.size() || modifiers[at] != "u64") refuse_instruction();
    at++;
  }
  if (at != modifiers.size()) refuse_modifier(modifiers[at]);
  instruction.destination = operand(test ? 'p' : 'l', true);
  scanner_.expect(",");
  instruction.sources.push_back(operand('l'));
}

void InstructionParser::parse_copy(Instruction& instruction, const Modifiers& modifiers) {
  if (modifiers.empty() || modifiers[0] != "async") refuse_instruction();
  if (spelled(modifiers, "async.commit_group")) {
    instruction.opcode = Opcode::commit_copies;
    return;
  }
  if (spelled(modifiers, "async.wait_group") || spelled(modifiers, "async.wait_all")) {
    instruction.opcode = Opcode::wait_copies;
    instruction.flag = modifiers[1] == "wait_all";
    instruction.count = 0;
    if (instruction.flag) return;
    const int64_t groups = scanner_.expect_integer("a count of groups");
    if (groups < 0 || groups > 255) scanner_.refuse("a count of groups is 0 to 255");
    instruction.count = static_cast<uint8_t>(groups);
    return;
  }
  instruction.opcode = Opcode::copy_async;
  const bool past_first_level = modifiers.size() > 1 && modifiers[1] == "cg";
  if (modifiers.size() < 4 || (!past_first_level && modifiers[1] != "ca")) refuse_instruction();
  if ((modifiers[2] != "shared" && modifiers[2] != "shared::cta") || modifiers[3] != "global") refuse_instruction();
  for (size_t i = 4; i < modifiers.size(); i++)
    if (!is_cache_hint(modifiers[i])) refuse_modifier(modifiers[i]);
  instruction.addresses[0] = address();
  scanner_.expect(",");
  instruction.addresses[1] = address();
  scanner_.expect(",");
  const int64_t bytes = scanner_.expect_integer("a count of bytes");
  if (!(bytes == 16 || (!past_first_level && (bytes == 4 || bytes == 8))))
    scanner_.refuse(mnemonic_ + " does not copy " + std::to_string(bytes) + " bytes");
  instruction.count = static_cast<uint8_t>(bytes);
  // How many bytes are read, the others being zeros; or a predicate that says that none is.
  if (!scanner_.accept(",")) return;
  const int reg = find_register(std::string(scanner_.peek().text));
  instruction.flag = reg >= 0 && names_.body->registers[reg].type == Type::pred;
  instruction.sources.push_back(operand(instruction.flag ? 'p' : 'w'));
}

}  // namespace simulator::ptx
