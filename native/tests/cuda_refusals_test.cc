// What kernels find wrong with numbers and attributes only when they run is said in the words of the CPU.
#include <cmath>

#include "tests/cuda_calls.h"
#include "tests/harness.h"

namespace diffuse::testing {
namespace {

const Numbers kAbsent;

}  // namespace

TEST(cuda_refuses_data_in_the_words_of_the_cpu) {
  const Numbers one{{1}}, x = noise({3, 4}, 1), y{{3, 4}}, three{{3}}, given{{1}, {1}};
  const Numbers wrong = integers({3}, {1, 5, -2}), table{{5, 4}, noise({5, 4}, 2).values};
  expect_refused_as_on_cpu({"embedding_forward", {y, table, wrong}, {}});
  expect_refused_as_on_cpu({"embedding_forward", {{{3, 3}}, noise({5, 3}, 2), wrong}, {}});
  expect_refused_as_on_cpu({"embedding_backward", {{{5, 4}}, x, wrong}, {}});
  for (const double label : {4.0, -1.0}) {
    const Numbers labels = integers({3}, {0, label, 9});
    expect_refused_as_on_cpu({"softmax_cross_entropy_forward", {one, three, three, x, labels}, {}});
    expect_refused_as_on_cpu({"softmax_cross_entropy_backward", {y, given, x, labels}, {}});
  }
  for (const double level : {5.0, -1.0, 1.5, static_cast<double>(NAN)})
    expect_refused_as_on_cpu(
        {"noising", {y, y, three, three, kAbsent, x, noise({5, 6}, 3), {{3}, {0, level, 9}}}, {1, 2, 3, 4, 0, 0}});
  expect_refused_as_on_cpu(
      {"noising", {y, y, three, three, kAbsent, x, noise({5, 6}, 3), kAbsent}, {1, 2, 3, 4, 1, 0}});

  const Numbers tokens = integers({1, 3}, {0, 4, 9}), keep{{2}, {0.5, 0.25}}, states{{1, 3, 4}};
  expect_refused_as_on_cpu({"token_noising", {states, one, tokens, keep}, {-1, 1, 2, 3, 4}});
  expect_refused_as_on_cpu({"token_noising", {states, one, integers({1, 3}, {0, 1, 2}), keep}, {4, 1, 2, 3, 4}});
  const auto denoise = [&](const Numbers& which, double timestep, int64_t state) {
    const Numbers told = generate({1, 3, 5}, [&](int64_t i) { return i % 5 == state ? 1.0 : 0.0; });
    const Numbers logits = noise({1, 3, 4}, 4), level{{1}, {timestep}};
    expect_refused_as_on_cpu({"token_denoising_loss_forward", {one, one, one, logits, which, told, level, keep}, {0}});
    expect_refused_as_on_cpu(
        {"token_denoising_loss_backward", {{{1, 3, 4}}, given, logits, which, told, level, keep}, {0}});
  };
  denoise(integers({1, 3}, {0, 1, 2}), 2, 4);
  denoise(integers({1, 3}, {0, 4, 9}), 1, 4);
  denoise(integers({1, 3}, {2, 2, 1}), 1, 2);
  denoise(integers({1, 3}, {0, 1, 2}), 1, -1);

  for (const double word : {-1.0, 0.5, 4294967296.0, static_cast<double>(NAN)}) {
    for (size_t which = 0; which < 5; which++) {
      std::vector<double> words{1, 2, 3, 4, 5};
      words[which] = word;
      expect_refused_as_on_cpu({"random_normal", {y}, words});
      words.insert(words.begin(), 0.5);
      expect_refused_as_on_cpu({"dropout", {y, x}, words});
    }
  }
  expect_refused_as_on_cpu({"dropout", {y, x}, {0.5, 1, 2, 3, 16777216, 5}});
  for (const double probability : {-0.1, 1.0, static_cast<double>(NAN)})
    expect_refused_as_on_cpu({"dropout", {y, x}, {probability, 1, 2, 3, 4, 5}});
  expect_refused_as_on_cpu({"self_conditioning", {y, x, x, noise({3, 2}, 5)}, {0, 1, 2, 3, 4}});
  expect_refused_as_on_cpu({"sampler_update",
                            {y, y, kAbsent, kAbsent, x, x, kAbsent, kAbsent, kAbsent, kAbsent},
                            {1, 1, -1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4}});
  expect_refused_as_on_cpu({"dynamic_threshold", {y, x, x}, {1, 1, 1.5, 1}});
  expect_refused_as_on_cpu({"dynamic_threshold", {y, x, x}, {1, 1, 0.5, 0.5}});
  expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 4}}, {{3}, {1, 2, 3}}}, {0, 0, 0}});
  expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 4}}, {{3}, {1, 2, 3}}}, {2, 0, 10000}});
  const Numbers flat = noise({5}, 6, 0.5, 1.5);
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, kAbsent, flat, given}, {1, 1, 1, 1, 1, 0, 1, 1, 1, 1}});
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, kAbsent, flat, given}, {1, 1, 1, 1, 1, 1, 1, -1, 1, 1}});
}

}  // namespace diffuse::testing
