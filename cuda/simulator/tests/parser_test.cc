// What the parser takes and what it refuses, with name and line.
#include "tests/harness.h"

namespace simulator::tests {
namespace {

std::string refusal(const std::string& ptx) {
  try {
    ptx::parse(ptx, "bad.ptx");
  } catch (const ptx::ParseError& error) {
    return error.what();
  }
  throw Failed("the parser took: " + ptx);
}
std::string refused(const std::string& body) { return refusal(kernel_text(body)); }

}  // namespace

TEST(what_is_unknown_is_refused) {
  expect_part(refused("foo.bar.u32 %r1, %r2;\n"), "unknown instruction foo.bar.u32");
  expect_part(refused("add.rz.bf16 %h1, %h2, %h3;\n"), "unknown instruction add.rz.bf16");
  expect_part(refused("ld.global.sideways.u32 %r1, [%in];\n"), "unknown modifier .sideways of ld.global.sideways.u32");
  expect_part(refused("wgmma.fence.sync.aligned;\n"), "unknown instruction wgmma.fence.sync.aligned");
  expect_part(refused("mov.u32 %r1, %clock;\n"), "unknown name %clock");
  expect_part(refused("bra NOWHERE;\n"), "unknown label NOWHERE");
  expect_part(refused("call.uni foo;\n"), "must be inlined");
  expect_part(refused("bar.sync 1, 64;\n"), "a part of the block");
  expect_part(refused("add.u64 %d1, %r1, %d2;\n"), "register %r1 does not fit add.u64");
  expect_part(refused("add.f32 %f1, %f2, 3;\n"), "the literal 3 does not fit");
  expect_part(refused(".weird 3;\n"), "unknown directive .weird");
  expect_part(refused("add.u32 %r1, %r2\n"), "expected ','");
  expect_part(refusal(".version 8.0\n.target sm_80\n.address_size 64\n.visible .func foo() { ret; }\n"),
              "functions are not supported");
  expect_part(refusal(".version 8.0\n.target sm_80\n.address_size 32\n"), "bad.ptx:3: addresses must have 64 bits");
  expect_part(refusal(".tex .u32 t;\n"), "bad.ptx:1: unknown directive .tex");
}

TEST(kernels_say_what_they_need) {
  const ptx::Module module = ptx::parse(
      ".version 9.0\n.target sm_90\n.address_size 64\n.extern .shared .align 128 .b8 dynamic[];\n.global .align 4 .b8 "
      "g[8];\n"
      ".visible .entry k(.param .u32 a, .param .align 8 .b8 b[20], .param .u64 .ptr .global .align 16 c)\n.maxntid "
      "128, 2, 1\n.minnctapersm 2\n{\n.reg .b32 %r<4>;\n"
      ".shared .align 4 .b8 s[12];\n.shared .align 16 .b8 t[16];\n.local .align 8 .b8 l[24];\nmov.u32 %r1, "
      "dynamic;\nst.shared.u32 [%r1], %r1;\nmov.u32 %r2, t;\nret;\n}\n",
      "m");
  const ptx::Kernel& kernel = *module.find("k");
  EXPECT(module.version == 90 && module.target == "sm_90" && module.variables.size() == 2);
  EXPECT(kernel.parameters.size() == 3 && kernel.parameters[1].offset == 8 && kernel.parameters[2].offset == 32);
  EXPECT(kernel.parameter_bytes == 40 && kernel.thread_limit() == 256 && kernel.local_bytes == 24);
  // The dynamic array is aligned to 128 after 32 bytes of static ones.
  EXPECT(kernel.shared_bytes == 128);
  EXPECT(!module.find("other"));
}

TEST(inlined_functions_are_named_with_their_caller) {
  const std::string ptx =
      kernel_text(".loc 1 5 1, function_name $L__info_string0, inlined_at 1 9 3\nst.global.u32 [%out+5000], 1;\n");
  const Outcome outcome = run(ptx, {});
  expect_part(outcome.report.findings().at(0).text(), "kernel.cu:5 (inlined at kernel.cu:9)");
}

}  // namespace simulator::tests
