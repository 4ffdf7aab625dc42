// Planted bugs, each beside a kernel that does the same correctly.
#include <cmath>

#include "tests/harness.h"

namespace simulator::tests {
namespace {

using report::Kind;

const std::string kMine = "shl.b32 %r50, %tid, 2;\ncvt.u64.u32 %d50, %r50;\nadd.s64 %d50, %d50, %out;\n";
const std::string kTile =
    ".shared .align 16 .b8 tile[1024];\nmov.u32 %r40, tile;\nshl.b32 %r41, %tid, 2;\nadd.u32 %r42, %r40, %r41;\n";

Setup threads(uint32_t count, uint32_t blocks = 1) {
  Setup setup;
  setup.block = {count, 1, 1};
  setup.grid = {blocks, 1, 1};
  return setup;
}

// `good` and `bad` stand for GOOD and BAD in the body.
void twins(const std::string& body, const std::string& good, const std::string& bad, Kind kind,
           const Setup& setup = {}) {
  const auto with = [&](const std::string& part) {
    std::string text = body;
    if (part.empty())
      for (size_t at; (at = text.find("HERE;\n")) != std::string::npos;) text.erase(at, 6);
    for (size_t at; (at = text.find("HERE")) != std::string::npos;) text.replace(at, 4, part);
    return kernel_text(text);
  };
  expect_healthy(with(good), setup);
  expect_finding(with(bad), kind, setup);
}

}  // namespace

TEST(findings_name_the_place) {
  const Outcome outcome =
      run(kernel_text(".loc 1 42 3\nsetp.eq.u32 %p1, %tid, 5;\n@%p1 st.global.u32 [%out+4096], 1;\n"), {}, threads(64));
  const report::Finding& finding = outcome.report.findings().at(0);
  EXPECT(!outcome.ok && finding.kind == Kind::out_of_bounds && finding.place.line == 42);
  EXPECT(finding.place.file == "kernel.cu" && finding.place.thread.x == 5 && finding.place.block.x == 0 &&
         finding.kernel == "test");
  expect_part(finding.text(), "kernel.cu:42");
  expect_part(finding.text(), "st.global.u32 [%out+4096], 1;");
}

TEST(out_of_bounds_and_misaligned) {
  twins("HERE;\n", "ld.global.u32 %r1, [%out+4092]", "ld.global.u32 %r1, [%out+4096]", Kind::out_of_bounds);
  twins("HERE;\n", "ld.global.u8 %r1, [%out]", "ld.global.u8 %r1, [%out+-1]", Kind::out_of_bounds);
  twins("HERE;\n", "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%out+16]",
        "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%out+8]", Kind::misaligned);
  twins("HERE;\n", "ld.global.u16 %r1, [%out+2]", "ld.global.u16 %r1, [%out+1]", Kind::misaligned);
  twins("mov.u64 %d1, 64;\nHERE;\n", "", "ld.global.u32 %r1, [%d1]", Kind::out_of_bounds);
  twins(kTile + "HERE;\n", "st.shared.u32 [%r40+1020], 0", "st.shared.u32 [%r40+1024], 0", Kind::out_of_bounds,
        threads(1));
  twins(kTile + "HERE;\n", "st.shared.u64 [%r40+8], 0", "st.shared.u64 [%r40+12], 0", Kind::misaligned, threads(1));
  // Over the end of one array lies another one.
  twins(kTile + ".shared .align 4 .b8 other[512];\nst.shared.u32 [other], 0;\nHERE;\n", "st.shared.u32 [%r40+1020], 0",
        "st.shared.u32 [%r40+1024], 0", Kind::out_of_bounds, threads(1));
  twins(".local .align 4 .b8 depot[64];\nmov.u64 %d1, depot;\nHERE;\n", "st.local.u32 [%d1+60], 1",
        "st.local.u32 [%d1+64], 1", Kind::out_of_bounds);
  twins(".local .align 4 .b8 depot[64];\nmov.u64 %d1, depot;\nHERE;\n", "st.local.u32 [%d1+60], 1",
        "st.local.u32 [%d1+58], 1", Kind::misaligned);
}

TEST(constants_are_read_only_and_bounded) {
  const std::string module = ".const .align 4 .b8 table[16] = {1};\n";
  expect_healthy(kernel_text("ld.const.u32 %r1, [table+12];\n", "", module));
  expect_finding(kernel_text("ld.const.u32 %r1, [table+16];\n", "", module), Kind::out_of_bounds);
  expect_finding(kernel_text("mov.u64 %d1, table;\ncvta.const.u64 %d1, %d1;\nst.u32 [%d1], 1;\n", "", module),
                 Kind::read_only, threads(1));
}

TEST(use_after_free) {
  memory::DeviceMemory memory(1 << 20);
  const machine::Program program(ptx::parse(kernel_text("ld.global.u32 %r1, [%in];\n"), "test.ptx"), memory);
  uint64_t addresses[2] = {memory.allocate(256), memory.allocate(256)};
  memory.fill(addresses[0], "", 1, 256);
  machine::Launch launch;
  launch.program = &program;
  launch.kernel = "test";
  launch.block = {32, 1, 1};
  launch.parameters.resize(16);
  std::memcpy(launch.parameters.data(), addresses, 16);
  report::Report report;
  EXPECT(machine::run(launch, report));
  EXPECT(memory.release(addresses[0]) && !memory.release(addresses[0]));
  EXPECT(memory.allocate(256) != addresses[0]);
  EXPECT(!machine::run(launch, report) && report.findings()[0].kind == Kind::use_after_free);
  EXPECT(report::driver_error(report.findings()[0].kind) == 700);
}

TEST(uninitialised_reads) {
  twins(kTile + "HERE;\nbar.sync 0;\nld.shared.u32 %r1, [%r42];\n", "st.shared.u32 [%r42], 1", "", Kind::uninitialised);
  // One byte of four is missing.
  twins(kTile +
            "st.shared.u8 [%r42], 1;\nst.shared.u8 [%r42+1], 1;\nst.shared.u8 [%r42+3], 1;\nHERE;\nld.shared.u32 %r1, "
            "[%r42];\n",
        "st.shared.u8 [%r42+2], 1", "", Kind::uninitialised);
  Setup fresh;
  fresh.out_written = false;
  twins(kMine + "HERE;\nld.global.u32 %r1, [%d50];\n", "st.global.u32 [%d50], 1", "", Kind::uninitialised, fresh);
  fresh.checks = false;
  expect_healthy(kernel_text(kMine + "ld.global.u32 %r1, [%d50];\n"), fresh);
}

TEST(uninitialised_local_memory) {
  const std::string depot = ".local .align 8 .b8 depot[64];\nmov.u64 %d1, depot;\n";
  twins(depot + "st.local.u32 [%d1+4], 1;\nHERE;\nld.local.u64 %d2, [%d1];\n", "st.local.u32 [%d1], 1", "",
        Kind::uninitialised);
  // Another thread's depot is another place, also behind a generic address.
  twins(depot + "cvta.local.u64 %d1, %d1;\nsetp.eq.u32 %p1, %tid, 0;\nHERE;\nld.u32 %r2, [%d1];\n", "st.u32 [%d1], 1",
        "@%p1 st.u32 [%d1], 1", Kind::uninitialised);
  // What another block wrote is no longer there.
  twins(depot +
            "mov.u32 %r1, %ctaid.x;\nsetp.ge.u32 %p1, %r1, HERE;\n@%p1 st.local.u32 [%d1], 1;\nld.local.u32 %r2, "
            "[%d1];\n",
        "0", "1", Kind::uninitialised, threads(32, 16));
  Setup unchecked;
  unchecked.checks = false;
  expect_healthy(kernel_text(depot + "ld.local.u32 %r2, [%d1];\n"), unchecked);
}

TEST(registers_that_nobody_wrote_are_not_numbers) {
  const Outcome outcome = run(
      kernel_text("mov.f32 %f2, 0f3f800000;\nadd.f32 %f1, %f2, %f3;\nst.global.f32 [%out], %f1;\n"), {}, threads(1));
  EXPECT(std::isnan(outcome.at<float>(0)));
  expect_finding(kernel_text("ld.global.u8 %r1, [%d40];\n"), Kind::out_of_bounds);
}

TEST(races_in_shared_memory) {
  const std::string neighbour = "xor.b32 %r43, %r41, 128;\nadd.u32 %r43, %r43, %r40;\n";
  // Another warp's word: a barrier orders, bar.warp.sync does not.
  twins(kTile + neighbour +
            "st.shared.u32 [%r42], 0;\nbar.sync 0;\nst.shared.u32 [%r42], %tid;\nHERE;\nld.shared.u32 %r1, [%r43];\n",
        "bar.sync 0", "bar.warp.sync 0xffffffff", Kind::race, threads(64));
  // Write after read.
  twins(kTile + neighbour +
            "st.shared.u32 [%r42], %tid;\nbar.sync 0;\nld.shared.u32 %r1, [%r43];\nHERE;\nst.shared.u32 [%r42], %r1;\n",
        "bar.sync 0", "", Kind::race, threads(64));
  // The same value from all threads.
  twins(kTile + "HERE;\n", "setp.eq.u32 %p1, %tid, 0;\n@%p1 st.shared.u32 [tile], 7", "st.shared.u32 [tile], 7",
        Kind::race, threads(32));
  // Lanes of one warp.
  const std::string next =
      "xor.b32 %r43, %r41, 4;\nadd.u32 %r43, %r43, %r40;\nst.shared.u32 [%r42], %tid;\nbar.sync 0;\nst.shared.u32 "
      "[%r42], 5;\n";
  twins(kTile + next + "HERE;\nld.shared.u32 %r1, [%r43];\n", "bar.warp.sync 0xffffffff", "", Kind::race);
  // Many readers, then one that writes and was among them.
  twins(kTile +
            "setp.eq.u32 %p1, %tid, 0;\n@%p1 st.shared.u32 [tile], 7;\nbar.sync 0;\nld.shared.u32 %r1, "
            "[tile];\nHERE;\n@%p1 st.shared.u32 [tile], 8;\n",
        "bar.sync 0", "", Kind::race, threads(96));
  // Neighbouring bytes are no race, the same byte is.
  twins(kTile + "add.u32 %r44, %r40, %tid;\nst.shared.u8 [%r44], 1;\nHERE;\n", "", "st.shared.u8 [%r44+1], 2",
        Kind::race, threads(32));
  // Atomic operations do not race with each other, but with plain loads.
  twins(kTile +
            "setp.eq.u32 %p1, %tid, 0;\n@%p1 st.shared.u32 [tile], 0;\nbar.sync 0;\nred.shared.add.u32 [tile], "
            "1;\nHERE;\nld.shared.u32 %r1, [tile];\n",
        "bar.sync 0", "", Kind::race, threads(64));
}

TEST(races_name_both_places) {
  const auto found = [](const std::string& body, const Setup& setup) {
    const report::Finding finding = run(kernel_text(body), std::vector<std::byte>(4096), setup).report.findings().at(0);
    if (finding.kind != Kind::race || !finding.earlier) throw Failed("expected a race, got " + finding.text());
    EXPECT(finding.earlier->file == "kernel.cu");
    return finding;
  };
  const std::string zeros = kTile +
                            "shl.b32 %r44, %tid, 4;\nadd.u32 %r44, %r44, %r40;\nmov.u32 %r1, 0;\nst.shared.v4.u32 "
                            "[%r44], {%r1, %r1, %r1, %r1};\nbar.sync 0;\n";
  const report::Finding exchange =
      found(zeros +
                "xor.b32 %r43, %r41, 128;\nadd.u32 %r43, %r43, %r40;\n.loc 1 20 1\nst.shared.u32 [%r42], %tid;\n.loc 1 "
                "30 1\nld.shared.u32 %r1, [%r43];\n",
            threads(64));
  // Which of the two comes first is up to the schedule.
  EXPECT(exchange.place.line + exchange.earlier->line == 50);
  EXPECT((exchange.place.thread.x ^ 32) == exchange.earlier->thread.x);
  const std::string line = std::to_string(exchange.earlier->line);
  expect_part(exchange.text(), "The access before: kernel.cu:" + line + ", block (0, 0, 0), thread (");
  expect_part(exchange.text(), exchange.earlier->line == 20 ? "st.shared.u32 [%r42], %tid;" : "ld.shared.u32");
  // A value that all threads read, and the last that read it writes.
  const report::Finding all =
      found(zeros +
                ".loc 1 20 1\nld.shared.u32 %r1, [tile];\nsetp.eq.u32 %p2, %tid, 31;\n.loc 1 30 1\n@%p2 st.shared.u32 "
                "[tile], 8;\n",
            threads(32));
  EXPECT(all.place.line == 30 && all.earlier->line == 20);
  expect_part(all.message, "was read before, by other threads too");
  const report::Finding blocks = found(
      "mov.u32 %r1, %ctaid.x;\nsetp.eq.u32 %p1, %r1, 0;\n.loc 1 20 1\n@%p1 st.global.u32 [%out], 1;\n.loc 1 30 "
      "1\n@!%p1 st.global.u32 [%out], 2;\n",
      threads(1, 2));
  EXPECT(blocks.place.line + blocks.earlier->line == 50 && blocks.place.block.x + blocks.earlier->block.x == 1);
  // A copy is the write of the thread that asked for it, also after its wait.
  const report::Finding copy = found(
      zeros +
          "xor.b32 %r45, %r44, 512;\nsetp.lt.u32 %p1, %tid, 32;\n@!%p1 bra L;\n.loc 1 20 1\ncp.async.ca.shared.global "
          "[%r44], [%in], 16;\ncp.async.wait_all;\nL:\n.loc 1 30 1\n@!%p1 ld.shared.u32 %r1, [%r45];\n",
      threads(64));
  EXPECT(copy.place.line + copy.earlier->line == 50);
}

TEST(races_in_global_memory) {
  const std::string place = "mov.u32 %r1, %ctaid.x;\nHERE;\nmul.wide.u32 %d1, %r2, 4;\nadd.u64 %d1, %d1, %out;\n";
  // The word of a block, and one for all.
  twins(place + "st.global.u32 [%d1], %r1;\n", "mov.u32 %r2, %r1", "mov.u32 %r2, 0", Kind::race, threads(1, 8));
  twins(place + "red.global.add.u32 [%out], 1;\n", "mov.u32 %r2, 0", "mov.u32 %r2, 0;\nst.global.u32 [%out], 3",
        Kind::race, threads(1, 8));
  // Barriers order threads of one block, not of two.
  const std::string exchange = kMine +
                               "st.global.u32 [%d50], %tid;\nbar.sync 0;\nxor.b32 %r51, %r50, 128;\ncvt.u64.u32 %d51, "
                               "%r51;\nadd.u64 %d51, %d51, %out;\nld.global.u32 %r1, [%d51];\n";
  expect_healthy(kernel_text(exchange), threads(64, 1));
  expect_finding(kernel_text(exchange), Kind::race, threads(64, 2));
  // All blocks read what one of them writes.
  twins("mov.u32 %r1, %ctaid.x;\nld.global.u32 %r2, [%out];\nsetp.eq.u32 %p1, %r1, 3;\nHERE;\n",
        "@%p1 st.global.u32 [%out+4], 1", "@%p1 st.global.u32 [%out], 1", Kind::race, threads(1, 16));
}

TEST(asynchronous_copies_are_waited_for) {
  const std::string copy =
      ".shared .align 16 .b8 tile[2048];\nmov.u32 %r40, tile;\nshl.b32 %r41, %tid, 4;\nadd.u32 %r42, %r40, "
      "%r41;\nxor.b32 %r43, %r41, 512;\nadd.u32 %r43, %r43, %r40;\n"
      "cvt.u64.u32 %d1, %r41;\nadd.u64 %d1, %d1, %in;\nst.shared.v4.u32 [%r42], {%r41, %r41, %r41, %r41};\nbar.sync "
      "0;\n"
      "cp.async.ca.shared.global [%r42], [%d1], "
      "16;\ncp.async.commit_group;\n";
  // Without the wait, and with a wait that leaves the group.
  twins(copy + "HERE;\nld.shared.u32 %r1, [%r42];\n", "cp.async.wait_group 0", "", Kind::pending_copy);
  twins(copy + "HERE;\nld.shared.u32 %r1, [%r42];\n", "cp.async.wait_all", "cp.async.wait_group 1", Kind::pending_copy);
  // What another thread copied is seen after its wait and a barrier, in this order.
  twins(copy + "HERE;\nld.shared.u32 %r1, [%r43];\n", "cp.async.wait_group 0;\nbar.sync 0", "cp.async.wait_group 0",
        Kind::race, threads(64));
  twins(copy + "HERE;\nld.shared.u32 %r1, [%r42];\n", "cp.async.wait_group 0;\nbar.sync 0", "bar.sync 0",
        Kind::pending_copy, threads(64));
  // The copy into a buffer that others still read.
  twins(
      ".shared .align 16 .b8 tile[2048];\nmov.u32 %r40, tile;\nshl.b32 %r41, %tid, 4;\nadd.u32 %r42, %r40, "
      "%r41;\nxor.b32 %r43, %r41, 512;\nadd.u32 %r43, %r43, %r40;\n"
      "cvt.u64.u32 %d1, %r41;\nadd.u64 %d1, %d1, %in;\nst.shared.v4.u32 [%r42], {%r41, %r41, %r41, %r41};\nbar.sync "
      "0;\nld.shared.u32 %r1, [%r43];\nHERE;\n"
      "cp.async.cg.shared.global [%r42], [%d1], 16;\ncp.async.wait_all;\n",
      "bar.sync 0", "", Kind::race, threads(64));
  twins(copy + "HERE;\n", "", "cp.async.ca.shared.global [%r42+4], [%d1], 16", Kind::misaligned);
  twins(copy + "HERE;\n", "cp.async.ca.shared.global [%r42+1024], [%d1+8192], 16, 0",
        "cp.async.ca.shared.global [%r42+1024], [%d1+8192], 16", Kind::out_of_bounds);
}

TEST(barriers_are_met_by_all) {
  // A thread that returns, one that goes round, a warp that waits at another barrier.
  twins("setp.eq.u32 %p1, %tid, 40;\nHERE;\nbar.sync 0;\n", "", "@%p1 ret", Kind::divergent_barrier, threads(64));
  twins("setp.gt.u32 %p1, %tid, 31;\nHERE;\nbar.sync 0;\n", "", "@%p1 ret", Kind::divergent_barrier, threads(64));
  twins("setp.eq.u32 %p1, %tid, 40;\nHERE bra L;\nbar.sync 0;\nL:\n", "@!%p1 bra M;\nM: @%p2", "@%p1",
        Kind::divergent_barrier, threads(64));
  twins("setp.gt.u32 %p1, %tid, 31;\n@%p1 bra L;\nHERE;\nbra M;\nL: HERE;\nM:\n", "", "bar.sync 0",
        Kind::divergent_barrier, threads(64));
  twins("setp.gt.u32 %p1, %tid, 3;\nHERE bar.sync 0;\n", "", "@%p1", Kind::divergent_barrier, threads(32));
}

TEST(lanes_of_a_mask_take_part) {
  const std::string low = "setp.lt.u32 %p1, %tid, 16;\n";
  twins(low + "@!%p1 bra L;\nshfl.sync.bfly.b32 %r1, %tid, 1, 31, HERE;\nL:\n", "0xffff", "0xffffffff",
        Kind::missing_lanes);
  twins(low + "@%p1 vote.sync.ballot.b32 %r1, %p1, HERE;\n", "0xffff", "0xffffffff", Kind::missing_lanes);
  twins("bar.warp.sync HERE;\n", "0xffffffff", "0xffff", Kind::missing_lanes);
  twins("mov.u32 %r1, HERE;\nredux.sync.add.u32 %r2, %tid, %r1;\n", "0xffffffff", "%tid", Kind::missing_lanes);
  // A source lane outside the mask.
  twins(low + "@!%p1 bra L;\nshfl.sync.idx.b32 %r1, %tid, HERE, 31, 0xffff;\nL:\n", "15", "16", Kind::missing_lanes);
  twins(kTile + low +
            "st.shared.u32 [%r42], 0;\nbar.warp.sync 0xffffffff;\nHERE ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, "
            "[%r40];\n",
        "", "@%p1", Kind::missing_lanes);
  twins(low +
            "mov.f32 %f1, 0f00000000;\nmov.u32 %r1, 0;\nHERE mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f1, "
            "%f2, %f3, %f4}, {%r1, %r1}, {%r1}, {%f1, %f1, %f1, %f1};\n",
        "", "@%p1", Kind::missing_lanes);
}

TEST(launches_within_limits) {
  const auto message = [](const Setup& setup, const std::string& directives, const std::string& body) {
    const Outcome outcome = run(kernel_text(body, directives), {}, setup);
    return outcome.ok ? std::string() : outcome.report.findings().at(0).text();
  };
  EXPECT(message(threads(1024), "", "").empty());
  expect_part(message(threads(1025), "", ""), "threads of a block: 1025, the limit is 1024");
  expect_part(message(threads(256), ".maxntid 128, 1, 1", ""), "maxntid: 256, the limit is 128");
  Setup shared = threads(1);
  shared.dynamic_shared = 48 * 1024 - 1024;
  EXPECT(message(shared, "", kTile).empty());
  shared.dynamic_shared++;
  expect_part(message(shared, "", kTile), "shared memory, static and dynamic: 49153, the limit is 49152");
  Setup tall = threads(1);
  tall.grid = {1, 65536, 1};
  expect_part(message(tall, "", ""), "the grid is too long");
}

TEST(hangs_and_traps) {
  twins("mov.u32 %r1, 0;\nL: add.u32 %r1, %r1, 1;\nsetp.ne.u32 %p1, %r1, HERE;\n@%p1 bra L;\n", "100", "0", Kind::hang);
  twins("HERE;\n", "", "setp.eq.u32 %p1, %tid, 3;\n@%p1 trap", Kind::trap);
}

// Millions of launches later stamps begin anew: nothing is found that is not there, and races still are.
TEST(stamps_are_used_again) {
  memory::DeviceMemory memory(1 << 20);
  const std::string exchange =
      kTile +
      "st.shared.u32 [%r42], %tid;\nHERE;\nxor.b32 %r43, %r41, 128;\nadd.u32 %r43, %r43, %r40;\nld.shared.u32 %r1, "
      "[%r43];\n" +
      kMine +
      "mov.u32 %r2, %ctaid.x;\nmul.wide.u32 %d3, %r2, 256;\nadd.u64 %d50, %d50, %d3;\nst.global.u32 [%d50], %r1;\n";
  const uint64_t addresses[2] = {memory.allocate(65536), memory.allocate(65536)};
  for (const uint32_t first : {memory::kMaxStamp - 4090, memory::kMaxStamp - 6000, 1u})
    for (const bool healthy : {true, false}) {
      std::string body = "mov.u32 %r3, 0;\nAGAIN:\n" + exchange +
                         "bar.sync 0;\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p5, %r3, 20;\n@%p5 bra AGAIN;\n";
      body.replace(body.find("HERE"), 4, healthy ? "bar.sync 0" : "bar.warp.sync -1");
      const machine::Program program(ptx::parse(kernel_text(body), "test.ptx"), memory);
      memory.restart_stamps();
      memory.stamps.first = first;
      machine::Launch launch;
      launch.program = &program;
      launch.kernel = "test";
      launch.block = {64, 1, 1};
      launch.grid = {100, 1, 1};
      launch.parameters.resize(16);
      std::memcpy(launch.parameters.data(), addresses, 16);
      report::Report report;
      if (machine::run(launch, report) != healthy)
        throw Failed(healthy ? report.findings()[0].text() : "the race was not found");
    }
}

TEST(schedules_follow_the_seed) {
  // The order in which blocks count is the schedule.
  const std::string body =
      "mov.u32 %r1, %ctaid.x;\natom.global.add.u32 %r2, [%in], 1;\nmul.wide.u32 %d1, %r2, 4;\nadd.u64 %d1, %d1, "
      "%out;\nst.global.u32 [%d1], %r1;\n";
  const auto order = [&](uint64_t seed) {
    Setup setup = threads(1, 64);
    setup.seed = seed;
    return run(kernel_text(body), bytes_of<uint32_t>({0}), setup).out;
  };
  EXPECT(order(1) == order(1));
  EXPECT(order(1) != order(2));
}

}  // namespace simulator::tests
