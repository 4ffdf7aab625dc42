// Counters of a launch.
#include "tests/harness.h"

namespace simulator::tests {
namespace {

report::Counters counters_of(const std::string& body, std::vector<report::LineCounters>* lines = nullptr) {
  Setup setup;
  setup.traffic = true;
  const Outcome outcome = run(kernel_text(body), std::vector<std::byte>(8192), setup);
  if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
  if (lines) *lines = outcome.report.lines;
  return outcome.report.total;
}

std::string strided_global(int stride) {
  return "mul.lo.u32 %r1, %tid, " + std::to_string(stride) +
         ";\ncvt.u64.u32 %d1, %r1;\nadd.u64 %d1, %d1, %in;\nld.global.f32 %f1, [%d1];\n";
}
std::string strided_shared(int stride, const std::string& store) {
  return ".shared .align 16 .b8 tile[8192];\nmov.u32 %r2, tile;\nmad.lo.u32 %r1, %tid, " + std::to_string(stride) +
         ", %r2;\n" + store;
}

}  // namespace

TEST(sectors_of_global_memory) {
  const report::Counters dense = counters_of(strided_global(4)), strided = counters_of(strided_global(64));
  EXPECT(dense.global_requests == 1 && dense.global_sectors == 4 && dense.global_sectors_ideal == 4 &&
         dense.global_bytes_read == 128);
  EXPECT(strided.global_sectors == 32 && strided.global_sectors_ideal == 4);
  // One word for all lanes fills no more than a sector.
  const report::Counters same = counters_of(strided_global(0));
  EXPECT(same.global_sectors == 1 && same.global_sectors_ideal == 1);
}

TEST(conflicts_of_banks) {
  const std::string word = "st.shared.u32 [%r1], 0;\n", four = "st.shared.v4.u32 [%r1], {%tid, %tid, %tid, %tid};\n";
  const auto extra = [](const report::Counters& counters) {
    return counters.shared_wavefronts - counters.shared_wavefronts_ideal;
  };
  EXPECT(extra(counters_of(strided_shared(4, word))) == 0);
  EXPECT(extra(counters_of(strided_shared(8, word))) == 1);
  EXPECT(extra(counters_of(strided_shared(128, word))) == 31);
  EXPECT(extra(counters_of(strided_shared(132, word))) == 0);
  // 16 bytes of 8 lanes at a time.
  EXPECT(extra(counters_of(strided_shared(16, four))) == 0 &&
         counters_of(strided_shared(16, four)).shared_wavefronts == 4);
  EXPECT(extra(counters_of(strided_shared(128, four))) == 28);
}

TEST(operations_by_kind_and_line) {
  std::vector<report::LineCounters> lines;
  const report::Counters counters = counters_of(
      ".loc 1 30 1\nfma.rn.f32 %f1, %f2, %f3, %f4;\nadd.f64 %g1, %g2, %g3;\n.loc 1 31 1\nex2.approx.f32 %f1, "
      "%f1;\nbar.sync 0;\n",
      &lines);
  EXPECT(counters.flops_f32 == 64 && counters.flops_f64 == 32 && counters.special == 32 && counters.barriers == 1);
  bool found = false;
  for (const report::LineCounters& line : lines)
    if (line.line == 30) found = line.counters.warp_instructions == 2 && line.counters.flops_f32 == 64;
  EXPECT(found);
}

}  // namespace simulator::tests
