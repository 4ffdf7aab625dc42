// Which element of a matrix each lane holds, as "Matrix Fragments for mma.m16n8k16" and its neighbours, ldmatrix and
// stmatrix of the PTX ISA say it: by the numbers of a lane's elements a0, a1, …
#include <algorithm>
#include <cmath>

#include "tests/harness.h"
#include "tests/reference.h"

namespace simulator::tests {
namespace {

struct Place {
  int row, column;
};

// groupID and threadID_in_group of the manual.
int group_of(int lane) { return lane / 4; }
int thread_of(int lane) { return lane % 4; }

// The i-th element of a lane's part of A [16 x depth], B [depth x 8] and C or D [16 x 8].
Place of_a(const std::string& type, int depth, int lane, int i) {
  if (type == "tf32") {
    const bool lower_rows = depth == 4 ? i == 1 : i == 1 || i == 3;
    return {group_of(lane) + (lower_rows ? 8 : 0), thread_of(lane) + (i >= 2 ? 4 : 0)};
  }
  const bool upper_rows = depth == 8 ? i < 2 : i < 2 || (i >= 4 && i < 6);
  return {group_of(lane) + (upper_rows ? 0 : 8), thread_of(lane) * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
Place of_b(const std::string& type, int lane, int i) {
  if (type == "tf32") return {thread_of(lane) + (i == 1 ? 4 : 0), group_of(lane)};
  return {thread_of(lane) * 2 + (i & 1) + (i >= 2 ? 8 : 0), group_of(lane)};
}
Place of_c(int lane, int i) { return {group_of(lane) + (i < 2 ? 0 : 8), thread_of(lane) * 2 + (i & 1)}; }

// Small whole numbers, whose sums all formats hold.
double number_at(int matrix, Place place) { return (place.row * 7 + place.column * 3 + matrix * 5) % 9 - 4; }

// Appends the element to a lane's words: elements of 16 bits share a word.
void put(std::vector<uint32_t>& words, int i, double value, const std::string& type) {
  const bool half = type == "f16" || type == "bf16";
  if (!half || i % 2 == 0) words.push_back(0);
  words.back() |= static_cast<uint32_t>(bits_of_number(value, type == "tf32" ? "f32" : type))
                  << (half && i % 2 ? 16 : 0);
}

std::string list_of(const char* letter, int first, int count) {
  std::string text = "{";
  for (int i = 0; i < count; i++) text += (i ? ", %" : "%") + std::string(letter) + std::to_string(first + i);
  return text + "}";
}

void check_product(int depth, const std::string& type, const std::string& sum_type) {
  constexpr int kWordsOfLane = 16, kSums = 4;
  const int of_a_count = 16 * depth / 32, of_b_count = 8 * depth / 32;
  std::vector<uint32_t> in(32 * kWordsOfLane);
  int a_words = 0, b_words = 0, c_words = 0;
  for (int lane = 0; lane < 32; lane++) {
    std::vector<uint32_t> a, b, c;
    for (int i = 0; i < of_a_count; i++) put(a, i, number_at(0, of_a(type, depth, lane, i)), type);
    for (int i = 0; i < of_b_count; i++) put(b, i, number_at(1, of_b(type, lane, i)), type);
    for (int i = 0; i < kSums; i++) put(c, i, number_at(2, of_c(lane, i)), sum_type);
    a_words = static_cast<int>(a.size()), b_words = static_cast<int>(b.size()), c_words = static_cast<int>(c.size());
    uint32_t* to = in.data() + lane * kWordsOfLane;
    for (const auto& words : {a, b, c}) to = std::copy(words.begin(), words.end(), to);
  }
  const int all = a_words + b_words + c_words;
  const char* sums = sum_type == "f32" ? "f" : "r";
  std::string body = "mul.wide.u32 %d1, %tid, 64;\nadd.u64 %d2, %d1, %in;\nadd.u64 %d3, %d1, %out;\n";
  for (int i = 0; i < all; i++)
    body += "ld.global.b32 %r" + std::to_string(i) + ", [%d2+" + std::to_string(4 * i) + "];\n";
  for (int i = 0; i < c_words; i++)
    body += "mov.b32 %" + std::string(sums) + std::to_string(20 + i) + ", %r" + std::to_string(a_words + b_words + i) +
            ";\n";
  // The sums are the registers of the result too.
  const std::string name = "mma.sync.aligned.m16n8k" + std::to_string(depth) + ".row.col." + sum_type + "." + type +
                           "." + type + "." + sum_type;
  body += name + " " + list_of(sums, 20, c_words) + ", " + list_of("r", 0, a_words) + ", " +
          list_of("r", a_words, b_words) + ", " + list_of(sums, 20, c_words) + ";\n";
  for (int i = 0; i < c_words; i++)
    body += "st.global.b32 [%d3+" + std::to_string(4 * i) + "], %" + sums + std::to_string(20 + i) + ";\n";
  const Outcome outcome = run(kernel_text(body), bytes_of(in));
  if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < kSums; i++) {
      const Place at = of_c(lane, i);
      double wanted = number_at(2, at);
      for (int k = 0; k < depth; k++) wanted += number_at(0, {at.row, k}) * number_at(1, {k, at.column});
      const bool half = sum_type == "f16";
      const uint32_t word = outcome.at<uint32_t>(lane * kWordsOfLane + (half ? i / 2 : i));
      const double got = number_of_bits(half && i % 2 ? word >> 16 : word, sum_type);
      if (got != wanted)
        throw Failed(name + ", lane " + std::to_string(lane) + ", element " + std::to_string(i) + ": " +
                     std::to_string(got) + ", not " + std::to_string(wanted));
    }
}

}  // namespace

TEST(fragments_of_products) {
  for (const int depth : {8, 16})
    for (const auto& [type, sum] : {std::pair{"bf16", "f32"}, {"f16", "f32"}, {"f16", "f16"}})
      check_product(depth, type, sum);
  for (const int depth : {4, 8}) check_product(depth, "tf32", "f32");
}

// Lanes 8 i … 8 i + 7 name the rows of matrix i, which may lie anywhere: here last things first.
TEST(fragments_that_are_loaded_and_stored) {
  constexpr int kElements = 4 * 64;
  std::vector<uint16_t> in(kElements);
  for (int i = 0; i < kElements; i++) in[i] = static_cast<uint16_t>(1000 + i);
  const auto element = [&](int matrix, int row, int column) { return in[(31 - (8 * matrix + row)) * 8 + column]; };
  for (const int count : {1, 2, 4})
    for (const bool transposed : {false, true}) {
      const std::string form =
          ".sync.aligned.m8n8.x" + std::to_string(count) + (transposed ? ".trans" : "") + ".shared.b16 ";
      std::string body =
          ".shared .align 16 .b8 tile[1024];\nmov.u32 %r40, tile;\nshl.b32 %r41, %tid, 4;\nadd.u32 %r42, %r40, %r41;\n"
          "mul.wide.u32 %d1, %tid, 16;\nadd.u64 %d2, %d1, %in;\nld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d2];\n"
          "st.shared.v4.u32 [%r42], {%r1, %r2, %r3, %r4};\nbar.sync 0;\nsub.s32 %r43, 496, %r41;\nadd.u32 %r44, %r43, "
          "%r40;\n";
      body += "ldmatrix" + form + list_of("r", 10, count) + ", [%r44];\n";
      body +=
          "stmatrix" + form + "[%r44+512], " + list_of("r", 10, count) + ";\nbar.sync 0;\nadd.u64 %d3, %d1, %out;\n";
      for (int i = 0; i < count; i++)
        body += "st.global.u32 [%d3+" + std::to_string(4 * i) + "], %r" + std::to_string(10 + i) + ";\n";
      // What stmatrix wrote, by the lanes that named its rows.
      body += "setp.lt.u32 %p1, %tid, " + std::to_string(8 * count) +
              ";\n@%p1 ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [%r44+512];\n@%p1 st.global.v4.u32 [%d3+512], {%r1, %r2, "
              "%r3, "
              "%r4};\n";
      const Outcome outcome = run(kernel_text(body), bytes_of(in));
      if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
      for (int lane = 0; lane < 32; lane++)
        for (int matrix = 0; matrix < count; matrix++)
          for (int half = 0; half < 2; half++) {
            const int major = lane / 4, minor = 2 * (lane % 4) + half;
            expect_equal(outcome.at<uint16_t>(lane * 8 + matrix * 2 + half),
                         transposed ? element(matrix, minor, major) : element(matrix, major, minor),
                         "ldmatrix" + form + "lane " + std::to_string(lane));
          }
      for (int lane = 0; lane < 8 * count; lane++)
        for (int column = 0; column < 8; column++)
          expect_equal(outcome.at<uint16_t>(256 + lane * 8 + column), element(lane / 8, lane % 8, column),
                       "stmatrix" + form + "row " + std::to_string(lane));
    }
}

}  // namespace simulator::tests
