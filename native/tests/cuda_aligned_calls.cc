#include "tests/cuda_aligned_calls.h"

#include <initializer_list>

namespace diffuse::testing {
namespace {

const Numbers kNone;
constexpr int64_t kSamples = 2, kSide = 8, kChannels = 64, kGroups = 8, kChunk = 32;
const std::vector<double> kSeeds{1, 2, 3, 4};  // seedLow, seedHigh, step, sampleOffset

std::vector<double> followed_by(std::vector<double> numbers, std::initializer_list<double> more) {
  numbers.insert(numbers.end(), more);
  return numbers;
}

void add_attention(std::vector<KernelCall>& calls, DType dtype, int64_t D, bool tf32 = false) {
  const int64_t S = 128;
  const std::vector<int64_t> shape{1, S, D};
  const auto tensor = [&](uint64_t seed) { return image(shape, seed, dtype); };
  const Numbers y = empty_image(shape, dtype);
  calls.push_back({"attention_forward", {y, {{1, 1, S}}, tensor(1), tensor(2), tensor(3)}, {1, 0.125}, tf32});
  calls.push_back({"attention_backward",
                   {y, y, y, tensor(4), tensor(5), noise({1, 1, S}, 6, 4, 5), tensor(1), tensor(2), tensor(3)},
                   {1, 0.125},
                   tf32});
}

void add_normalisation(std::vector<KernelCall>& calls, DType dtype) {
  const std::vector<int64_t> shape{kSamples, kSide, kSide, kChannels};
  const Numbers y = empty_image(shape, dtype), x = image(shape, 1, dtype), dy = image(shape, 2, dtype);
  const Numbers mean = noise({kSamples, kGroups}, 3), rstd = noise({kSamples, kGroups}, 4, 0.5, 1),
                c = noise({kChannels}, 5), coefficients = noise({kSamples, 4, kChannels}, 7);
  calls.push_back({"channel_moments", {{{kSamples, 2, 3, kChannels}}, x}, {kChunk}});
  for (const double silu : {0.0, 1.0}) {
    calls.push_back({"normalise_forward", {y, x, mean, rstd, c, c}, {silu}});
    calls.push_back(
        {"normalise_backward", {y, {{kSamples, 2, 2, kChannels}}, dy, x, mean, rstd, c, c}, {silu, kChunk}});
  }
  calls.push_back({"normalise_gradient", {y, dy, x, coefficients, kNone}, {}});
  calls.push_back({"normalise_gradient", {y, dy, x, coefficients, dy}, {}});
}

void add_statistics(std::vector<KernelCall>& calls) {
  constexpr double kPixels = kSide * kSide;
  const Numbers moments = noise({kSamples, 2, 3, kChannels}, 1, 0.5, 1), sums = noise({kSamples, 2, 2, kChannels}, 2),
                mean = noise({kSamples, kGroups}, 3), rstd = noise({kSamples, kGroups}, 4, 0.5, 1),
                gamma = noise({kChannels}, 5);
  calls.push_back({"group_norm_statistics",
                   {{{kSamples, kGroups}}, {{kSamples, kGroups}}, moments},
                   {1e-5, kPixels, static_cast<double>(kChunk)}});
  calls.push_back({"group_norm_gradient",
                   {{{kSamples, 4, kChannels}},
                    {{kChannels}},
                    {{kChannels}},
                    {{kSamples, kChannels}},
                    sums,
                    mean,
                    rstd,
                    gamma,
                    moments},
                   {kPixels, static_cast<double>(kChunk)}});
}

void add_elementwise(std::vector<KernelCall>& calls, DType dtype) {
  const std::vector<int64_t> shape{kSamples, kSide, kSide, kChannels}, large{kSamples, 2 * kSide, 2 * kSide, kChannels};
  const Numbers y = empty_image(shape, dtype), x = image(shape, 1, dtype), dy = image(shape, 2, dtype);
  const Numbers of_channels = noise({kSamples, kChannels}, 3), scale_shift = noise({kSamples, 2 * kChannels}, 4);
  const DType other = dtype == DType::f32 ? DType::bf16 : DType::f32;
  calls.push_back({"silu_forward", {y, x}, {}});
  calls.push_back({"silu_backward", {y, dy, x}, {}});
  calls.push_back({"copy", {y, x}, {}});
  calls.push_back({"cast", {empty_image(shape, other), x}, {}});
  calls.push_back({"fill", {y}, {1.5}});
  calls.push_back({"scale", {y, x}, {-2}});
  calls.push_back({"add", {y, x, dy}, {1, 2}});
  calls.push_back({"add_channels", {y, x, of_channels}, {}});
  calls.push_back({"multiply", {y, x, dy}, {}});
  calls.push_back({"sum_pixels", {{{kSamples, kChannels}}, x}, {}});
  calls.push_back({"scale_shift_forward", {y, x, scale_shift}, {}});
  calls.push_back({"scale_shift_backward", {y, {{kSamples, 2 * kChannels}}, dy, x, scale_shift}, {}});
  calls.push_back({"upsample_nearest_forward", {empty_image(large, dtype), x}, {}});
  calls.push_back({"upsample_nearest_backward", {y, image(large, 5, dtype)}, {}});
  calls.push_back({"dropout", {y, x}, {0.3, 1, 2, 3, 4, 5}});
}

void add_vectors(std::vector<KernelCall>& calls) {
  const std::vector<int64_t> shape{kSamples, kSide, kSide, kChannels};
  const Numbers x = noise(shape, 1), y{shape}, of_samples = noise({kSamples}, 2, 0.5, 1.5), samples{{kSamples}},
                number{{1}};
  calls.push_back({"multiply_samples", {y, x, of_samples}, {}});
  calls.push_back({"divide_samples", {y, x, of_samples}, {}});
  calls.push_back({"sum_samples", {samples, x}, {}});
  calls.push_back({"sum", {number, x}, {}});
  calls.push_back({"weighted_mse_forward", {number, samples, x, noise(shape, 3), of_samples}, {}});
  calls.push_back({"weighted_mse_backward", {y, noise({1}, 4), x, noise(shape, 3), of_samples}, {}});
  calls.push_back({"time_embedding_forward", {{{kSamples, 128}}, of_samples}, {0, 1, 1e4}});
  calls.push_back({"fourier_embedding_forward", {{{kSamples, 128}}, of_samples, noise({64}, 5)}, {0}});
  const Numbers table = noise({4, 128}, 6), index = integers({8}, {0, 3, 1, 2, 2, 3, 0, 1});
  calls.push_back({"embedding_forward", {{{8, 128}}, table, index}, {}});
  calls.push_back({"embedding_backward", {{{4, 128}}, noise({8, 128}, 7), index}, {}});
  const Numbers logits = noise({8, 32}, 8), rows{{8}};
  calls.push_back({"softmax_cross_entropy_forward", {number, rows, rows, logits, index}, {}});
  calls.push_back({"softmax_cross_entropy_backward", {{{8, 32}}, noise({1}, 4), logits, index}, {}});
  // Small products, and some that are not.
  for (const int64_t C : {64, 576}) {
    calls.push_back({"matmul", {{{C, C}}, noise({C, 64}, 9), noise({64, C}, 10)}, {0, 0}});
    calls.push_back({"matmul", {{{C, C}}, noise({64, C}, 9), noise({C, 64}, 10)}, {1, 1}});
  }
  const Numbers x64 = noise({64, 64}, 11), y64{{64, 64}};
  calls.push_back({"linear_forward", {y64, x64, noise({64, 64}, 12), noise({64}, 13), x64}, {}});
  calls.push_back({"linear_weight_gradient", {y64, {{64}}, x64, noise({64, 64}, 12)}, {}});
}

// What diffusion draws and asks of latents [N, 8, 8, 4], which may be encoded images.
void add_latents(std::vector<KernelCall>& calls) {
  const std::vector<int64_t> shape{kSamples, kSide, kSide, 4}, doubled{kSamples, kSide, kSide, 8};
  const Numbers x = noise(shape, 1), other = noise(shape, 2), wide = noise(doubled, 3), y{shape}, samples{{kSamples}},
                of_samples = noise({kSamples}, 4, 0.5, 1.5), number{{1}}, dloss = noise({1}, 5);
  calls.push_back({"random_normal", {y}, {1, 2, 3, 4, 5}});
  calls.push_back({"random_uniform", {y}, {1, 2, 3, 4, 5, -1, 1}});
  const Numbers bytes = generate(
                    shape, [](int64_t i) { return i % 256; }, DType::u8),
                table = noise({16, 6}, 6);
  for (const Numbers& images : {x, bytes})
    calls.push_back({"noising",
                     {y, y, samples, samples, kNone, images, table, kNone},
                     followed_by(kSeeds, {0, 0.1})});  // flip, offsetNoise
  calls.push_back({"dynamic_threshold", {y, x, other}, {2, -0.5, 0.9, 2}});
  calls.push_back({"self_conditioning", {y, x, other, noise({kSamples, 2}, 7)}, {1, 1, 2, 3, 4}});
  calls.push_back({"sampler_update",
                   {y, y, y, y, x, other, x, other, kNone, kNone},
                   {1.1, -0.4, 1, 0.3, 0.7, -0.2, 0.5, 0.25, 0.7, 1.5, -0.5, -4, -2, 1, 2, 3, 4}});
  calls.push_back({"gaussian_latent_forward", {y, number, wide, x}, {}});
  calls.push_back({"gaussian_latent_backward", {{doubled}, x, dloss, wide, other}, {}});
  const std::vector<double> weights{1, 0.001, 1.4, 1};
  const Numbers coefficients = generate({kSamples, 6}, [](int64_t i) { return i % 6 == 2 ? 0 : 0.5; });
  calls.push_back(
      {"hybrid_loss_forward", {number, samples, number, wide, x, other, of_samples, coefficients, kNone}, weights});
  calls.push_back(
      {"hybrid_loss_backward", {{doubled}, dloss, wide, x, other, of_samples, coefficients, kNone}, weights});
}

void add_tokens(std::vector<KernelCall>& calls) {
  const int64_t L = 64, K = 32;
  const auto zero = [](int64_t) { return 0.0; };
  const Numbers tokens = generate({kSamples, L}, zero, DType::i32), keep = noise({4}, 1, 0.4, 0.6), number{{1}},
                // Every token is in its own state.
      xt = generate({kSamples, L, K}, [&](int64_t i) { return i % K == 0 ? 1.0 : 0.0; }),
                logits = noise({kSamples, L, K}, 2), timestep = generate({kSamples}, zero);
  calls.push_back({"token_noising", {{{kSamples, L, K}}, {{kSamples}}, tokens, keep}, {-1, 1, 2, 3, 4}});
  calls.push_back(
      {"token_denoising_loss_forward", {number, number, number, logits, tokens, xt, timestep, keep}, {0.5}});
  calls.push_back({"token_denoising_loss_backward",
                   {{{kSamples, L, K}}, noise({1}, 3), logits, tokens, xt, timestep, keep},
                   {0.5}});
}

void add_optimizer(std::vector<KernelCall>& calls) {
  const int64_t P = 4096;
  const Numbers parameter = noise({P}, 1), positive = noise({P}, 2, 0.5, 1);
  calls.push_back({"gradient_norm", {{{1}}, parameter}, {}});
  calls.push_back({"adamw_ema",
                   {parameter, parameter, positive, parameter, parameter, noise({1}, 6, 1, 2)},
                   {0.1, 0.9, 0.99, 1e-8, 0.01, 0.5, 0.5, 1, 0.99, 1}});
}

}  // namespace

Numbers image(std::vector<int64_t> shape, uint64_t seed, DType dtype) {
  Numbers result = noise(std::move(shape), seed);
  result.dtype = dtype;
  return result;
}

Numbers empty_image(std::vector<int64_t> shape, DType dtype) { return {std::move(shape), {}, dtype}; }

std::vector<KernelCall> aligned_calls() {
  std::vector<KernelCall> calls;
  // Larger heads are for the vector units in either format.
  for (const int64_t D : {64, 128, 256, 320}) add_attention(calls, DType::bf16, D);
  for (const int64_t D : {64, 128})
    for (const bool tf32 : {false, true}) add_attention(calls, DType::f32, D, tf32);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    add_normalisation(calls, dtype);
    add_elementwise(calls, dtype);
  }
  add_statistics(calls);
  add_vectors(calls);
  add_latents(calls);
  add_tokens(calls);
  add_optimizer(calls);
  return calls;
}

}  // namespace diffuse::testing
