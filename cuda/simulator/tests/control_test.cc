// Threads that part and meet, and the other instructions that are no function of their lanes.
#include <algorithm>

#include "tests/harness.h"

namespace simulator::tests {
namespace {

const std::string kMine = "shl.b32 %r50, %tid, 2;\ncvt.u64.u32 %d50, %r50;\nadd.s64 %d50, %d50, %out;\n";
// Stores %r1 of each thread.
const std::string kStore = kMine + "st.global.u32 [%d50], %r1;\n";

void expect_words(const std::string& body, const std::function<uint32_t(uint32_t)>& expected, Setup setup = {}) {
  for (setup.seed = 1; setup.seed <= 3; setup.seed++) {
    const Outcome outcome = run(kernel_text(body), {}, setup);
    if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
    for (uint32_t thread = 0; thread < setup.block.count(); thread++)
      expect_equal(outcome.at<uint32_t>(thread), expected(thread), "thread " + std::to_string(thread));
  }
}

}  // namespace

TEST(branches_meet_again) {
  expect_words(
      "setp.lt.u32 %p1, %tid, 10;\n@%p1 bra LOW;\nmov.u32 %r1, 100;\nbra.uni JOIN;\nLOW: mov.u32 %r1, 200;\nJOIN:\n"
      "activemask.b32 %r2;\nsetp.eq.u32 %p2, %r2, 0xffffffff;\nselp.u32 %r3, 1, 0, %p2;\nadd.u32 %r1, %r1, %r3;\n" +
          kStore,
      [](uint32_t thread) { return thread < 10 ? 201 : 101; });
}

TEST(loops_of_different_lengths) {
  expect_words(
      "mov.u32 %r1, 0;\nmov.u32 %r2, 0;\nLOOP: add.u32 %r1, %r1, %r2;\nadd.u32 %r2, %r2, 1;\nsetp.le.u32 %p1, %r2, "
      "%tid;\n@%p1 bra LOOP;\n"
      "vote.sync.ballot.b32 %r5, %p1, 0xffffffff;\nadd.u32 %r1, %r1, %r5;\n" +
          kStore,
      [](uint32_t thread) { return thread * (thread + 1) / 2; });
}

TEST(nested_branches_and_early_exits) {
  expect_words(
      "mov.u32 %r1, 1;\n" + kMine +
          "and.b32 %r2, %tid, 1;\nsetp.eq.u32 %p1, %r2, 1;\n@%p1 bra ODD;\nsetp.gt.u32 %p2, %tid, 15;\n"
          "@%p2 bra BIG;\nadd.u32 %r1, %r1, 10;\nbra.uni JOIN;\nBIG: st.global.u32 [%d50], 77;\nret;\n"
          "ODD: setp.eq.u32 %p3, %tid, 3;\n@%p3 exit;\nadd.u32 %r1, %r1, 20;\nJOIN: st.global.u32 [%d50], %r1;\n",
      [](uint32_t thread) { return thread % 2 ? (thread == 3 ? 0 : 21) : (thread > 15 ? 77 : 11); });
}

// The branch that may return has no place to meet again but the exit: lanes wait for each other at the shuffle.
TEST(lanes_gather_at_shuffles) {
  expect_words(
      "mov.u32 %r9, 5;\nsetp.gt.u32 %p1, %tid, 7;\n@%p1 bra ELSE;\nsetp.eq.u32 %p2, %r9, 6;\n@%p2 ret;\nmov.u32 %r9, "
      "6;\n"
      "ELSE: shfl.sync.bfly.b32 %r1, %r9, 31, 31, 0xffffffff;\n" +
          kStore,
      [](uint32_t thread) { return thread > 23 ? 6 : 5; });
}

TEST(tables_of_branches) {
  expect_words(
      "and.b32 %r2, %tid, 3;\nTABLE: .branchtargets A, B, C, D;\nbrx.idx %r2, TABLE;\nA: mov.u32 %r1, 10;\nbra E;\nB: "
      "mov.u32 %r1, 11;\nbra E;\n"
      "C: mov.u32 %r1, 12;\nbra E;\nD: mov.u32 %r1, 13;\nE:\n" +
          kStore,
      [](uint32_t thread) { return 10 + thread % 4; });
}

TEST(scopes_hide_names) {
  expect_words(
      "mov.u32 %r1, 1;\n{\n.reg .pred p;\n.reg .b32 %r1;\nmov.u32 %r1, 9;\nsetp.eq.u32 p, %r1, 9;\n@!p bra L;\n{\n.reg "
      ".b32 t;\nmov.u32 t, 3;\n@!p bra L;\nL:\n}\nL:\n}\n" +
          kStore,
      [](uint32_t) { return 1; });
}

TEST(vectors_are_packed_and_unpacked) {
  expect_words(
      "mov.b64 %d1, {%tid, 7};\nmov.b64 {_, %r2}, %d1;\nmov.b32 {%h1, %h2}, %tid;\nmov.b32 %r3, {%h2, %h1};\nshr.u32 "
      "%r3, %r3, 16;\n"
      "add.u32 %r1, %r2, %r3;\nmov.b64 %d2, {%h1, %h2, %h1, %h1};\nshr.u64 %d2, %d2, 48;\ncvt.u32.u64 %r4, "
      "%d2;\nadd.u32 %r1, %r1, %r4;\n" +
          kStore,
      [](uint32_t thread) { return 7 + 2 * thread; });
}

TEST(special_registers) {
  Setup setup;
  setup.block = {8, 4, 2};
  const std::string linear =
      "mov.u32 %r2, %tid.y;\nmov.u32 %r3, %tid.z;\nmov.u32 %r4, %ntid.x;\nmov.u32 %r5, %ntid.y;\nmad.lo.u32 %r6, %r3, "
      "%r5, %r2;\n"
      "mad.lo.u32 %tid, %r6, %r4, %tid;\n";
  expect_words(
      linear + "mov.u32 %r1, %laneid;\nmov.u32 %r7, %warpid;\nmad.lo.u32 %r1, %r7, 100, %r1;\n" + kStore,
      [](uint32_t thread) { return thread / 32 * 100 + thread % 32; }, setup);
  expect_words(
      linear + "mov.u32 %r1, %lanemask_lt;\n" + kStore, [](uint32_t thread) { return (1u << thread % 32) - 1; }, setup);
}

TEST(selections_and_sets) {
  expect_words(
      "setp.gt.u32 %p1, %tid, 4;\nselp.b32 %r1, 5, 6, %p1;\nset.gt.u32.u32 %r2, %tid, 4;\nadd.u32 %r1, %r1, %r2;\n" +
          kStore,
      [](uint32_t thread) { return thread > 4 ? 4 : 6; });
  expect_words("cvt.rn.f32.u32 %f1, %tid;\nset.gt.f32.f32 %f2, %f1, 0f40000000;\nmov.b32 %r1, %f2;\n" + kStore,
               [](uint32_t thread) { return thread > 2 ? 0x3f800000 : 0; });
}

TEST(shuffles) {
  const auto shuffle = [](const std::string& operation, const std::function<uint32_t(uint32_t)>& expected) {
    expect_words("shfl.sync." + operation + ";\nselp.u32 %r2, 100, 0, %p1;\nadd.u32 %r1, %r1, %r2;\n" + kStore,
                 expected);
  };
  shuffle("down.b32 %r1|%p1, %tid, 3, 31, 0xffffffff", [](uint32_t lane) { return lane + 3 < 32 ? lane + 103 : lane; });
  shuffle("up.b32 %r1|%p1, %tid, 3, 0, 0xffffffff", [](uint32_t lane) { return lane >= 3 ? lane + 97 : lane; });
  shuffle("bfly.b32 %r1|%p1, %tid, 5, 31, 0xffffffff", [](uint32_t lane) { return (lane ^ 5) + 100; });
  shuffle("idx.b32 %r1|%p1, %tid, 9, 31, 0xffffffff", [](uint32_t) { return 109; });
  // Segments of 8 lanes: the segment's mask is 0x18.
  shuffle("idx.b32 %r1|%p1, %tid, 2, 0x181f, 0xffffffff", [](uint32_t lane) { return (lane & 24) + 102; });
  shuffle("down.b32 %r1|%p1, %tid, 1, 0x181f, 0xffffffff",
          [](uint32_t lane) { return lane % 8 == 7 ? lane : lane + 101; });
}

// The pseudo-code of shfl.sync in the manual.
TEST(shuffles_go_by_the_pseudo_code) {
  const auto source_of = [](const std::string& mode, int lane, int b, int c) {
    const int segment = c >> 8 & 31, clamp = c & 31;
    const int last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    const int from = mode == "up"     ? lane - b
                     : mode == "down" ? lane + b
                     : mode == "bfly" ? lane ^ b
                                      : first | (b & ~segment);
    const bool inside = mode == "up" ? from >= last : from <= last;
    return std::pair{inside ? from : lane, inside};
  };
  for (const std::string mode : {"up", "down", "bfly", "idx"})
    for (const int b : {0, 1, 3, 8, 15, 31})
      for (const int c : {0, 31, 0x181f, 0x1c1f, 0x1800, 0x0f03, 0x1010})
        expect_words("shfl.sync." + mode + ".b32 %r1|%p1, %tid, " + std::to_string(b) + ", " + std::to_string(c) +
                         ", -1;\nselp.u32 %r2, 100, 0, %p1;\nadd.u32 %r1, %r1, %r2;\n" + kStore,
                     [&](uint32_t lane) {
                       const auto [from, inside] = source_of(mode, static_cast<int>(lane), b, c);
                       return static_cast<uint32_t>(from + (inside ? 100 : 0));
                     });
}

// Of the odd lanes alone.
TEST(warp_operations_of_some_lanes) {
  constexpr uint32_t kMembers = 0xaaaaaaaa;
  const std::string members = "0xaaaaaaaa", head = "and.b32 %r2, %tid, 1;\nsetp.eq.u32 %p1, %r2, 1;\nmov.b32 %r1, 7;\n";
  const auto expect_members = [&](const std::string& operation, const std::function<uint32_t(uint32_t)>& expected) {
    expect_words(head + "@!%p1 bra L;\n" + operation + "L:\n" + kStore,
                 [&](uint32_t lane) { return kMembers >> lane & 1 ? expected(lane) : 7; });
  };
  const auto value = [](uint32_t lane) { return lane * 0x9e3779b9u; };
  const std::string given = "mul.lo.u32 %r3, %tid, 0x9e3779b9;\n";
  for (const auto& [name, combine] : std::vector<std::pair<std::string, std::function<uint32_t(uint32_t, uint32_t)>>>{
           {"add.u32", [](uint32_t a, uint32_t b) { return a + b; }},
           {"add.s32", [](uint32_t a, uint32_t b) { return a + b; }},
           {"min.u32", [](uint32_t a, uint32_t b) { return std::min(a, b); }},
           {"max.u32", [](uint32_t a, uint32_t b) { return std::max(a, b); }},
           {"min.s32", [](uint32_t a, uint32_t b) { return uint32_t(std::min(int32_t(a), int32_t(b))); }},
           {"max.s32", [](uint32_t a, uint32_t b) { return uint32_t(std::max(int32_t(a), int32_t(b))); }},
           {"and.b32", [](uint32_t a, uint32_t b) { return a & b; }},
           {"or.b32", [](uint32_t a, uint32_t b) { return a | b; }},
           {"xor.b32", [](uint32_t a, uint32_t b) { return a ^ b; }}}) {
    uint32_t wanted = value(1);
    for (uint32_t lane = 3; lane < 32; lane += 2) wanted = combine(wanted, value(lane));
    expect_members(given + "redux.sync." + name + " %r1, %r3, " + members + ";\n", [&](uint32_t) { return wanted; });
  }
  const std::string below = "setp.lt.u32 %p2, %tid, ";
  for (const uint32_t limit : {0u, 9u, 32u}) {
    const uint32_t yes = kMembers & (limit == 32 ? ~0u : (1u << limit) - 1);
    const std::string holds = below + std::to_string(limit) + ";\n";
    expect_members(holds + "vote.sync.ballot.b32 %r1, %p2, " + members + ";\n", [&](uint32_t) { return yes; });
    for (const auto& [mode, wanted] :
         {std::pair{"all", yes == kMembers}, {"any", yes != 0}, {"uni", !yes || yes == kMembers}})
      expect_members(holds + "vote.sync." + mode + ".pred %p3, %p2, " + members + ";\nselp.u32 %r1, 1, 0, %p3;\n",
                     [wanted = wanted](uint32_t) { return uint32_t(wanted); });
  }
  expect_members("shr.u32 %r4, %tid, 3;\ncvt.u64.u32 %d1, %r4;\nshl.b64 %d1, %d1, 40;\nmatch.any.sync.b64 %r1, %d1, " +
                     members + ";\n",
                 [](uint32_t lane) { return kMembers & 0xffu << lane / 8 * 8; });
  expect_members("match.all.sync.b64 %r1|%p3, 5, " + members + ";\nselp.u32 %r1, %r1, 0, %p3;\n",
                 [](uint32_t) { return kMembers; });
  expect_members("activemask.b32 %r1;\n", [](uint32_t) { return kMembers; });
}

TEST(votes_matches_and_reductions) {
  const std::string even = "and.b32 %r2, %tid, 1;\nsetp.eq.u32 %p1, %r2, 0;\n";
  expect_words(even + "vote.sync.ballot.b32 %r1, %p1, 0xffffffff;\n" + kStore, [](uint32_t) { return 0x55555555; });
  expect_words(even + "vote.sync.ballot.b32 %r1, !%p1, 0xffffffff;\n" + kStore, [](uint32_t) { return 0xaaaaaaaa; });
  expect_words(even +
                   "vote.sync.any.pred %p2, %p1, 0xffffffff;\nvote.sync.all.pred %p3, %p1, 0xffffffff;\nselp.u32 %r1, "
                   "1, 0, %p2;\n"
                   "selp.u32 %r3, 2, 0, %p3;\nor.b32 %r1, %r1, %r3;\n" +
                   kStore,
               [](uint32_t) { return 1; });
  expect_words("and.b32 %r2, %tid, 3;\nmatch.any.sync.b32 %r1, %r2, 0xffffffff;\n" + kStore,
               [](uint32_t lane) { return 0x11111111u << lane % 4; });
  expect_words("match.all.sync.b32 %r1|%p1, 5, 0xffffffff;\nselp.u32 %r1, %r1, 0, %p1;\n" + kStore,
               [](uint32_t) { return 0xffffffff; });
  expect_words("redux.sync.add.u32 %r1, %tid, 0xffffffff;\n" + kStore, [](uint32_t) { return 496; });
  expect_words("sub.u32 %r2, 3, %tid;\nredux.sync.min.s32 %r1, %r2, 0xffffffff;\n" + kStore,
               [](uint32_t) { return uint32_t(-28); });
}

TEST(barriers_that_reduce) {
  Setup setup;
  setup.block = {96, 1, 1};
  const std::string third = "rem.u32 %r2, %tid, 3;\nsetp.eq.u32 %p1, %r2, 0;\n";
  expect_words(
      third + "bar.red.popc.u32 %r1, 0, %p1;\n" + kStore, [](uint32_t) { return 32; }, setup);
  expect_words(
      third +
          "bar.red.or.pred %p2, 0, %p1;\nbar.red.and.pred %p3, 0, !%p1;\nselp.u32 %r1, 1, 0, %p2;\nselp.u32 %r3, 2, 0, "
          "%p3;\nadd.u32 %r1, %r1, %r3;\n" +
          kStore,
      [](uint32_t) { return 1; }, setup);
}

}  // namespace simulator::tests
