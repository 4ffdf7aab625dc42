// Kernels on numbers that kernel_cases.h has none of: random bits, losses of every kind, ties and NaN, and as many
// elements as threads take in several turns. The CPU kernel says what is right.
#include <cmath>
#include <limits>

#include "ops/random.h"
#include "tests/cuda_calls.h"
#include "tests/harness.h"
#include "tests/operand.h"

namespace diffuse::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const Numbers kAbsent;

}  // namespace

TEST(cuda_noise_has_the_bits_of_the_cpu) {
  // Samples end one, two and three elements after a counter's.
  const std::pair<double, std::vector<int64_t>> runs[] = {
      {0, {3, 13, 11, 3}}, {4294967295, {3, 7, 3, 2}}, {12345, {3, 5, 1, 7}}};
  for (const auto& [seed, shape] : runs) {
    const Numbers y{shape}, x = noise(shape, 1);
    const double other = 4294967295 - seed;
    const std::vector<double> stream{seed, other, seed, other};
    const auto with = [&](std::vector<double> before, std::vector<double> after) {
      before.insert(before.end(), stream.begin(), stream.end());
      before.insert(before.end(), after.begin(), after.end());
      return before;
    };
    expect_as_on_cpu({"random_normal", {y}, with({}, {seed})}, "any", 0);
    expect_as_on_cpu({"random_uniform", {y}, with({}, {seed, -3, 0.1})}, "any", 0);
    expect_as_on_cpu({"dropout", {y, x}, {0.3, seed, other, seed, 16777215, other}}, "float32", 0);
    const Numbers half{shape, x.values, DType::bf16};
    expect_as_on_cpu({"dropout", {{shape, {}, DType::bf16}, half}, {0, other, seed, other, 0, seed}}, "bf16", 0);
    const Numbers table = noise({11, 8}, 2), each{{3}};
    const Numbers bytes = generate(
        shape, [](int64_t i) { return static_cast<double>(i * 37 % 256); }, DType::u8);
    for (const auto& [images, name] : {std::pair{bytes, "bytes"}, {x, "numbers"}})
      for (const double flip : {0.0, 1.0})
        for (const double offset : {0.0, 0.1})
          for (const Numbers& level : {kAbsent, Numbers{{3}, {10, 0, 4}}})
            expect_as_on_cpu({"noising", {y, y, each, each, {{3, 2}}, images, table, level}, with({}, {flip, offset})},
                             name, 0);
    expect_as_on_cpu({"self_conditioning", {y, x, noise(shape, 3), noise({3, 2}, 4)}, with({1}, {})}, "any", 0);
    const Numbers no, states{{3, 40, 140}},
        tokens = generate(
            {3, 40}, [](int64_t i) { return static_cast<double>(i % 5); }, DType::i32);
    for (const double mask : {-1.0, 0.0, 4.0})
      expect_as_on_cpu({"token_noising", {states, each, tokens, {{4}, {0.9, 0.6, 0.3, 0.1}}}, with({mask}, {})}, "any",
                       0);
    for (const double strength : {0.0, 0.7})
      for (const double clip : {1.0, kInfinity})
        for (const Numbers& history : {no, x})
          expect_as_on_cpu({"sampler_update",
                            {y, y, y, history.shape.empty() ? no : y, x, noise(shape, 5), history, history, no, no},
                            with({1.1, -0.4, clip, 0.3, 0.7, -0.2, 0.5, 0.25, strength, 1.5, -0.5, -4, -2}, {})},
                           "made noise", 0);
    expect_as_on_cpu({"sampler_update",
                      {y, y, no, no, x, noise(shape, 5), no, no, noise(shape, 6), noise(shape, 7, -1, 1)},
                      with({1.1, -0.4, 1, 0.3, 0.7, -0.2, 0.5, 0.25, 0.7, 1.5, -0.5, -4, -2}, {})},
                     "given noise of predicted variance", 1e-6);
  }
}

TEST(cuda_draws_equal_to_a_probability_are_kept) {
  const std::vector<int64_t> shape{1, 16};
  const Numbers x = noise(shape, 1);
  constexpr double kLayer = 7;
  const std::vector<float> draws =
      outputs_on_cpu({"random_uniform", {{shape}}, {1, 2, kPurposeDropout + 256 * kLayer, 3, 4, 0, 1}})[0];
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const float probability : {0.0f, draws[4], draws[5], draws[6], draws[7]})
      expect_as_on_cpu({"dropout", {{shape, {}, dtype}, {shape, x.values, dtype}}, {probability, 1, 2, 3, kLayer, 4}},
                       "a draw", 0);
  // The even ones decide whether tokens are lost.
  const std::vector<float> losses = outputs_on_cpu({"random_uniform", {{shape}}, {1, 2, kPurposeNoise, 3, 4, 0, 1}})[0];
  const Numbers tokens = integers({1, 8}, {0, 1, 2, 3, 0, 1, 2, 3}), timestep{{1}};
  for (const size_t at : {2, 4, 6})
    expect_as_on_cpu({"token_noising", {{{1, 8, 5}}, timestep, tokens, {{1}, {losses[at]}}}, {4, 1, 2, 3, 4}}, "a draw",
                     0);
}

TEST(cuda_hybrid_losses_of_every_kind_are_those_of_the_cpu) {
  const std::vector<int64_t> shape{3, 7, 5, 3};
  const Numbers one{{1}}, samples{{3}}, weight{{3}, {0.5, 1, 2}};
  // Bytes as numbers, both ends among them; predictions near and far.
  const Numbers x0 = generate(shape, [](int64_t i) {
    return i % 5 == 0 ? -1 : i % 7 == 0 ? 1 : static_cast<double>(i * 51 % 256) / 127.5 - 1;
  });
  for (const double kind : {0.0, 1.0, 2.0})
    for (const double distance : {0.01, 0.3, 30.0})
      for (const double through_mean : {0.0, 1.0}) {
        Noise source(3);
        Numbers output = generate({3, 7, 5, 6}, [&](int64_t i) {
          const bool variance = i % 6 >= 3;
          const double target = x0.values[static_cast<size_t>(i / 6 * 3 + i % 3)];
          return variance ? 2 * source.next() - 1 : target + distance * (2 * source.next() - 1);
        });
        Numbers coefficients{{3, 6}, {}};
        for (int n = 0; n < 3; n++)
          for (const double value : {2.5, 1.5, kind, -7.0, 0.25 * n, 1 - 0.25 * n})
            coefficients.values.push_back(value);
        const std::vector<double> attributes{1, 0.001, 4, through_mean};
        const std::string what = text("kind %g, distance %g", kind, distance);
        for (const Numbers& importance : {kAbsent, Numbers{{3}, {1, 3, 0.25}}}) {
          expect_as_on_cpu({"hybrid_loss_forward",
                            {one, samples, one, output, noise(shape, 5), x0, weight, coefficients, importance},
                            attributes},
                           what, 1e-6);
          expect_as_on_cpu(
              {"hybrid_loss_backward",
               {{{3, 7, 5, 6}}, {{1}, {1.5}}, output, noise(shape, 5), x0, weight, coefficients, importance},
               attributes},
              what, 1e-6);
        }
      }
}

TEST(cuda_token_losses_are_those_of_the_cpu) {
  // More kinds than a warp has lanes.
  for (const int64_t K : {int64_t{1}, int64_t{2}, int64_t{5}, int64_t{70}})
    for (const bool masks : {false, true}) {
      const int64_t N = 4, L = 6, S = K + (masks ? 1 : 0);
      const Numbers tokens = generate(
          {N, L}, [&](int64_t i) { return static_cast<double>(i * 7 % K); }, DType::i32);
      // Every third token is lost.
      const Numbers states = generate({N, L, S}, [&](int64_t i) {
        const int64_t m = i / S, state = m % 3 != 0 ? m * 7 % K : masks ? K : (m * 7 + 1) % K;
        return i % S == state ? 1.0 : 0.0;
      });
      const Numbers timestep{{N}, {0, 1, 3, 2}}, keep{{4}, {0.9, 0.6, 0.3, 0.01}}, one{{1}};
      // By any but the largest the exponential of the largest would be infinite.
      const Numbers far = generate({N, L, K}, [&](int64_t i) { return i % K == (i / K * 7 + 1) % K ? 800.0 : 0.0; });
      for (const auto& [logits, name] : {std::pair{noise({N, L, K}, 9), "noise"}, {far, "far apart"}}) {
        const std::string what = text("%lld kinds%s, %s", static_cast<long long>(K), masks ? " and a mask" : "", name);
        expect_as_on_cpu(
            {"token_denoising_loss_forward", {one, one, one, logits, tokens, states, timestep, keep}, {0.1}}, what,
            1e-6);
        expect_as_on_cpu(
            {"token_denoising_loss_backward", {{{N, L, K}}, {{1}, {2}}, logits, tokens, states, timestep, keep}, {0.1}},
            what, 1e-6);
      }
    }
}

TEST(cuda_classes_beyond_a_warp_are_counted_as_on_the_cpu) {
  const Numbers labels = integers({19}, [] {
    std::vector<double> values;
    for (int m = 0; m < 19; m++) values.push_back(m * 37 % 131);
    return values;
  }());
  // Of equal logits the first is the largest.
  const Numbers logits = generate({19, 131}, [](int64_t i) { return static_cast<double>(i * i % 23); });
  const Numbers one{{1}}, each{{19}};
  expect_as_on_cpu({"softmax_cross_entropy_forward", {one, each, each, logits, labels}, {}}, "ties", 1e-6);
  expect_as_on_cpu({"softmax_cross_entropy_backward", {{{19, 131}}, {{1}, {2}}, logits, labels}, {}}, "ties", 1e-6);
  // Where exponentials of all but the largest are nothing, and would be infinite by any other.
  const Numbers far = generate({19, 131}, [](int64_t i) { return i % 131 == i / 131 * 7 ? 2000.0 : -i % 50; });
  expect_as_on_cpu({"softmax_cross_entropy_forward", {one, each, each, far, labels}, {}}, "far apart", 1e-6);
  expect_as_on_cpu({"softmax_cross_entropy_backward", {{{19, 131}}, {{1}, {2}}, far, labels}, {}}, "far apart", 1e-6);
  // More samples than a warp looks through at once, more channels than a block sums.
  const Numbers index = generate(
      {75}, [](int64_t n) { return static_cast<double>(n * n % 5); }, DType::i32);
  expect_as_on_cpu({"embedding_backward", {{{6, 200}}, noise({75, 200}, 1), index}, {}}, "many samples", 0);
}

// Small integers, whose products and sums bf16 and tf32 hold, so that one number that a tap reads in a wrong place is
// seen: patches of every width and at every edge of tiles, and shapes that have none.
TEST(cuda_convolutions_of_integers_are_exact) {
  uint64_t seed = 0;
  const auto integers_of = [&](std::vector<int64_t> shape, DType dtype) {
    Noise source(++seed);
    return generate(
        std::move(shape), [&](int64_t) { return std::floor(3 * source.next()) - 1; }, dtype);
  };
  struct Shape {
    int64_t N, H, W, C, K, window, stride;
  };
  const auto test = [&](const Shape& shape, bool tf32) {
    const auto& [N, H, W, C, K, window, stride] = shape;
    const DType dtype = tf32 ? DType::f32 : DType::bf16;
    const double pad = window / 2;
    const int64_t OH = (H - 1) / stride + 1, OW = (W - 1) / stride + 1;
    const std::vector<double> attributes{static_cast<double>(stride), pad, pad, 0};
    const std::vector<int64_t> in{N, H, W, C}, out{N, OH, OW, K};
    const auto image = [&](const std::vector<int64_t>& shape) { return integers_of(shape, dtype); };
    const auto numbers = [&](std::vector<int64_t> shape) { return integers_of(std::move(shape), DType::f32); };
    const Numbers y{out, {}, dtype}, dx{in, {}, dtype}, moments{{N, (OH + 3) / 4, 3, K}}, no;
    const Numbers x = image(in), dy = image(out), weight = numbers({window, window, C, K});
    const std::string what = text("%lld x %lld pixels of %lld channels", static_cast<long long>(H),
                                  static_cast<long long>(W), static_cast<long long>(C)) +
                             (tf32 ? " as tf32" : "");
    const Numbers mean = numbers({N, 2}), rstd{{N, 2}, std::vector<double>(static_cast<size_t>(2 * N), 1)};
    for (const Numbers& taken : {no, moments}) {
      expect_as_on_cpu({"conv2d_forward", {y, taken, x, weight, no, no, no, no, no, no, no}, attributes, tf32}, what,
                       1e-5);
      expect_as_on_cpu({"conv2d_forward",
                        {y, taken, x, weight, no, mean, rstd, numbers({C}), numbers({C}), no, no},
                        attributes,
                        tf32},
                       what + ", normalised", 1e-5);
    }
    expect_as_on_cpu({"conv2d_data_gradient", {dx, no, dy, weight, no, no, no, no, no, no, no, no}, attributes, tf32},
                     what, 1e-5);
    expect_as_on_cpu({"conv2d_data_gradient",
                      {dx, no, dy, weight, image(out), numbers({N, 4, K}), no, no, no, no, no, no},
                      attributes,
                      tf32},
                     what + ", gradient of a normalisation", 1e-5);
    const Numbers dweight{weight.shape}, dbias{{K}};
    expect_as_on_cpu({"conv2d_weight_gradient", {dweight, dbias, x, dy, no, no, no, no, no, no}, attributes, tf32},
                     what, 1e-5);
    expect_as_on_cpu({"conv2d_weight_gradient",
                      {dweight, dbias, x, dy, mean, rstd, numbers({C}), numbers({C}), no, no},
                      attributes,
                      tf32},
                     what + ", normalised", 1e-5);
  };
  for (const Shape& shape :
       {Shape{2, 1, 1, 32, 32, 3, 1}, Shape{5, 2, 2, 64, 32, 3, 1}, Shape{9, 4, 4, 32, 130, 3, 1},
        Shape{3, 5, 9, 62, 96, 3, 1}, Shape{1, 9, 16, 128, 3, 3, 1}, Shape{2, 8, 32, 64, 32, 3, 1},
        Shape{1, 3, 64, 96, 64, 3, 1}, Shape{1, 2, 65, 32, 32, 3, 1}, Shape{1, 11, 31, 32, 48, 3, 1},
        Shape{2, 7, 7, 32, 64, 5, 1}, Shape{2, 5, 7, 32, 32, 1, 1}, Shape{2, 6, 7, 64, 32, 3, 2}})
    for (const bool tf32 : {false, true}) test(shape, tf32);
}

// Logits of which exponentials are infinite or nothing, but for differences from the largest. Where all are low a key
// that does not exist would have more weight than those that do: numbers of positions that end with each of those that
// a thread has of a tile.
TEST(cuda_attention_over_logits_far_apart) {
  const auto test = [](int64_t D, int64_t S, double offset, DType dtype, bool tf32) {
    const std::vector<int64_t> shape{1, S, D};
    // The products of even rows of q with k lie 80 below `offset`, but for one that lies as much above it, and those of
    // odd rows are small, so that gradients are not all 0; of numbers that tf32 holds, or they would be off.
    const auto tensor = [&](uint64_t seed, const std::function<double(int64_t, double)>& first) {
      Noise source(seed);
      return generate(
          shape,
          [&](int64_t i) {
            const double noise = std::floor(32 * source.next()) / 32 - 0.5;
            return i % D == 0 ? first(i / D, noise) : noise;
          },
          dtype);
    };
    const auto itself = [](int64_t, double noise) { return noise; };
    const Numbers q = tensor(1, [](int64_t row, double noise) { return row % 2 ? noise : 20 + noise; });
    const Numbers k = tensor(2, [&](int64_t row, double noise) { return offset / 20 + (row == 3 ? 4 : noise - 4); });
    const Numbers v = tensor(3, itself), dy = tensor(4, itself);
    const Numbers empty{shape, {}, dtype};
    const std::vector<double> attributes{1, 1};
    const std::string what = text("%lld positions of %lld channels, logits about %g", static_cast<long long>(S),
                                  static_cast<long long>(D), offset) +
                             (tf32                   ? ", tf32"
                              : dtype == DType::bf16 ? ", bf16"
                                                     : "");
    const KernelCall forward{"attention_forward", {empty, {{1, 1, S}}, q, k, v}, attributes, tf32};
    const double tolerance = dtype == DType::f32 && !tf32 ? 1e-3 : 1.0 / 16;
    expect_as_on_cpu(forward, what, tolerance);
    const std::vector<std::vector<float>> found = outputs_on_cpu(forward);
    const std::vector<double> y(found[0].begin(), found[0].end()), log_sum_exp(found[1].begin(), found[1].end());
    expect_as_on_cpu({"attention_backward",
                      {empty, empty, empty, dy, {shape, y, dtype}, {{1, 1, S}, log_sum_exp}, q, k, v},
                      attributes,
                      tf32},
                     what, tolerance);
  };
  for (const int64_t D : {40, 72, 136, 264})
    for (const auto& [dtype, tf32] : {std::pair{DType::f32, false}, {DType::f32, true}, {DType::bf16, false}}) {
      for (const double offset : {0.0, 150.0}) test(D, 21, offset, dtype, tf32);
      for (const int64_t S : {5, 20, 21, 28, 29, 36, 52, 53, 60, 61}) test(D, S, -200, dtype, tf32);
    }
}

TEST(cuda_embeddings_of_many_turns_are_those_of_the_cpu) {
  const Numbers t{{6}, {0, 1, 999, 123456.7, 1e9, 0.001}}, y{{6, 21}}, even{{6, 8}};
  for (const double flip : {0.0, 1.0})
    expect_as_on_cpu({"time_embedding_forward", {y, t}, {1, flip, 10000}}, "many turns", 1e-7);
  const Numbers positive{{6}, {1e-30, 1, 999, 123456.7, 1e9, 0.001}}, frequencies{{4}, {16, -300, 0.01, 1e6}};
  expect_as_on_cpu({"fourier_embedding_forward", {even, positive, frequencies}, {0}}, "many turns", 1e-7);
  expect_as_on_cpu({"fourier_embedding_forward", {even, Numbers{{6}, {0, -1, 1, 2, 3, 4}}, frequencies}, {1}},
                   "no logarithm", 1e-7);
}

TEST(cuda_thresholds_are_exact) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{2, 31, 3}, {1, 1700, 3}}) {
    const auto expect = [&](const Numbers& x, double quantile, double max, const char* what) {
      const Numbers zeros = generate(shape, [](int64_t) { return 0.0; });
      expect_as_on_cpu({"dynamic_threshold", {{shape}, x, zeros}, {1, 0, quantile, max}}, what, 0);
    };
    for (const double quantile : {0.0, 0.25, 0.5, 0.995, 1.0}) {
      expect(noise(shape, 1, -5, 5), quantile, kInfinity, "noise");
      expect(noise(shape, 1, -5, 5), quantile, 2, "noise, at most 2");
      expect(noise(shape, 1, -5, 5), quantile, 1, "noise, at most 1");
      expect(generate(shape, [](int64_t i) { return static_cast<double>(i % 3); }), quantile, kInfinity, "ties");
      expect(generate(shape, [](int64_t i) { return i % 40 == 7 ? NAN
                                                    : i % 2     ? 1e30
                                                                : -1e-30; }), quantile, kInfinity,
             "NaN");
    }
  }
}

TEST(cuda_sums_of_many_chunks_are_those_of_the_cpu) {
  const Numbers one{{1}}, two{{2}}, x = noise({2, 101, 100}, 1), y = noise({2, 101, 100}, 2);
  expect_as_on_cpu({"weighted_mse_forward", {one, two, x, y, {{2}, {1, 3}}}, {}}, "two chunks a sample", 1e-6);
  const Numbers short_samples = noise({2, 7, 6}, 1);
  expect_as_on_cpu(
      {"weighted_mse_backward", {{{2, 7, 6}}, {{1}, {2}}, short_samples, noise({2, 7, 6}, 2), {{2}, {1, 3}}}, {}},
      "two elements left over", 0);
  // More chunks than a warp, or the block that adds them up, has threads.
  const Numbers long_sample = noise({1, 290001}, 1);
  expect_as_on_cpu({"weighted_mse_forward", {one, one, long_sample, noise({1, 290001}, 2), {{1}, {1}}}, {}},
                   "36 chunks", 1e-6);
  expect_as_on_cpu(
      {"gaussian_latent_forward", {{{1, 263000, 1}}, one, noise({1, 263000, 2}, 4), noise({1, 263000, 1}, 5)}, {}},
      "514 chunks", 1e-6);
  expect_as_on_cpu({"gradient_norm", {one, noise({70003}, 3)}, {}}, "five chunks", 1e-6);
  expect_as_on_cpu(
      {"gaussian_latent_forward", {{{2, 30, 30}}, one, noise({2, 30, 60}, 4, -3, 25), noise({2, 30, 30}, 5)}, {}},
      "clamped variances", 1e-6);
  expect_as_on_cpu(
      {"gaussian_latent_backward",
       {{{2, 30, 60}}, noise({2, 30, 30}, 6), {{1}, {0.5}}, noise({2, 30, 60}, 4, -40, 25), noise({2, 30, 30}, 5)},
       {}},
      "clamped variances", 1e-6);
}

TEST(cuda_steps_are_clipped_as_on_the_cpu) {
  const Numbers flat = noise({37}, 1, 0.5, 1.5), tiny = noise({37}, 2, 1e-7, 2e-7), zeros = noise({37}, 3, 0, 0);
  const auto expect = [&](const Numbers& gradient, const Numbers& moments, double norm, double clip) {
    expect_as_on_cpu({"adamw_ema",
                      {flat, moments, moments, flat, gradient, {{1}, {norm}}},
                      {0.1, 0.9, 0.9, 1e-8, 0.5, 0.1, 0.1, clip, 0.9, 1}},
                     text("clipped to %g", clip), 1e-6);
  };
  // 0: not at all.
  for (const double clip : {0.0, 0.3, 5.0}) expect(flat, flat, 2, clip);
  // What keeps the divisor from 0 counts here.
  expect(tiny, zeros, 1e-6, 1.5e-6);
}

TEST(cuda_steps_are_skipped_where_the_gradient_is_not_finite) {
  const Numbers flat = noise({37}, 1, 0.5, 1.5);
  for (const double norm : {static_cast<double>(NAN), kInfinity})
    expect_as_on_cpu(
        {"adamw_ema", {flat, flat, flat, flat, flat, {{1}, {norm}}}, {1, 0.9, 0.9, 1e-8, 0.1, 0.1, 0.1, 1, 0.9, 1}},
        "no finite norm", 0);
}

}  // namespace diffuse::testing
