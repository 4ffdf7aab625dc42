#include "tests/harness.h"

#include "ptx/body.h"
#include "ptx/functions.h"

namespace simulator::tests {

void expect_equal(uint64_t got, uint64_t expected, const std::string& what) {
  if (got == expected) return;
  char text[80];
  std::snprintf(text, sizeof text, ": got 0x%llx, expected 0x%llx", static_cast<unsigned long long>(got),
                static_cast<unsigned long long>(expected));
  throw Failed(what + text);
}

void expect_part(const std::string& text, const std::string& part) {
  if (text.find(part) == std::string::npos) throw Failed("no \"" + part + "\" in \"" + text + "\"");
}

std::string kernel_text(const std::string& body, const std::string& directives, const std::string& module_text) {
  return ".version 8.0\n.target sm_80\n.address_size 64\n" + module_text +
         "\n.visible .entry test(.param .u64 in, .param .u64 out)\n" + directives +
         "\n{\n.reg .b32 %r<64>, %tid;\n.reg .b16 %h<64>;\n.reg .b64 %d<64>, %in, %out;\n.reg .f32 %f<64>;\n.reg .f64 "
         "%g<64>;\n"
         ".reg .pred %p<64>;\n.loc 1 7 1\nld.param.u64 %in, [in];\nld.param.u64 %out, [out];\nmov.u32 %tid, %tid.x;\n" +
         body + "\nret;\n}\n.file 1 \"kernel.cu\"\n";  // behind the code, as nvcc writes it
}

std::set<const ptx::Function*>& functions_run() {
  static std::set<const ptx::Function*> functions;
  return functions;
}

Outcome run(const std::string& ptx, const std::vector<std::byte>& in, const Setup& setup) {
  memory::DeviceMemory memory(size_t(1) << 30);
  const machine::Program program(ptx::parse(ptx, "test.ptx"), memory);
  for (const ptx::Kernel& kernel : program.module().kernels)
    for (const ptx::Instruction& instruction : kernel.body->instructions)
      if (instruction.function) functions_run().insert(instruction.function);
  const uint64_t addresses[2] = {memory.allocate(std::max<size_t>(in.size(), 1)), memory.allocate(setup.out_bytes)};
  memory.write(addresses[0], in.data(), in.size());
  if (setup.out_written) memory.fill(addresses[1], "", 1, setup.out_bytes);
  machine::Launch launch;
  launch.program = &program;
  launch.kernel = "test";
  launch.grid = setup.grid;
  launch.block = setup.block;
  launch.dynamic_shared_bytes = setup.dynamic_shared;
  launch.seed = setup.seed;
  launch.checks = setup.checks;
  launch.noise = setup.noise;
  launch.traffic = setup.traffic;
  launch.budget = setup.budget;
  launch.parameters.resize(sizeof addresses);
  std::memcpy(launch.parameters.data(), addresses, sizeof addresses);
  Outcome outcome;
  outcome.ok = machine::run(launch, outcome.report);
  outcome.out.resize(setup.out_bytes);
  memory.read(outcome.out.data(), addresses[1], setup.out_bytes);
  return outcome;
}

namespace {

// Where each source and the result lie: 8 bytes, whatever their type.
std::string load_of(char letter, int index) {
  const std::string n = std::to_string(index), place = "[%d0+" + std::to_string(8 * index) + "];\n";
  switch (letter) {
    case 'w':
      return "ld.global.u32 %r" + n + ", " + place;
    case 'f':
      return "ld.global.f32 %f" + n + ", " + place;
    case 'h':
      return "ld.global.u16 %h" + n + ", " + place;
    case 'l':
      return "ld.global.u64 %d" + std::to_string(index + 8) + ", " + place;
    case 'd':
      return "ld.global.f64 %g" + n + ", " + place;
    case 'p':
      return "ld.global.u32 %r" + n + ", " + place + "setp.ne.s32 %p" + n + ", %r" + n + ", 0;\n";
    default:
      return {};
  }
}
std::string register_of(char letter, int index) {
  const std::string n = std::to_string(letter == 'l' ? index + 8 : index);
  const char name = letter == 'w' ? 'r' : letter == 'l' ? 'd' : letter == 'd' ? 'g' : letter;
  return std::string("%") + name + n;
}

}  // namespace

std::vector<uint64_t> results_of(const std::string& mnemonic, const std::vector<std::vector<uint64_t>>& sources,
                                 bool every_other) {
  const ptx::Function* function = ptx::find_function(mnemonic);
  if (!function) throw Failed("no instruction " + mnemonic);
  const std::string letters = function->operands;
  std::string body = every_other ? "and.b32 %r40, %tid, 1;\nsetp.eq.s32 %p40, %r40, 0;\n" : "";
  body += "mul.wide.u32 %d0, %tid, 64;\nadd.u64 %d0, %d0, %in;\nmul.wide.u32 %d1, %tid, 8;\nadd.u64 %d1, %d1, %out;\n";
  const std::string guard = every_other ? "@%p40 " : "";
  std::string call = guard + mnemonic + " " + register_of(letters[0], 20);
  for (size_t i = 1; i < letters.size(); i++) {
    if (letters[i] == 'i') {
      call += ", " + std::to_string(sources[0][i - 1]);
      continue;
    }
    body += load_of(letters[i], static_cast<int>(i - 1));
    call += ", " + register_of(letters[i], static_cast<int>(i - 1));
  }
  body += call + ";\n";
  const std::string result = register_of(letters[0], 20);
  const std::map<char, std::string> stores = {
      {'w', "st.global.u32 [%d1], " + result + ";\n"},
      {'f', "st.global.f32 [%d1], " + result + ";\n"},
      {'h', "st.global.u16 [%d1], " + result + ";\n"},
      {'l', "st.global.u64 [%d1], " + result + ";\n"},
      {'d', "st.global.f64 [%d1], " + result + ";\n"},
      {'p', "selp.b32 %r30, 1, 0, " + result + ";\nst.global.u32 [%d1], %r30;\n"}};
  // A predicate's selp must not be skipped with its instruction.
  body += guard + stores.at(letters[0]);
  std::vector<uint64_t> in(32 * 8);
  for (size_t lane = 0; lane < 32; lane++) {
    const std::vector<uint64_t>& of_lane = sources[lane % sources.size()];
    for (size_t i = 0; i < of_lane.size(); i++) in[lane * 8 + i] = of_lane[i];
  }
  const Outcome outcome = run(kernel_text(body), bytes_of(in));
  if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
  std::vector<uint64_t> results;
  for (size_t lane = 0; lane < 32; lane++) results.push_back(outcome.at<uint64_t>(lane));
  return results;
}

void instruction(const std::string& mnemonic, const std::vector<Case>& cases) {
  std::vector<std::vector<uint64_t>> sources;
  for (const Case& one : cases) sources.push_back(one.sources);
  const bool predicate = ptx::find_function(mnemonic) && ptx::find_function(mnemonic)->operands[0] == 'p';
  for (const bool every_other : {false, true}) {
    const std::vector<uint64_t> results = results_of(mnemonic, sources, every_other);
    for (size_t lane = 0; lane < 32; lane++) {
      const bool skipped = every_other && lane % 2 == 1;
      if (predicate && skipped) continue;
      expect_equal(results[lane], skipped ? 0 : cases[lane % cases.size()].expected,
                   mnemonic + ", case " + std::to_string(lane % cases.size()));
    }
  }
}

void expect_finding(const std::string& ptx, report::Kind kind, Setup setup, const std::vector<std::byte>& in) {
  for (setup.seed = 1; setup.seed <= 4; setup.seed++) {
    const Outcome outcome = run(ptx, in, setup);
    if (outcome.ok) throw Failed(std::string("nothing was found, expected: ") + report::name(kind));
    const report::Finding& finding = outcome.report.findings()[0];
    if (finding.kind != kind) throw Failed(std::string("expected ") + report::name(kind) + ", got " + finding.text());
  }
}

void expect_healthy(const std::string& ptx, Setup setup, const std::vector<std::byte>& in) {
  for (setup.seed = 1; setup.seed <= 4; setup.seed++) {
    const Outcome outcome = run(ptx, in, setup);
    if (!outcome.ok) throw Failed("found in a healthy kernel: " + outcome.report.findings()[0].text());
  }
}

}  // namespace simulator::tests
