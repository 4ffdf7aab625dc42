// atom in all its operations and types: the old value is returned, the new one stored.
#include <algorithm>

#include "tests/harness.h"
#include "tests/reference.h"

namespace simulator::tests {
namespace {

// The new value by the manual; those that are arithmetic go by the instruction of the same name.
Expected updated(const std::string& operation, const std::string& type, bool shared, uint64_t old, uint64_t b,
                 uint64_t c) {
  if (operation == "exch") return {b};
  if (operation == "cas") return {old == b ? c : old};
  if (operation == "inc") return {old >= b ? 0 : old + 1};
  if (operation == "dec") return {old == 0 || old > b ? b : old - 1};
  // float32 is flushed in global memory, and in shared memory it is not.
  const bool flushed = operation == "add" && type == "f32" && !shared;
  return *expected_of(operation + (flushed ? ".ftz." : ".") + type, {old, b});
}

void check(const std::string& operation, const std::string& type, bool shared) {
  const std::vector<uint64_t> samples = samples_of(type[0] == 'b' && type.size() == 3 ? "u" + type.substr(1) : type);
  const bool wide = type.substr(1) == "64", half = type == "f16" || type == "bf16" || type == "b16";
  const std::string letter = wide ? (type == "f64" ? "g" : "d") : half ? "h" : type == "f32" ? "f" : "r";
  const std::string bits = wide ? "b64" : half ? "b16" : "b32";
  // A lane for each case: the old value, b and c lie side by side in 32 bytes of the input, of which the old one is
  // changed.
  std::vector<uint64_t> in(32 * 4);
  for (size_t lane = 0; lane < 32; lane++) {
    in[lane * 4] = samples[lane % samples.size()];
    in[lane * 4 + 1] = samples[(lane * 7 + lane / samples.size() + (lane % 3 ? 2 : 0)) % samples.size()];
    if (operation == "cas" && lane % 2) in[lane * 4 + 1] = in[lane * 4];
    in[lane * 4 + 2] = samples[(lane * 5 + 1) % samples.size()];
  }
  const std::string name = std::string("atom.") + (shared ? "shared." : "global.") + operation +
                           (type.find("16") != std::string::npos && operation == "add" ? ".noftz." : ".") + type;
  const auto reg = [&](int index) { return "%" + letter + std::to_string(index); };
  std::string body =
      ".shared .align 8 .b8 cells[256];\nmov.u32 %r40, cells;\nshl.b32 %r41, %tid, 3;\nadd.u32 %r40, %r40, %r41;\n"
      "mul.wide.u32 %d40, %tid, 32;\nadd.u64 %d41, %d40, %in;\nadd.u64 %d42, %d40, %out;\n";
  for (int i = 0; i < 3; i++)
    body += "ld.global." + bits + " " + reg(i + 1) + ", [%d41+" + std::to_string(8 * i) + "];\n";
  const std::string cell = shared ? "[%r40]" : "[%d42]", space = shared ? "shared." : "global.";
  body += "st." + space + bits + " " + cell + ", " + reg(1) + ";\n";
  body += name + " " + reg(4) + ", " + cell + ", " + reg(2) + (operation == "cas" ? ", " + reg(3) : "") + ";\n";
  body += "ld." + space + bits + " " + reg(5) + ", " + cell + ";\nst.global." + bits + " [%d42+8], " + reg(4) +
          ";\nst.global." + bits + " [%d42+16], " + reg(5) + ";\n";
  const Outcome outcome = run(kernel_text(body), bytes_of(in));
  if (!outcome.ok) throw Failed(name + ": " + outcome.report.findings()[0].text());
  for (size_t lane = 0; lane < 32; lane++) {
    const uint64_t* given = in.data() + lane * 4;
    const std::string what = name + ", case " + std::to_string(lane);
    expect_equal(outcome.at<uint64_t>(lane * 4 + 1), given[0], "the old value of " + what);
    const Expected wanted = updated(operation, type, shared, given[0], given[1], given[2]);
    if (!agrees(wanted, outcome.at<uint64_t>(lane * 4 + 2)))
      expect_equal(outcome.at<uint64_t>(lane * 4 + 2), wanted.bits, what);
  }
}

}  // namespace

TEST(all_atomic_operations_agree_with_the_manual) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> operations = {
      {"add", {"u32", "s32", "u64", "f32", "f64", "f16", "f16x2", "bf16", "bf16x2"}},
      {"min", {"u32", "s32", "u64", "s64"}},
      {"max", {"u32", "s32", "u64", "s64"}},
      {"and", {"b32", "b64"}},
      {"or", {"b32", "b64"}},
      {"xor", {"b32", "b64"}},
      {"exch", {"b32", "b64"}},
      {"cas", {"b16", "b32", "b64"}},
      {"inc", {"u32"}},
      {"dec", {"u32"}}};
  for (const auto& [operation, types] : operations)
    for (const std::string& type : types)
      for (const bool shared : {false, true}) check(operation, type, shared);
}

}  // namespace simulator::tests
