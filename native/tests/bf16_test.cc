// The storage format bf16 on every instruction set: widening and rounding by the kernel cast, in whole vectors and in
// the tails of rows.
#include "tests/bf16.h"

#include <vector>

#include "cpu/dispatch.h"
#include "engine/signature.h"
#include "engine/workers.h"
#include "tests/harness.h"
#include "tests/kernel_cases.h"

namespace diffuse::testing {
namespace {

constexpr int kAll = 1 << 16;
// One row is read by whole vectors, rows of so few channels by the tails alone.
constexpr int64_t kChannels[] = {kAll, 1, 3, 13};

uint32_t word_of(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  return word;
}

template <typename From, typename To>
std::vector<To> cast(const std::string& isa, const std::vector<From>& from, DType from_type, DType to_type,
                     int64_t channels) {
  const int64_t count = static_cast<int64_t>(from.size()), rows = count / channels;
  std::vector<To> to(from.size());
  const auto tensor = [&](const void* data, DType dtype) {
    Tensor t;
    t.data = const_cast<void*>(data);
    t.dtype = dtype;
    t.rank = 2;
    t.shape[0] = rows;
    t.shape[1] = t.row_stride = channels;
    return t;
  };
  // Rows that lie apart are walked one by one.
  std::vector<From> spread(static_cast<size_t>(rows * (channels + 1)));
  for (int64_t i = 0; i < rows * channels; i++)
    spread[static_cast<size_t>(i / channels * (channels + 1) + i % channels)] = from[static_cast<size_t>(i)];
  Tensor tensors[] = {tensor(to.data(), to_type), tensor(spread.data(), from_type)};
  tensors[1].row_stride++;
  Workers workers(1);
  int kernel = 0;
  while (signatures()[static_cast<size_t>(kernel)].kernel != "cast") kernel++;
  Call call{};
  call.tensors = tensors;
  call.workers = &workers;
  cpu_kernels(isa)[kernel].run(call);
  to.resize(static_cast<size_t>(rows * channels));
  return to;
}

// Below the normal range a CPU may give zero of the same sign.
bool is_subnormal(uint32_t word) { return (word & 0x7f800000) == 0 && (word & 0x7fffffff) != 0; }

}  // namespace

TEST(every_bf16_is_widened_exactly) {
  std::vector<uint16_t> all(kAll);
  for (int i = 0; i < kAll; i++) all[static_cast<size_t>(i)] = static_cast<uint16_t>(i);
  for (const auto& isa : tested_isas())
    for (int64_t channels : kChannels) {
      const auto wide = cast<uint16_t, float>(isa, all, DType::bf16, DType::f32, channels);
      for (size_t i = 0; i < wide.size(); i++)
        if (word_of(wide[i]) != word_of(widened(all[i])))
          failed(isa + text(": %04x of rows of %lld became %08x", all[i], static_cast<long long>(channels),
                            word_of(wide[i])));
    }
}

TEST(float32_is_rounded_to_the_nearest_bf16) {
  // Ties, their neighbours, exact numbers, infinities, NaN of every payload, and what rounds up to infinity.
  for (const uint32_t low : {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff}) {
    std::vector<float> values(kAll);
    for (uint32_t i = 0; i < kAll; i++) {
      const uint32_t word = i << 16 | low;
      std::memcpy(&values[i], &word, sizeof word);
    }
    for (const auto& isa : tested_isas())
      for (int64_t channels : kChannels) {
        const auto rounded = cast<float, uint16_t>(isa, values, DType::f32, DType::bf16, channels);
        for (size_t i = 0; i < rounded.size(); i++) {
          const uint32_t word = static_cast<uint32_t>(i) << 16 | low;
          const uint16_t wanted = nearest(values[i]);
          const bool flushed = is_subnormal(word) && rounded[i] == (word >> 16 & 0x8000);
          if (rounded[i] != wanted && !flushed)
            failed(isa + text(": %08x of rows of %lld became %04x, not %04x", word, static_cast<long long>(channels),
                              rounded[i], wanted));
        }
      }
  }
}

TEST(numbers_that_bf16_holds_keep_their_bits) {
  std::vector<float> all(kAll);
  for (int i = 0; i < kAll; i++) all[static_cast<size_t>(i)] = widened(static_cast<uint16_t>(i));
  for (const auto& isa : tested_isas()) {
    const auto there = cast<float, uint16_t>(isa, all, DType::f32, DType::bf16, kAll);
    const auto back = cast<uint16_t, float>(isa, there, DType::bf16, DType::f32, kAll);
    for (size_t i = 0; i < back.size(); i++) {
      if (std::isnan(all[i]) || is_subnormal(word_of(all[i]))) continue;
      if (word_of(back[i]) != word_of(all[i])) failed(isa + text(": %04zx came back as %08x", i, word_of(back[i])));
    }
  }
}

}  // namespace diffuse::testing
