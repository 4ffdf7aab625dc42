// Every row of the table of functions against a second computation, by the text of the PTX ISA (reference.h).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>

#include "tests/harness.h"
#include "tests/reference.h"

namespace simulator::tests {
namespace {

// Up to 128 combinations of samples of the sources' types.
std::vector<std::vector<uint64_t>> combinations(const std::string& mnemonic, size_t count) {
  constexpr size_t kMost = 128;
  std::vector<std::vector<uint64_t>> samples;
  size_t all = 1;
  for (const std::string& type : source_types_of(mnemonic, count)) {
    samples.push_back(samples_of(type));
    all *= samples.back().size();
  }
  std::vector<std::vector<uint64_t>> result;
  const size_t step = all > kMost ? all / kMost | 1 : 1;
  for (size_t at = 0; at < all && result.size() < kMost; at += step) {
    size_t rest = at;
    std::vector<uint64_t> sources;
    for (const std::vector<uint64_t>& of_source : samples) {
      sources.push_back(of_source[rest % of_source.size()]);
      rest /= of_source.size();
    }
    result.push_back(sources);
  }
  return result;
}

std::string hexadecimal(uint64_t bits) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(bits));
  return text;
}

Setup one_thread() {
  Setup setup;
  setup.block = {1, 1, 1};
  return setup;
}

bool carries(const ptx::Function& function) { return std::strpbrk(function.operands, "<>"); }
bool is_approximate(const std::string& name) {
  return name.find(".approx") != std::string::npos || name.find(".full") != std::string::npos;
}
size_t sources_of(const ptx::Function& function) { return std::strcspn(function.operands, "<>") - 1; }

// Where the reference knows the instruction.
void check(const std::string& mnemonic, size_t count) {
  const std::vector<std::vector<uint64_t>> cases = combinations(mnemonic, count);
  for (size_t first = 0; first < cases.size(); first += 32) {
    const std::vector<std::vector<uint64_t>> some(cases.begin() + first,
                                                  cases.begin() + std::min(first + 32, cases.size()));
    std::vector<std::optional<Expected>> expected;
    for (const std::vector<uint64_t>& sources : some) expected.push_back(expected_of(mnemonic, sources));
    if (std::none_of(expected.begin(), expected.end(), [](const auto& one) { return one.has_value(); })) continue;
    const std::vector<uint64_t> results = results_of(mnemonic, some);
    for (size_t i = 0; i < some.size(); i++) {
      if (!expected[i] || agrees(*expected[i], results[i])) continue;
      std::string text = mnemonic + " of";
      for (const uint64_t bits : some[i]) text += " " + hexadecimal(bits);
      throw Failed(text + " is " + hexadecimal(results[i]) + ", not " + hexadecimal(expected[i]->bits));
    }
  }
}

// What one lane has of an instruction that reads or writes the carry.
struct Carried {
  uint64_t result;
  uint32_t carry;
};

Carried run_with_carry(const std::string& mnemonic, bool wide, const std::vector<uint64_t>& sources, uint32_t carry) {
  const std::string letter = wide ? "d" : "r", bits = wide ? "b64" : "b32";
  std::string body = "mov.b32 %r50, -1;\nmov.b32 %r51, " + std::to_string(carry) + ";\n";
  std::string call = mnemonic + " %" + letter + "40";
  for (size_t i = 0; i < sources.size(); i++) {
    const std::string name = "%" + letter + std::to_string(41 + i);
    body += "mov." + bits + " " + name + ", " + hexadecimal(sources[i]) + ";\n";
    call += ", " + name;
  }
  // The carry is set by a sum that may pass the end, and read by a sum of zeros.
  body += "mov.b32 %r53, 0;\nadd.cc.u32 %r52, %r50, %r51;\n" + call + ";\naddc.u32 %r53, %r53, %r53;\n" + "st.global." +
          bits + " [%out], %" + letter + "40;\nst.global.b32 [%out+8], %r53;\n";
  const Outcome outcome = run(kernel_text(body), {}, one_thread());
  if (!outcome.ok) throw Failed(outcome.report.findings()[0].text());
  return {wide ? outcome.at<uint64_t>(0) : outcome.at<uint32_t>(0), outcome.at<uint32_t>(2)};
}

// "Extended-Precision Integer Arithmetic Instructions"; what sub borrows is its carry.
Carried expected_carry(const std::string& mnemonic, bool wide, const std::vector<uint64_t>& sources, uint32_t carry) {
  using Bits128 = unsigned __int128;
  const int bits = wide ? 64 : 32;
  const Bits128 one = 1, mask = (one << bits) - 1;
  const std::string head = mnemonic.substr(0, mnemonic.find('.'));
  const Bits128 incoming = head.back() == 'c' ? carry : 0;
  const bool writes = mnemonic.find(".cc") != std::string::npos;
  Bits128 left = sources[0], right = sources[1], result;
  bool out;
  if (head.substr(0, 3) == "sub") {
    result = left - right - incoming;
    out = left < right + incoming;
  } else {
    if (head.substr(0, 3) == "mad") {
      const auto extended = [&](uint64_t value) {
        const bool negative = mnemonic.find(".s") != std::string::npos && (value >> (bits - 1) & 1);
        return negative ? Bits128(value) - (one << bits) : Bits128(value);
      };
      const Bits128 product = extended(sources[0]) * extended(sources[1]);
      left = (mnemonic.find(".hi") != std::string::npos ? product >> bits : product) & mask;
      right = sources[2];
    }
    result = left + right + incoming;
    out = result >> bits & 1;
  }
  return {static_cast<uint64_t>(result & mask), writes ? out : carry};
}

// The function that an approximation is of.
double exact_value(const std::string& head, double a, double b) {
  if (head == "ex2") return std::exp2(a);
  if (head == "lg2") return std::log2(a);
  if (head == "sin") return std::sin(a);
  if (head == "cos") return std::cos(a);
  if (head == "tanh") return std::tanh(a);
  if (head == "rcp") return 1 / a;
  if (head == "sqrt") return std::sqrt(a);
  if (head == "rsqrt") return 1 / std::sqrt(a);
  if (head == "div") return a / b;
  throw Failed("no function " + head);
}

}  // namespace

TEST(all_functions_agree_with_the_manual) {
  std::string wrong;
  for (const ptx::Function* function : ptx::all_functions()) {
    // A conversion of half a register has no spelling of its own.
    if (carries(*function) || is_approximate(function->name) || std::strchr(function->operands, 'i') ||
        std::strstr(function->name, ".of_lower_half"))
      continue;
    try {
      check(function->name, sources_of(*function));
    } catch (const Failed& failed) {
      wrong += std::string(failed.what()) + "\n";
    }
  }
  if (!wrong.empty()) throw Failed(wrong);
}

// Of a register that is wider than the type, the lower half is converted.
TEST(halves_of_registers_are_converted) {
  const Outcome outcome =
      run(kernel_text("mov.b64 %d1, 0x7ffffffff;\ncvt.s64.s32 %d2, %d1;\ncvt.u64.u32 %d3, %d1;\nst.global.u64 [%out], "
                      "%d2;\nst.global.u64 [%out+8], %d3;\n"),
          {}, one_thread());
  expect_equal(outcome.at<uint64_t>(0), ~uint64_t(0), "cvt.s64.s32");
  expect_equal(outcome.at<uint64_t>(1), 0xffffffff, "cvt.u64.u32");
}

TEST(all_carries_agree_with_the_manual) {
  const std::vector<uint64_t> samples = {0, 1, 5, 0x7fffffff, 0x80000000, 0xffffffff, ~uint64_t(0), uint64_t(1) << 63};
  for (const ptx::Function* function : ptx::all_functions()) {
    if (!carries(*function)) continue;
    const std::string name = function->name;
    const bool wide = function->operands[0] == 'l';
    for (size_t i = 0; i < 16; i++) {
      const std::string what = name + ", case " + std::to_string(i);
      std::vector<uint64_t> sources;
      for (size_t j = 0; j < sources_of(*function); j++)
        sources.push_back(samples[(i * (2 * j + 3) + j) % samples.size()] & (wide ? ~uint64_t(0) : 0xffffffff));
      const uint32_t carry = i / 8;
      const Carried got = run_with_carry(name, wide, sources, carry);
      const Carried wanted = expected_carry(name, wide, sources, carry);
      expect_equal(got.result, wanted.result, what);
      expect_equal(got.carry, wanted.carry, "the carry of " + what);
    }
  }
}

TEST(approximations_are_near) {
  const std::vector<double> samples = {0.25, 0.5, 1, 1.5, 2, 3, 7.75, 10};
  const auto other = [&](size_t i) { return samples[(i + 3) % samples.size()]; };
  for (const ptx::Function* function : ptx::all_functions()) {
    const std::string name = function->name, type = name.substr(name.rfind('.') + 1);
    if (!is_approximate(name)) continue;
    const bool pair = type.size() > 3 && type.substr(type.size() - 2) == "x2";
    const auto bits = [&](double value) { return bits_of_number(value, type) * (pair ? 0x10001 : 1); };
    std::vector<std::vector<uint64_t>> sources;
    for (size_t i = 0; i < samples.size(); i++) {
      sources.push_back({bits(samples[i])});
      if (sources_of(*function) == 2) sources.back().push_back(bits(other(i)));
    }
    const std::vector<uint64_t> results = results_of(name, sources);
    const double tolerance = type == "f64" ? 0x1p-19 : type == "f32" ? 0x1p-22 : type[0] == 'f' ? 0x1p-11 : 0x1p-8;
    for (size_t i = 0; i < samples.size(); i++)
      for (const int shift : {0, pair ? 16 : 0}) {
        const double got = number_of_bits(results[i] >> shift, type);
        const double wanted = exact_value(name.substr(0, name.find('.')), samples[i], other(i));
        if (!(std::fabs(got - wanted) <= tolerance * std::fabs(wanted)))
          throw Failed(name + " of " + std::to_string(samples[i]) + " is " + std::to_string(got) + ", not " +
                       std::to_string(wanted));
      }
  }
}

}  // namespace simulator::tests
