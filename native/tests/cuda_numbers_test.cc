// Kernels on numbers that kernel_cases.h has none of: random bits, losses of every kind, ties and NaN, and data that is
// refused. The CPU kernel says what is right.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

#include "cpu/dispatch.h"
#include "engine/error.h"
#include "engine/workers.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"
#include "tests/kernel_outputs.h"

namespace diffuse::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A tensor of given numbers; of none where the kernel writes them, or where it is absent and has no shape.
struct Numbers {
  std::vector<int64_t> shape;
  std::vector<double> values = {};
  DType dtype = DType::f32;
};
Numbers absent() { return {}; }
Numbers integers(std::vector<int64_t> shape, std::vector<double> values) { return {shape, values, DType::i32}; }

// As many numbers as a shape has, by their index.
Numbers generate(std::vector<int64_t> shape, const std::function<double(int64_t)>& number, DType dtype = DType::f32) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  Numbers result{shape, {}, dtype};
  for (int64_t i = 0; i < count; i++) result.values.push_back(number(i));
  return result;
}
Numbers noise(std::vector<int64_t> shape, uint64_t seed, double low = -2, double high = 2) {
  Noise source(seed);
  return generate(shape, [&](int64_t) { return low + (high - low) * source.next(); });
}

struct KernelCall {
  std::string kernel;
  std::vector<Numbers> tensors;
  std::vector<double> attributes;
};

// What a call wrote, tensor by tensor, or why it failed.
struct Result {
  std::vector<std::vector<float>> outputs;
  std::string error;
};

// The tensors of a call in the CPU's memory.
class HostCall {
 public:
  explicit HostCall(const KernelCall& c) {
    for (const Numbers& numbers : c.tensors) {
      Tensor tensor;
      tensor.dtype = numbers.dtype;
      tensor.rank = static_cast<int>(numbers.shape.size());
      for (int i = 0; i < tensor.rank; i++) tensor.shape[i] = numbers.shape[static_cast<size_t>(i)];
      tensor.row_stride = channels(tensor);
      const size_t count = tensor.rank ? static_cast<size_t>(elements(tensor)) : 0;
      std::vector<std::byte> bytes(count * size_of(numbers.dtype), std::byte{0xff});
      for (size_t i = 0; i < numbers.values.size(); i++) put(bytes, numbers.dtype, i, numbers.values[i]);
      memory.push_back(std::move(bytes));
      tensors.push_back(tensor);
    }
    for (size_t i = 0; i < tensors.size(); i++) tensors[i].data = tensors[i].rank ? memory[i].data() : nullptr;
  }

  static size_t size_of(DType dtype) { return dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4; }

  std::vector<std::vector<float>> outputs(const KernelCall& c) const {
    const Signature& signature = signatures()[static_cast<size_t>(index_of(c.kernel))];
    std::vector<std::vector<float>> result;
    for (size_t i = 0; i < tensors.size(); i++) {
      if (!signature.tensors[i].output || memory[i].empty()) continue;
      result.emplace_back();
      const size_t size = size_of(tensors[i].dtype);
      for (size_t at = 0; at < memory[i].size(); at += size) {
        float value = 0;  // a bf16 is the upper half of a float32
        std::memcpy(reinterpret_cast<std::byte*>(&value) + sizeof value - size, memory[i].data() + at, size);
        result.back().push_back(value);
      }
    }
    return result;
  }

  std::vector<Tensor> tensors;
  std::vector<std::vector<std::byte>> memory;

 private:
  static void put(std::vector<std::byte>& bytes, DType dtype, size_t index, double value) {
    const auto set = [&](auto number) { std::memcpy(bytes.data() + index * sizeof number, &number, sizeof number); };
    if (dtype == DType::u8) return set(static_cast<uint8_t>(value));
    if (dtype == DType::i32) return set(static_cast<int32_t>(value));
    if (dtype == DType::bf16) return set(nearest(static_cast<float>(value)));
    set(static_cast<float>(value));
  }
};

Result run_on_cpu(const KernelCall& c, const char* isa = "portable") {
  static Workers workers(1);
  HostCall host(c);
  const Kernel& kernel = cpu_kernels(isa)[index_of(c.kernel)];
  Call call{host.tensors.data(), c.attributes.data(), nullptr, &workers};
  const Bytes scratch = allocate(kernel.prepare(call));
  call.scratch = scratch.get();
  try {
    kernel.run(call);
  } catch (const Error& error) {
    return {{}, error.code + ": " + error.message};
  }
  return {host.outputs(c), ""};
}

Result run_on_gpu(const KernelCall& c) {
  const auto device = shared_gpu(0);
  HostCall host(c);
  std::vector<std::unique_ptr<Memory>> placed;
  std::vector<Tensor> tensors = host.tensors;
  for (size_t i = 0; i < tensors.size(); i++) {
    placed.push_back(tensors[i].data ? std::make_unique<Memory>(device, host.memory[i].size()) : nullptr);
    if (!placed[i]) continue;
    device->upload(placed[i]->data(), host.memory[i].data(), host.memory[i].size());
    tensors[i].data = placed[i]->data();
  }
  Call call{tensors.data(), c.attributes.data(), nullptr, nullptr};
  const int kernel = index_of(c.kernel);
  std::optional<Memory> scratch;
  if (const size_t bytes = device->prepare(kernel, call)) {
    scratch.emplace(device, bytes);
    call.scratch = scratch->data();
  }
  try {
    device->launch(kernel, call, nullptr);
    device->synchronise();
  } catch (const Error& error) {
    return {{}, error.code + ": " + error.message};
  }
  for (size_t i = 0; i < tensors.size(); i++)
    if (placed[i]) device->download(host.memory[i].data(), placed[i]->data(), host.memory[i].size());
  return {host.outputs(c), ""};
}

// Where `tolerance` is 0 the bits must be equal; else differences are of the largest number.
void expect_as_on_cpu(const KernelCall& c, const std::string& what, double tolerance) {
  const Result expected = run_on_cpu(c), actual = run_on_gpu(c);
  const std::string name = c.kernel + ", " + what;
  check(expected.error.empty() && actual.error.empty(), name + ": " + expected.error + actual.error);
  for (size_t t = 0; t < expected.outputs.size(); t++) {
    const std::vector<float>&right = expected.outputs[t], &found = actual.outputs[t];
    double largest = 0;
    for (const float value : right)
      if (std::isfinite(value)) largest = std::fmax(largest, std::fabs(value));
    for (size_t i = 0; i < right.size(); i++) {
      const bool same = std::memcmp(&right[i], &found[i], sizeof right[i]) == 0 ||
                        (std::isnan(right[i]) && std::isnan(found[i])) ||
                        std::fabs(static_cast<double>(right[i]) - found[i]) <= tolerance * largest;
      check(same, name + text(": output %zu[%zu] is %.9g, not %.9g", t, i, static_cast<double>(found[i]),
                              static_cast<double>(right[i])));
    }
  }
}

void expect_refused_as_on_cpu(const KernelCall& c) {
  const Result expected = run_on_cpu(c), actual = run_on_gpu(c);
  check(!expected.error.empty(), c.kernel + ": the CPU refuses nothing");
  check(actual.error == expected.error, c.kernel + ": says '" + actual.error + "', not '" + expected.error + "'");
}

}  // namespace

TEST(cuda_noise_has_the_bits_of_the_cpu) {
  const std::vector<int64_t> shape{3, 13, 11, 3};
  const Numbers y{shape}, x = noise(shape, 1);
  for (const double seed : {0.0, 4294967295.0}) {
    const std::vector<double> stream{seed, 4294967295 - seed, 123456789, 4294967294};
    const auto with = [&](std::vector<double> before, std::vector<double> after) {
      before.insert(before.end(), stream.begin(), stream.end());
      before.insert(before.end(), after.begin(), after.end());
      return before;
    };
    expect_as_on_cpu({"random_normal", {y}, with({}, {7})}, "any", 0);
    expect_as_on_cpu({"random_uniform", {y}, with({}, {7, -3, 0.1})}, "any", 0);
    expect_as_on_cpu({"dropout", {y, x}, {0.3, seed, 1, 2, 16777215, 9}}, "float32", 0);
    const Numbers half{shape, x.values, DType::bf16};
    expect_as_on_cpu({"dropout", {{shape, {}, DType::bf16}, half}, {0.5, seed, 1, 2, 3, 9}}, "bf16", 0);
    const Numbers table = noise({11, 8}, 2), each{{3}};
    const Numbers bytes = generate(
        shape, [](int64_t i) { return static_cast<double>(i * 37 % 256); }, DType::u8);
    for (const auto& [images, name] : {std::pair{bytes, "bytes"}, {x, "numbers"}})
      for (const double flip : {0.0, 1.0})
        for (const double offset : {0.0, 0.1})
          for (const Numbers& level : {absent(), Numbers{{3}, {10, 0, 4}}})
            expect_as_on_cpu({"noising", {y, y, each, each, {{3, 2}}, images, table, level}, with({}, {flip, offset})},
                             name, 0);
    expect_as_on_cpu({"self_conditioning", {y, x, noise(shape, 3), noise({3, 2}, 4)}, with({1}, {})}, "any", 0);
    const Numbers no = absent(), states{{3, 40, 5}},
                  tokens = generate(
                      {3, 40}, [](int64_t i) { return static_cast<double>(i % 5); }, DType::i32);
    for (const double mask : {-1.0, 4.0})
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

TEST(cuda_hybrid_losses_of_every_kind_are_those_of_the_cpu) {
  const std::vector<int64_t> shape{3, 7, 5, 3};
  const Numbers one{{1}}, samples{{3}}, weight{{3}, {0.5, 1, 2}};
  // Bytes as numbers, both ends among them; predictions near and far.
  const Numbers x0 = generate(shape, [](int64_t i) { return static_cast<double>(i * 51 % 256) / 127.5 - 1; });
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
          for (const double value : {2.5, 1.5, kind, -7.0, 0.0, 1.0}) coefficients.values.push_back(value);
        const std::vector<double> attributes{1, 0.001, 4, through_mean};
        const std::string what = text("kind %g, distance %g", kind, distance);
        for (const Numbers& importance : {absent(), Numbers{{3}, {1, 3, 0.25}}}) {
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
  for (const int64_t K : {int64_t{2}, int64_t{5}, int64_t{70}})
    for (const bool masks : {false, true}) {
      const int64_t N = 4, L = 6, S = K + (masks ? 1 : 0);
      const Numbers tokens = generate(
          {N, L}, [&](int64_t i) { return static_cast<double>(i * 7 % K); }, DType::i32);
      // Every third token is lost.
      const Numbers states = generate({N, L, S}, [&](int64_t i) {
        const int64_t m = i / S, state = m % 3 != 0 ? m * 7 % K : masks ? K : (m * 7 + 1) % K;
        return i % S == state ? 1.0 : 0.0;
      });
      const Numbers logits = noise({N, L, K}, 9), timestep{{N}, {0, 1, 3, 2}}, keep{{4}, {0.9, 0.6, 0.3, 0.01}},
                    one{{1}};
      const std::string what = text("%lld kinds%s", static_cast<long long>(K), masks ? " and a mask" : "");
      expect_as_on_cpu({"token_denoising_loss_forward", {one, one, one, logits, tokens, states, timestep, keep}, {0.1}},
                       what, 1e-6);
      expect_as_on_cpu(
          {"token_denoising_loss_backward", {{{N, L, K}}, {{1}, {2}}, logits, tokens, states, timestep, keep}, {0.1}},
          what, 1e-6);
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
  // More samples than a warp looks through at once, more channels than a block sums.
  const Numbers index = generate(
      {75}, [](int64_t n) { return static_cast<double>(n * n % 5); }, DType::i32);
  expect_as_on_cpu({"embedding_backward", {{{6, 200}}, noise({75, 200}, 1), index}, {}}, "many samples", 0);
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
  const std::vector<int64_t> shape{2, 31, 3};
  const auto expect = [&](const Numbers& x, double quantile, double max, const char* what) {
    const Numbers zeros = generate(shape, [](int64_t) { return 0.0; });
    expect_as_on_cpu({"dynamic_threshold", {{shape}, x, zeros}, {1, 0, quantile, max}}, what, 0);
  };
  for (const double quantile : {0.0, 0.25, 0.5, 0.995, 1.0}) {
    expect(noise(shape, 1, -5, 5), quantile, kInfinity, "noise");
    expect(noise(shape, 1, -5, 5), quantile, 2, "noise, at most 2");
    expect(generate(shape, [](int64_t i) { return static_cast<double>(i % 3); }), quantile, kInfinity, "ties");
    expect(generate(shape, [](int64_t i) { return i % 40 == 7 ? NAN
                                                  : i % 2     ? 1e30
                                                              : -1e-30; }), quantile, kInfinity,
           "NaN");
  }
}

TEST(cuda_sums_of_many_chunks_are_those_of_the_cpu) {
  const Numbers one{{1}}, two{{2}}, x = noise({2, 101, 100}, 1), y = noise({2, 101, 100}, 2);
  expect_as_on_cpu({"weighted_mse_forward", {one, two, x, y, {{2}, {1, 3}}}, {}}, "two chunks a sample", 1e-6);
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

TEST(cuda_steps_are_skipped_where_the_gradient_is_not_finite) {
  const Numbers flat = noise({37}, 1, 0.5, 1.5);
  for (const double norm : {static_cast<double>(NAN), kInfinity})
    expect_as_on_cpu(
        {"adamw_ema", {flat, flat, flat, flat, flat, {{1}, {norm}}}, {1, 0.9, 0.9, 1e-8, 0.1, 0.1, 0.1, 1, 0.9, 1}},
        "no finite norm", 0);
}

TEST(cuda_refuses_data_in_the_words_of_the_cpu) {
  const Numbers one{{1}}, x = noise({3, 4}, 1), y{{3, 4}}, three{{3}}, given{{1}, {1}};
  const Numbers wrong = integers({3}, {1, 7, -2}), table{{5, 4}, noise({5, 4}, 2).values};
  expect_refused_as_on_cpu({"embedding_forward", {y, table, wrong}, {}});
  expect_refused_as_on_cpu({"embedding_backward", {{{5, 4}}, x, wrong}, {}});
  expect_refused_as_on_cpu({"softmax_cross_entropy_forward", {one, three, three, x, wrong}, {}});
  expect_refused_as_on_cpu({"softmax_cross_entropy_backward", {y, given, x, wrong}, {}});
  for (const double level : {5.0, -1.0, 1.5, static_cast<double>(NAN)})
    expect_refused_as_on_cpu(
        {"noising", {y, y, three, three, absent(), x, noise({5, 6}, 3), {{3}, {0, level, 9}}}, {1, 2, 3, 4, 0, 0}});
  expect_refused_as_on_cpu(
      {"noising", {y, y, three, three, absent(), x, noise({5, 6}, 3), absent()}, {1, 2, 3, 4, 1, 0}});

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
    expect_refused_as_on_cpu({"random_normal", {y}, {1, word, 3, 4, 5}});
    expect_refused_as_on_cpu({"dropout", {y, x}, {0.5, 1, 2, 3, word, 5}});
  }
  expect_refused_as_on_cpu({"dropout", {y, x}, {0.5, 1, 2, 3, 16777216, 5}});
  for (const double probability : {-0.1, 1.0, static_cast<double>(NAN)})
    expect_refused_as_on_cpu({"dropout", {y, x}, {probability, 1, 2, 3, 4, 5}});
  expect_refused_as_on_cpu({"self_conditioning", {y, x, x, noise({3, 2}, 5)}, {0, 1, 2, 3, 4}});
  const Numbers no = absent();
  expect_refused_as_on_cpu(
      {"sampler_update", {y, y, no, no, x, x, no, no, no, no}, {1, 1, -1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4}});
  expect_refused_as_on_cpu({"dynamic_threshold", {y, x, x}, {1, 1, 1.5, 1}});
  expect_refused_as_on_cpu({"dynamic_threshold", {y, x, x}, {1, 1, 0.5, 0.5}});
  expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 4}}, {{3}, {1, 2, 3}}}, {0, 0, 0}});
  expect_refused_as_on_cpu({"time_embedding_forward", {{{3, 4}}, {{3}, {1, 2, 3}}}, {2, 0, 10000}});
  const Numbers flat = noise({5}, 6, 0.5, 1.5);
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, no, flat, given}, {1, 1, 1, 1, 1, 0, 1, 1, 1, 1}});
  expect_refused_as_on_cpu({"adamw_ema", {flat, flat, flat, no, flat, given}, {1, 1, 1, 1, 1, 1, 1, -1, 1, 1}});
}

}  // namespace diffuse::testing
