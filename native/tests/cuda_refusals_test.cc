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
  for (const int64_t channels : {1, 3})
    expect_refused_as_on_cpu({"embedding_forward", {{{3, channels}}, noise({5, channels}, 2), wrong}, {}});
  expect_refused_as_on_cpu({"embedding_backward", {{{5, 4}}, x, wrong}, {}});
  const Numbers negative = integers({3}, {-2, 1, 5});
  expect_refused_as_on_cpu({"embedding_forward", {y, table, negative}, {}});
  expect_refused_as_on_cpu({"embedding_backward", {{{5, 4}}, x, negative}, {}});
  expect_refused_as_on_cpu({"embedding_backward", {{{1, 4}}, x, wrong}, {}});
  // The first of several is told, whichever of the threads that find one is the last: in another warp or in another
  // block. What is left is right.
  const Numbers of_many = noise({40, 4}, 1), forty{{40}}, level{{1}, {0.5}};
  for (int schedule = 0; schedule < 16; schedule++) {
    const double first = schedule % 2 ? -1 : 4, second = schedule % 2 ? 4 : -1;
    const int64_t begin = schedule / 4 % 2, at = schedule % 4 < 2 ? begin + 1 : 33;
    const Numbers many = generate(
        {40}, [&](int64_t n) { return n == begin ? first
                                      : n == at  ? second
                                                 : 0; }, DType::i32);
    expect_refused_as_on_cpu({"embedding_forward", {{{40, 256}}, noise({4, 256}, 2), many}, {}});
    expect_refused_as_on_cpu({"embedding_backward", {{{4, 4}}, of_many, many}, {}});
    expect_refused_as_on_cpu({"softmax_cross_entropy_forward", {one, forty, forty, of_many, many}, {}});
    expect_refused_as_on_cpu({"softmax_cross_entropy_backward", {{{40, 4}}, given, of_many, many}, {}});
    const Numbers images = noise({40, 1}, 1), levels{{40}, many.values};
    expect_refused_as_on_cpu(
        {"noising", {images, images, forty, forty, kAbsent, images, noise({4, 6}, 3), levels}, {1, 2, 3, 4, 0, 0}});
    const Numbers sequence{{1, 40}, many.values, DType::i32};
    expect_refused_as_on_cpu({"token_noising", {{{1, 40, 4}}, one, sequence, level}, {-1, 1, 2, 3, 4}});
  }
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
  // The last token alone, of the second sample; those before it are right, of which one has changed its state.
  const auto denoise_last = [&](int64_t states_of_token, double token, int64_t state) {
    const Numbers last = integers({2, 3}, {0, 1, 2, 3, 0, token}), level{{2}, {0, 1}}, logits = noise({2, 3, 4}, 4);
    const Numbers told = generate({2, 3, states_of_token}, [&](int64_t i) {
      const int64_t m = i / states_of_token;
      return i % states_of_token == (m == 1 ? states_of_token - 1 : m < 5 ? m % 4 : state) ? 1.0 : 0.0;
    });
    expect_refused_as_on_cpu({"token_denoising_loss_forward", {one, one, one, logits, last, told, level, keep}, {0}});
    expect_refused_as_on_cpu(
        {"token_denoising_loss_backward", {{{2, 3, 4}}, given, logits, last, told, level, keep}, {0}});
  };
  for (const int64_t states_of_token : {4, 5}) {
    denoise_last(states_of_token, 4, 0);
    denoise_last(states_of_token, -1, 0);
    denoise_last(states_of_token, 1, -1);
  }
  denoise_last(5, 1, 2);
  // One class, which the token before it has.
  const Numbers last_of_two = integers({1, 2}, {0, 1}), only_state{{1, 2, 1}, {1, 1}}, one_class = noise({1, 2, 1}, 4);
  expect_refused_as_on_cpu(
      {"token_denoising_loss_forward", {one, one, one, one_class, last_of_two, only_state, level, keep}, {0}});
  // The first of many has a state that only noise could have given it, and there is none.
  const Numbers of_many_tokens = generate(
                    {1, 9}, [](int64_t i) { return i == 0 ? 1.0 : 9.0; }, DType::i32),
                in_first_state = generate({1, 9, 4}, [](int64_t i) { return i % 4 == 0 ? 1.0 : 0.0; }),
                logits_of_many = noise({1, 9, 4}, 4), first_level{{1}, {0}}, no_noise{{2}, {1, 0.5}};
  expect_refused_as_on_cpu({"token_denoising_loss_forward",
                            {one, one, one, logits_of_many, of_many_tokens, in_first_state, first_level, no_noise},
                            {0}});
  expect_refused_as_on_cpu({"token_denoising_loss_backward",
                            {{{1, 9, 4}}, given, logits_of_many, of_many_tokens, in_first_state, first_level, no_noise},
                            {0}});

  const Numbers half_y{{3, 4}, {}, DType::bf16}, half_x{{3, 4}, x.values, DType::bf16};
  struct Words {
    KernelCall call;
    size_t first, last;  // of the attributes that must be words
  };
  const Numbers bytes{{3, 4}, x.values, DType::u8}, &no = kAbsent;
  for (auto& [call, first, last] : std::vector<Words>{
           {{"random_normal", {y}, {1, 2, 3, 4, 5}}, 0, 4},
           {{"random_uniform", {y}, {1, 2, 3, 4, 5, -1, 1}}, 0, 4},
           {{"dropout", {y, x}, {0.5, 1, 2, 3, 4, 5}}, 1, 5},
           {{"dropout", {half_y, half_x}, {0.5, 1, 2, 3, 4, 5}}, 1, 5},
           {{"noising", {y, y, three, three, no, x, noise({5, 6}, 3), no}, {1, 2, 3, 4, 0, 0}}, 0, 3},
           {{"noising", {y, y, three, three, no, bytes, noise({5, 6}, 3), no}, {1, 2, 3, 4, 0, 0}}, 0, 3},
           {{"self_conditioning", {y, x, x, noise({3, 2}, 5)}, {1, 1, 2, 3, 4}}, 1, 4},
           {{"token_noising", {states, one, integers({1, 3}, {0, 1, 2}), keep}, {-1, 1, 2, 3, 4}}, 1, 4},
           {{"sampler_update",
             {y, y, no, no, x, x, no, no, no, no},
             {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4}},
            13,
            16},
       })
    for (size_t which = first; which <= last; which++)
      for (const double word : {-1.0, 0.5, 4294967296.0, static_cast<double>(NAN)}) {
        KernelCall wrong_word = call;
        wrong_word.attributes[which] = word;
        expect_refused_as_on_cpu(wrong_word);
      }
  for (const double layer : {16777216.0, 4294967295.0})
    for (const auto& [to, from] : {std::pair{y, x}, {half_y, half_x}})
      expect_refused_as_on_cpu({"dropout", {to, from}, {0.5, 1, 2, 3, layer, 5}});
  for (const double probability : {-0.1, 1.0, static_cast<double>(NAN)})
    for (const auto& [to, from] : {std::pair{y, x}, {half_y, half_x}})
      expect_refused_as_on_cpu({"dropout", {to, from}, {probability, 1, 2, 3, 4, 5}});
  for (const double clip : {0.0, -1.0}) {
    expect_refused_as_on_cpu({"self_conditioning", {y, x, x, noise({3, 2}, 5)}, {clip, 1, 2, 3, 4}});
    expect_refused_as_on_cpu({"sampler_update",
                              {y, y, kAbsent, kAbsent, x, x, kAbsent, kAbsent, kAbsent, kAbsent},
                              {1, 1, clip, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4}});
  }
  expect_refused_as_on_cpu({"dynamic_threshold", {y, x, x}, {1, 1, 1.5, 1}});
  expect_refused_as_on_cpu({"dynamic_threshold", {y, x, x}, {1, 1, 0.5, 0.5}});
  for (const double period : {0.0, -2.0})
    expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 4}}, {{3}, {1, 2, 3}}}, {0, 0, period}});
  expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 4}}, {{3}, {1, 2, 3}}}, {2, 0, 10000}});
  expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 2}}, {{3}, {1, 2, 3}}}, {1, 0, 10000}});
  const Numbers flat = noise({5}, 6, 0.5, 1.5);
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, kAbsent, flat, given}, {1, 1, 1, 1, 1, 0, 1, 1, 1, 1}});
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, kAbsent, flat, given}, {1, 1, 1, 1, 1, 1, 0, 1, 1, 1}});
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, kAbsent, flat, given}, {1, 1, 1, 1, 1, 1, 1, -1, 1, 1}});
}

}  // namespace diffuse::testing
