// Instructions of which several threads take part.
#include <algorithm>

#include "ptx/instructions.h"

namespace simulator::ptx {

void InstructionParser::parse_barrier(Instruction& instruction, const Modifiers& given) {
  Modifiers modifiers = given;
  if (spelled(modifiers, "warp.sync")) {
    instruction.opcode = Opcode::warp_barrier;
    instruction.sources.push_back(operand('w'));
    return;
  }
  if (!modifiers.empty() && modifiers[0] == "cta") modifiers.erase(modifiers.begin());
  if (modifiers.size() > 1 && modifiers[1] == "aligned") modifiers.erase(modifiers.begin() + 1);
  const auto number = [&] {
    const int64_t barrier = scanner_.expect_integer("the number of a barrier (a constant)");
    if (barrier < 0 || barrier > 15) scanner_.refuse("barriers are numbered 0 to 15");
    instruction.count = static_cast<uint8_t>(barrier);
  };
  if (spelled(modifiers, "sync")) {
    instruction.opcode = Opcode::barrier;
    number();
    if (scanner_.peek().is(",")) scanner_.refuse("barriers of a part of the block are not supported");
    return;
  }
  if (!spelled(modifiers, "red.popc.u32") && !spelled(modifiers, "red.and.pred") && !spelled(modifiers, "red.or.pred"))
    refuse_instruction();
  instruction.opcode = Opcode::barrier_reduce;
  const std::string& operation = modifiers[1];
  instruction.mode = operation == "popc" ? 0 : operation == "and" ? 1 : 2;
  instruction.destination = operand(operation == "popc" ? 'w' : 'p', true);
  scanner_.expect(",");
  number();
  scanner_.expect(",");
  instruction.sources.push_back(operand('p'));
  if (scanner_.peek().is(",")) scanner_.refuse("barriers of a part of the block are not supported");
}

void InstructionParser::parse_warp(Instruction& instruction, const Modifiers& modifiers) {
  const std::string name = mnemonic_;
  const auto source = [&](char letter) {
    scanner_.expect(",");
    instruction.sources.push_back(operand(letter));
  };
  const auto destinations = [&](char letter, bool second) {
    instruction.destination = operand(letter, true);
    if (second && scanner_.accept("|")) instruction.second_destination = operand('p', true);
  };
  static const std::map<std::string, ShuffleMode> kShuffles = {{"shfl.sync.up.b32", ShuffleMode::up},
                                                               {"shfl.sync.down.b32", ShuffleMode::down},
                                                               {"shfl.sync.bfly.b32", ShuffleMode::butterfly},
                                                               {"shfl.sync.idx.b32", ShuffleMode::index}};
  static const std::map<std::string, VoteMode> kVotes = {{"vote.sync.all.pred", VoteMode::all},
                                                         {"vote.sync.any.pred", VoteMode::any},
                                                         {"vote.sync.uni.pred", VoteMode::uniform},
                                                         {"vote.sync.ballot.b32", VoteMode::ballot}};
  if (const auto shuffle = kShuffles.find(name); shuffle != kShuffles.end()) {
    instruction.opcode = Opcode::shuffle;
    instruction.mode = static_cast<uint8_t>(shuffle->second);
    destinations('w', true);
    for (int i = 0; i < 4; i++) source('w');
  } else if (const auto vote = kVotes.find(name); vote != kVotes.end()) {
    instruction.opcode = Opcode::vote;
    instruction.mode = static_cast<uint8_t>(vote->second);
    destinations(vote->second == VoteMode::ballot ? 'w' : 'p', false);
    source('p');
    source('w');
  } else if (modifiers.size() == 3 && name.compare(0, 6, "match.") == 0 && modifiers[1] == "sync") {
    if (modifiers[0] != "any" && modifiers[0] != "all") refuse_modifier(modifiers[0]);
    if (modifiers[2] != "b32" && modifiers[2] != "b64") refuse_modifier(modifiers[2]);
    instruction.opcode = Opcode::match;
    instruction.flag = modifiers[0] == "all";
    instruction.type = type_of(modifiers[2]);
    destinations('w', instruction.flag);
    source(letter_of(instruction.type));
    source('w');
  } else if (modifiers.size() == 3 && name.compare(0, 11, "redux.sync.") == 0) {
    static const std::map<std::string, AtomicOperation> kOperations = {
        {"add", AtomicOperation::add},  {"min", AtomicOperation::minimum}, {"max", AtomicOperation::maximum},
        {"and", AtomicOperation::and_}, {"or", AtomicOperation::or_},      {"xor", AtomicOperation::xor_}};
    const auto operation = kOperations.find(modifiers[1]);
    instruction.type = type_of(modifiers[2]);
    if (operation == kOperations.end()) refuse_modifier(modifiers[1]);
    if (instruction.type != Type::u32 && instruction.type != Type::s32 && instruction.type != Type::b32)
      refuse_modifier(modifiers[2]);
    instruction.opcode = Opcode::reduce;
    instruction.mode = static_cast<uint8_t>(operation->second);
    destinations('w', false);
    source('w');
    source('w');
  } else if (name == "activemask.b32") {
    instruction.opcode = Opcode::active_mask;
    destinations('w', false);
  } else {
    refuse_instruction();
  }
}

void InstructionParser::parse_matrix(Instruction& instruction, const Modifiers& modifiers) {
  // Registers of d, a, b and c.
  struct Shape {
    std::string_view name;
    uint8_t depth;
    Type type;
    bool half_sums;
    size_t counts[4];
  };
  static const Shape kShapes[] = {
      {"sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16, Type::bf16, false, {4, 4, 2, 4}},
      {"sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 16, Type::f16, false, {4, 4, 2, 4}},
      {"sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 16, Type::f16, true, {2, 4, 2, 2}},
      {"sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", 8, Type::bf16, false, {4, 2, 1, 4}},
      {"sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 8, Type::f16, false, {4, 2, 1, 4}},
      {"sync.aligned.m16n8k8.row.col.f16.f16.f16.f16", 8, Type::f16, true, {2, 2, 1, 2}},
      {"sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8, Type::tf32, false, {4, 4, 2, 4}},
      {"sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", 4, Type::tf32, false, {4, 2, 1, 4}}};
  if (mnemonic_.compare(0, 4, "mma.") == 0) {
    for (const Shape& shape : kShapes) {
      if (!spelled(modifiers, shape.name)) continue;
      instruction.opcode = Opcode::matrix_multiply;
      instruction.count = shape.depth;
      instruction.type = shape.type;
      instruction.flag = shape.half_sums;
      for (int i = 0; i < 4; i++) {
        if (i) scanner_.expect(",");
        vector_into(instruction, i == 0 || i == 3 ? (shape.half_sums ? 'w' : 'f') : 'w', shape.counts[i], i == 0);
      }
      return;
    }
    refuse_instruction();
  }
  const bool store = mnemonic_[0] == 's';
  // The manual has the shape before the number of matrices; the assembler takes it behind, too, and kernels are written
  // so.
  Modifiers ordered = modifiers;
  const auto shape = std::find(ordered.begin(), ordered.end(), "m8n8");
  if (shape - ordered.begin() > 2 && shape != ordered.end()) std::rotate(ordered.begin() + 2, shape, shape + 1);
  for (const int count : {1, 2, 4})
    for (const bool transposed : {false, true})
      for (const char* space : {"shared", "shared::cta"}) {
        const std::string name =
            "sync.aligned.m8n8.x" + std::to_string(count) + (transposed ? ".trans." : ".") + space + ".b16";
        if (!spelled(ordered, name)) continue;
        instruction.opcode = store ? Opcode::matrix_store : Opcode::matrix_load;
        instruction.count = static_cast<uint8_t>(count);
        instruction.flag = transposed;
        instruction.space = Space::shared;
        if (store) instruction.addresses[0] = address(), scanner_.expect(",");
        vector_into(instruction, 'w', count, !store);
        if (!store) scanner_.expect(","), instruction.addresses[0] = address();
        return;
      }
  refuse_instruction();
}

}  // namespace simulator::ptx
