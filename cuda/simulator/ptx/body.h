// Kernels as the parser leaves them: instructions of opcodes, types and operands, with labels and names resolved.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ptx/functions.h"
#include "ptx/module.h"

namespace simulator::ptx {

enum class Type : uint8_t {
  none,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  b8,
  b16,
  b32,
  b64,
  f16,
  bf16,
  f32,
  f64,
  f16x2,
  bf16x2,
  tf32,
  pred
};

int size_of(Type type);
bool is_signed(Type type);
// Type::none if there is no such type.
Type type_of(std::string_view name);

// How instructions are executed. Everything that works on lanes alone is a `function` (functions.h).
enum class Opcode : uint8_t {
  function,
  compare,       // setp
  set,           // set
  select,        // selp
  pack,          // mov of a vector to one register
  unpack,        // mov of one register to a vector
  branch,        // bra
  branch_table,  // brx.idx
  exit,          // ret, exit
  trap,
  load,             // ld
  store,            // st
  atomic,           // atom, red
  convert_address,  // cvta
  is_space,         // isspacep
  copy_async,       // cp.async
  commit_copies,    // cp.async.commit_group
  wait_copies,      // cp.async.wait_group, cp.async.wait_all
  barrier,          // bar.sync, barrier.sync
  barrier_reduce,   // bar.red
  warp_barrier,     // bar.warp.sync
  shuffle,          // shfl.sync
  vote,             // vote.sync
  match,            // match.sync
  active_mask,      // activemask
  reduce,           // redux.sync
  matrix_multiply,  // mma.sync
  matrix_load,      // ldmatrix
  matrix_store,     // stmatrix
  nothing,          // membar, fence, prefetch, nanosleep: without effect on what a program computes
};

enum class AtomicOperation : uint8_t {
  add,
  minimum,
  maximum,
  and_,
  or_,
  xor_,
  exchange,
  compare_exchange,
  increment,
  decrement
};
enum class Comparison : uint8_t { none, and_, or_, xor_ };
enum class ShuffleMode : uint8_t { up, down, butterfly, index };
enum class VoteMode : uint8_t { all, any, uniform, ballot };

struct Operand {
  enum class Kind : uint8_t { none, sink, reg, immediate, special, variable, parameter };
  Kind kind = Kind::none;
  bool negated = false;  // !p
  int index = -1;        // of a register, a special register, a variable of kernel or module
  uint64_t value = 0;    // immediate; the offset in a parameter or variable
};

enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  dynamic_smem_size,
  total_smem_size,
  warp_size,
  count
};

struct Address {
  Operand base;
  int64_t offset = 0;
};

struct Location {
  int file = 0;
  int line = 0;
  int inlined_file = 0;  // where the function that holds the line was inlined; 0: it was not
  int inlined_line = 0;
};

struct Instruction {
  Opcode opcode = Opcode::nothing;
  Type type = Type::none;
  Space space = Space::generic;
  const Function* function = nullptr;
  int guard = -1;  // index of the register
  bool guard_negated = false;

  uint8_t mode = 0;  // Comparison, AtomicOperation, ShuffleMode, VoteMode, or a flag: see the opcode in instructions.cc
  bool strong = false;  // volatile, relaxed and the like
  bool flag = false;    // ldmatrix, stmatrix: transposed; cvta: to a space; match: all
  uint8_t count = 1;    // elements of a vector; matrices of ldmatrix; bytes of cp.async; groups of a wait
  Operand destination, second_destination;
  std::vector<Operand> sources;  // of vectors one after the other; destinations of vectors first
  Address addresses[2];
  std::vector<int> targets;  // of branches: indices of instructions

  std::string mnemonic;
  int line = 0;  // of the PTX
  Location location;
};

struct Register {
  std::string name;
  Type type = Type::none;
};

struct Body {
  std::vector<Instruction> instructions;
  std::vector<Register> registers;
  std::shared_ptr<const std::vector<std::string>> files;  // of the module, by the number of .file; they follow the code
  std::string file(int number) const {
    const auto index = static_cast<size_t>(number);
    return number >= 0 && index < files->size() ? (*files)[index] : std::string();
  }
  std::vector<std::string> source;  // lines of the PTX
  // For each instruction, where threads that part in it meet again: its immediate post-dominator; -1: at their exit.
  std::vector<int> reconvergence;
};

}  // namespace simulator::ptx
