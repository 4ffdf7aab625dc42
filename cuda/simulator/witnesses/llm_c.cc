// Kernels of llm.c, dev/cuda/*.cu, launched as the launchers in their files do.
#include <cmath>

#include "witnesses/references.h"

namespace simulator::witnesses {
namespace {

// --- Softmax of rows ---

constexpr int kRows = 5, kColumns = 203;

// Some scores stand out, as in the program's own test.
Values scores(int columns) {
  Values x = random_values(kRows * columns, 1, 4);
  for (size_t i = 0; i < x.size(); i += 37) x[i] *= 4;
  return x;
}

void check_softmax(const char* kernel, unsigned blocks, unsigned threads, size_t shared_bytes, int columns = kColumns) {
  const Values x = scores(columns);
  const Array in(Format::f32, x), out(Format::f32, x.size());
  launch({kernel, ""}, {blocks}, {threads}, shared_bytes, {out, in, kRows, columns});
  expect_near(out.values(), softmax(x, columns), 2e-6);
}

WITNESS(llm_c_softmax_forward, softmax_forward_kernel1) { check_softmax("softmax_forward_kernel1", 1, 32, 0); }
WITNESS(llm_c_softmax_forward, softmax_forward_kernel2) {
  check_softmax("softmax_forward_kernel2", kRows, 64, 64 * sizeof(float));
}
WITNESS(llm_c_softmax_forward, softmax_forward_kernel3) { check_softmax("softmax_forward_kernel3", kRows, 32, 0); }
// The largest value is read from shared memory while the first warps already put their sums there.
WITNESS(llm_c_softmax_forward, softmax_forward_kernel4, "softmax_forward.cu", {{268, 288}}, false) {
  check_softmax("softmax_forward_kernel4", kRows, 128, 4 * sizeof(float));
}
WITNESS(llm_c_softmax_forward, softmax_forward_online_kernel1) {
  check_softmax("softmax_forward_online_kernel1", 1, 32, 0);
}
WITNESS(llm_c_softmax_forward, softmax_forward_online_kernel2) {
  check_softmax("softmax_forward_online_kernel2", ceil_div(kRows * 32, 64), 64, 0);
}
WITNESS(llm_c_softmax_forward, softmax_forward_kernel7) {
  check_softmax("softmax_forward_kernel7", kRows, 128, 2 * 4 * sizeof(float), 1024);
}
// Threads beyond the end of a row read its last element, and do not use it, while another thread divides it.
WITNESS(llm_c_softmax_forward, softmax_forward_kernel7_with_a_tail, "softmax_forward.cu", {{495, 500}}, true) {
  check_softmax("softmax_forward_kernel7", kRows, 128, 2 * 4 * sizeof(float));
}
WITNESS(llm_c_softmax_forward, softmax_forward_online_kernel8) {
  check_softmax("softmax_forward_online_kernel8", ceil_div(kRows * 32, 128), 128, 0);
}

// --- Layer normalisation ---

constexpr int kTokens = 12, kChannels = 136, kEvenChannels = 128, kBatch = 3, kLength = 4;

void check_layer_norm(const std::function<void(const Array& out, const Array& mean, const Array& deviation,
                                               const Array& in, const Array& weight, const Array& bias)>& launch_it,
                      int channels = kChannels) {
  const Values x = random_values(kTokens * channels, 1, 2), weight = random_values(channels, 2),
               bias = random_values(channels, 3);
  const Array in(Format::f32, x), w(Format::f32, weight), b(Format::f32, bias);
  const Array out(Format::f32, x.size()), mean(Format::f32, kTokens), deviation(Format::f32, kTokens);
  launch_it(out, mean, deviation, in, w, b);
  const LayerNorm wanted = layer_norm(x, weight, bias, channels);
  expect_near(out.values(), wanted.y, 1e-6);
  expect_near(mean.values(), wanted.mean, 2e-6);
  expect_near(deviation.values(), wanted.inverse_deviation, 1e-6);
}

void check_layer_norm(const char* kernel, Extent grid, Extent block, size_t shared_bytes = 0,
                      int channels = kChannels) {
  check_layer_norm(
      [&](const Array& out, const Array& mean, const Array& deviation, const Array& in, const Array& weight,
          const Array& bias) {
        launch({kernel, ""}, grid, block, shared_bytes, {out, mean, deviation, in, weight, bias, kTokens, channels});
      },
      channels);
}

WITNESS(llm_c_layernorm_forward, layernorm_forward_kernel1) {
  check_layer_norm("layernorm_forward_kernel1", {1}, {32});
}
// The last of the three has no bound: all elements have to fill its blocks.
void launch_three(const Array& out, const Array& mean, const Array& deviation, const Array& in, const Array& weight,
                  const Array& bias) {
  constexpr int kThreads = 64;
  launch({"mean_kernel", ""}, {kTokens}, {kThreads}, kThreads * sizeof(float),
         {mean, in, kTokens, kEvenChannels, kThreads});
  launch({"rstd_kernel", ""}, {kTokens}, {kThreads}, kThreads * sizeof(float),
         {deviation, in, mean, kTokens, kEvenChannels, kThreads});
  launch({"normalization_kernel", ""}, {kTokens * kEvenChannels / 256}, {256}, 0,
         {out, in, mean, deviation, weight, bias, kBatch, kLength, kEvenChannels});
}
WITNESS(llm_c_layernorm_forward, mean_rstd_and_normalization_kernel) { check_layer_norm(launch_three, kEvenChannels); }
WITNESS(llm_c_layernorm_forward, layernorm_forward_kernel3) {
  check_layer_norm("layernorm_forward_kernel3", {ceil_div(kTokens * 32, 64)}, {64});
}
WITNESS(llm_c_layernorm_forward, layernorm_forward_kernel4) {
  check_layer_norm("layernorm_forward_kernel4", {ceil_div(kTokens * 32, 64)}, {64});
}
// All threads of a warp write its sum to one place.
WITNESS(llm_c_layernorm_forward, layernorm_forward_kernel5, "layernorm_forward.cu", {{308, 308}}, true) {
  check_layer_norm("layernorm_forward_kernel5", {kTokens}, {96});
}
WITNESS(llm_c_layernorm_forward, layernorm_forward_kernel6) {
  check_layer_norm("layernorm_forward_kernel6", {ceil_div(kTokens, 4)}, {32, 4}, (2 + 4) * 256 * sizeof(float), 256);
}

// In float32 and by atomic additions.
WITNESS(llm_c_layernorm_backward, layernorm_backward_kernel1) {
  const Values x = random_values(kTokens * kChannels, 1, 2), dy = random_values(x.size(), 2),
               weight = random_values(kChannels, 3);
  const LayerNorm forward = layer_norm(x, weight, Values(kChannels), kChannels);
  const Array in(Format::f32, x), d(Format::f32, dy), w(Format::f32, weight), mean(Format::f32, forward.mean),
      deviation(Format::f32, forward.inverse_deviation);
  const Array dx(Format::f32, Values(x.size())), dw(Format::f32, Values(kChannels)), db(Format::f32, Values(kChannels));
  launch({"layernorm_backward_kernel1", ""}, {1}, {32}, 0,
         {dx, dw, db, d, in, w, mean, deviation, kBatch, kLength, kChannels});
  const LayerNormGradient wanted = layer_norm_gradient(dy, x, weight, kChannels);
  expect_near(dx.values(), wanted.x, 2e-6);
  expect_near(dw.values(), wanted.weight, 2e-6);
  expect_near(db.values(), wanted.bias, 2e-6);
}

// --- Element by element, in bf16 ---

constexpr double kBf16 = 1.0 / 256;  // half of the distance between numbers, of the largest

void check_gelu(const char* kernel, int each) {
  constexpr int kCount = 8 * 61;
  const Values x = random_values(kCount, 1, 4);
  const Array in(Format::bf16, x), out(Format::bf16, x.size());
  launch({kernel, ""}, {ceil_div(kCount, 64 * each)}, {64}, 0, {out, in, kCount});
  Values wanted;
  for (const double value : x) wanted.push_back(gelu(value));
  expect_near(out.values(), wanted, each == 1 ? 2 * kBf16 : kBf16);
}
// The first computes in bf16, wherever its formula does.
WITNESS(llm_c_gelu_forward, gelu_forward_kernel1) { check_gelu("gelu_forward_kernel1", 1); }
WITNESS(llm_c_gelu_forward, gelu_forward_kernel2) { check_gelu("gelu_forward_kernel2", 8); }

void check_gelu_gradient(const char* kernel, int each) {
  constexpr int kCount = 8 * 61;
  const Values x = random_values(kCount, 1, 4), dy = random_values(kCount, 2);
  const Array in(Format::bf16, x), d(Format::bf16, dy), out(Format::bf16, x.size());
  launch({kernel, ""}, {ceil_div(kCount, 64 * each)}, {64}, 0, {out, in, d, kCount});
  Values wanted;
  for (size_t i = 0; i < x.size(); i++) wanted.push_back(gelu_gradient(x[i]) * dy[i]);
  expect_near(out.values(), wanted, kBf16);
}
WITNESS(llm_c_gelu_backward, gelu_backward1) { check_gelu_gradient("gelu_backward1", 1); }
WITNESS(llm_c_gelu_backward, gelu_backward2) { check_gelu_gradient("gelu_backward2", 8); }

// --- AdamW, three steps ---

void check_adamw(const char* kernel) {
  constexpr long kCount = 1000;
  constexpr double kRate = 1e-3, kBeta1 = 0.875, kBeta2 = 0.9375, kEps = 1.0 / (1 << 20), kDecay = 0.125;
  const Values weights = random_values(kCount, 1), gradient = random_values(kCount, 2);
  const Array p(Format::f32, weights), g(Format::f32, gradient), m(Format::f32, Values(kCount)),
      v(Format::f32, Values(kCount));
  Values wanted = weights, wanted_m(kCount), wanted_v(kCount);
  for (int step = 1; step <= 3; step++) {
    const double correction1 = 1 - std::pow(kBeta1, step), correction2 = 1 - std::pow(kBeta2, step);
    launch({kernel, ""}, {ceil_div(kCount, 512)}, {512}, 0,
           {p, g, m, v, kCount, float(kRate), float(kBeta1), float(kBeta2), float(correction1), float(correction2),
            float(kEps), float(kDecay)});
    for (size_t i = 0; i < wanted.size(); i++) {
      wanted_m[i] = kBeta1 * wanted_m[i] + (1 - kBeta1) * gradient[i];
      wanted_v[i] = kBeta2 * wanted_v[i] + (1 - kBeta2) * gradient[i] * gradient[i];
      wanted[i] -=
          kRate * (wanted_m[i] / correction1 / (std::sqrt(wanted_v[i] / correction2) + kEps) + kDecay * wanted[i]);
    }
  }
  expect_near(m.values(), wanted_m, 1e-6);
  expect_near(v.values(), wanted_v, 1e-6);
  expect_near(p.values(), wanted, 1e-6);
}
WITNESS(llm_c_adamw, adamw_kernel1) { check_adamw("adamw_kernel1"); }
WITNESS(llm_c_adamw, adamw_kernel2) { check_adamw("adamw_kernel2"); }

WITNESS(llm_c_crossentropy_forward, crossentropy_forward_kernel1) {
  constexpr int kPlaces = kBatch * kLength, kWords = 50;
  const Values probabilities = random_values(kPlaces * kWords, 1);
  std::vector<int> targets;
  Values positive, wanted;
  for (const double value : probabilities) positive.push_back(value / 4 + 0.5);
  for (int i = 0; i < kPlaces; i++) {
    targets.push_back(i * 7 % kWords);
    wanted.push_back(-std::log(positive[i * kWords + targets[i]]));
  }
  const Array p(Format::f32, positive), t(targets), losses(Format::f32, kPlaces);
  launch({"crossentropy_forward_kernel1", ""}, {1}, {32}, 0, {losses, p, t, kBatch, kLength, kWords});
  expect_near(losses.values(), wanted, 1e-6);
}

// --- Matrix products ---

WITNESS(llm_c_matmul_forward, matmul_forward_kernel1) {
  constexpr int kM = 30, kN = 50, kK = 40;
  const Values x = random_values(kM * kK, 1), weight = random_values(kN * kK, 2);
  const Array in(Format::f32, x), w(Format::f32, weight), b(Format::f32, Values(kN)), out(Format::f32, kM * kN);
  launch({"matmul_forward_kernel1", ""}, {ceil_div(kM, 16), ceil_div(kN, 16)}, {16, 16}, 0,
         {out, in, w, b, kM, kK, kN});
  expect_near(out.values(), matrix_product(x, weight, kM, kN, kK, true), 1e-6);
}
WITNESS(llm_c_matmul_forward, matmul_forward_kernel4) {
  constexpr int kM = 256, kN = 128, kK = 64;
  const Values x = random_values(kM * kK, 1), weight = random_values(kN * kK, 2), bias = random_values(kN, 3);
  const Array in(Format::f32, x), w(Format::f32, weight), b(Format::f32, bias), out(Format::f32, kM * kN);
  launch({"matmul_forward_kernel4", ""}, {kM / 128, kN / 128}, {16, 16}, 0, {out, in, w, b, kK, kN});
  Values wanted = matrix_product(x, weight, kM, kN, kK, true);
  for (size_t i = 0; i < wanted.size(); i++) wanted[i] += bias[i % kN];
  expect_near(out.values(), wanted, 1e-6);
}

void check_bias_gradient(const char* kernel, unsigned blocks, unsigned threads, size_t shared_bytes) {
  constexpr int kN = 64;
  const Values dy = random_values(kBatch * kLength * kN, 1);
  const Array d(Format::bf16, dy), out(Format::bf16, Values(kN));
  launch({kernel, ""}, {blocks}, {threads}, shared_bytes, {out, d, kBatch, kLength, kN});
  Values wanted(kN);
  for (size_t i = 0; i < dy.size(); i++) wanted[i % kN] += dy[i];
  expect_near(out.values(), wanted, kBf16);
}
WITNESS(llm_c_matmul_backward_bias, matmul_backward_bias_kernel1) {
  check_bias_gradient("matmul_backward_bias_kernel1", 64, 64, 64 * sizeof(float));
}
WITNESS(llm_c_matmul_backward_bias, matmul_backward_bias_kernel2) {
  check_bias_gradient("matmul_backward_bias_kernel2", ceil_div(64 * 32, 128), 128, 0);
}
// All threads of a warp write its sum to one place.
WITNESS(llm_c_matmul_backward_bias, matmul_backward_bias_kernel3, "matmul_backward_bias.cu", {{144, 144}}, true) {
  check_bias_gradient("matmul_backward_bias_kernel3", 64, 64, 0);
}
WITNESS(llm_c_matmul_backward_bias, matmul_backward_bias_kernel4) {
  check_bias_gradient("matmul_backward_bias_kernel4", 2, 128, 128 * sizeof(float));
}

// --- Causal attention: (batch, length, 3, heads, depth) to (batch, length, heads, depth) ---

struct Heads {
  int batch, length, heads, depth;
  int width() const { return heads * depth; }
  size_t count() const { return size_t(batch) * length * width(); }
  Values input() const { return random_values(3 * count(), 1); }
  // (batch, heads, length, depth) of one of the three.
  Values part(const Values& input, int which) const {
    Values result;
    for (int b = 0; b < batch; b++)
      for (int h = 0; h < heads; h++)
        for (int t = 0; t < length; t++)
          for (int d = 0; d < depth; d++)
            result.push_back(input[((size_t(b) * length + t) * 3 + which) * width() + h * depth + d]);
    return result;
  }
  Values output() const {
    const Values x = input();
    const Values y = attention(part(x, 0), part(x, 1), part(x, 2), batch * heads, length, depth, true);
    Values result;
    for (int b = 0; b < batch; b++)
      for (int t = 0; t < length; t++)
        for (int h = 0; h < heads; h++)
          for (int d = 0; d < depth; d++) result.push_back(y[((size_t(b) * heads + h) * length + t) * depth + d]);
    return result;
  }
};

WITNESS(llm_c_attention_forward, attention_query_key_softmax_and_value_kernel1) {
  const Heads a{2, 24, 2, 16};
  const size_t pairs = size_t(a.batch) * a.heads * a.length * a.length, places = size_t(a.batch) * a.heads * a.length;
  const Array in(Format::f32, a.input()), scores(Format::f32, pairs), weights(Format::f32, pairs),
      out(Format::f32, a.count());
  launch({"attention_query_key_kernel1", ""}, {ceil_div(pairs, 128)}, {128}, 0,
         {scores, in, a.batch, a.length, a.width(), a.heads});
  launch({"attention_softmax_kernel1", ""}, {ceil_div(places, 128)}, {128}, 0,
         {weights, scores, a.batch, a.length, a.heads});
  launch({"attention_value_kernel1", ""}, {ceil_div(places, 128)}, {128}, 0,
         {out, weights, in, a.batch, a.length, a.width(), a.heads});
  expect_near(out.values(), a.output(), 2e-6);
}

WITNESS(llm_c_attention_forward, permute_attention_forward_and_unpermute_kernel2) {
  const Heads a{1, 96, 2, 32};
  constexpr int kTile = 32;
  const int tiles = static_cast<int>(ceil_div(a.length, kTile));
  const Array in(Format::f32, a.input()), q(Format::f32, a.count()), k(Format::f32, a.count()),
      v(Format::f32, a.count());
  const size_t places = size_t(a.batch) * a.heads * a.length;
  const Array sums(Format::f32, Values(places)), largest(Format::f32, Values(places, -1e9)),
      out(Format::f32, Values(a.count()));
  launch({"permute_kernel", ""}, {ceil_div(a.count(), 128)}, {128}, 0,
         {q, k, v, in, a.batch, a.length, a.heads, a.depth});
  launch({"attention_forward_kernel2", ""}, {unsigned(a.batch), unsigned(a.heads)}, {kTile},
         (3 * kTile * a.depth + kTile * kTile) * sizeof(float),
         {q, k, v, a.length, a.depth, tiles, tiles, kTile, kTile, float(1 / std::sqrt(double(a.depth))), sums, largest,
          out});
  launch({"unpermute_kernel", ""}, {ceil_div(a.count(), 128)}, {128}, 0, {out, q, a.batch, a.length, a.heads, a.depth});
  expect_near(q.values(), a.output(), 2e-6);
}

// A thread writes scores, and later weights, that others of its warp read, with no __syncwarp between.
WITNESS(llm_c_attention_forward, attention_forward_fused1, "attention_forward.cu", {{648, 655}, {665, 674}}, false) {
  const Heads a{1, 40, 2, 16};
  const size_t pairs = size_t(a.batch) * a.heads * a.length * a.length;
  const Array in(Format::f32, a.input()), scores(Format::f32, pairs), weights(Format::f32, pairs),
      out(Format::f32, a.count());
  launch({"attention_forward_fused1", ""}, {ceil_div(a.length * 32, 64), unsigned(a.heads), unsigned(a.batch)}, {64}, 0,
         {out, scores, weights, in, a.batch, a.length, a.width(), a.heads});
  expect_near(out.values(), a.output(), 2e-6);
}

// Scores of queries and keys, below the diagonal.
void check_lower_products(const char* instance) {
  const Heads a{1, 256, 1, 64};
  const Values x = a.input();
  const Array in(Format::f32, x), out(Format::f32, Values(size_t(a.length) * a.length));
  launch({"trimul_global", instance}, {2, 2, 1}, {16, 16}, 0, {out, in, a.length, a.width(), a.heads});
  const Values wanted = matrix_product(a.part(x, 0), a.part(x, 1), a.length, a.length, a.depth, true);
  Values lower, got = out.values(), below;
  for (int i = 0; i < a.length; i++)
    for (int j = 0; j <= i; j++) {
      lower.push_back(wanted[i * a.length + j] / std::sqrt(double(a.depth)));
      below.push_back(got[i * a.length + j]);
    }
  expect_near(below, lower, 1e-6);
}
WITNESS(llm_c_trimat_forward, matmul_tri_naive) { check_lower_products("matmul_tri_naive"); }
WITNESS(llm_c_trimat_forward, matmul_tri_registers) { check_lower_products("matmul_tri_registers"); }
WITNESS(llm_c_trimat_forward, matmul_tri3) { check_lower_products("matmul_tri3"); }
WITNESS(llm_c_trimat_forward, matmul_tri4) { check_lower_products("matmul_tri4"); }

}  // namespace
}  // namespace simulator::witnesses
