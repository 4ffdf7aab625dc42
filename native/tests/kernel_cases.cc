#include "tests/kernel_cases.h"

#include <cmath>

#include "cpu/dispatch.h"
#include "engine/signature.h"
#include "tests/harness.h"

namespace diffuse::testing {

namespace {

using Shape = std::vector<int64_t>;

TensorCase noise(Shape shape) { return {shape, Values::noise, true, 0}; }
TensorCase dense(Shape shape) { return {shape, Values::noise, false, 0}; }
TensorCase positive(Shape shape) { return {shape, Values::positive, false, 0}; }
TensorCase bytes(Shape shape) { return {shape, Values::bytes, true, 0}; }
TensorCase indices(int64_t count, int limit) { return {{count}, Values::indices, false, limit}; }
const TensorCase absent{};

// Channels around the vector lengths 4, 8 and 16, and around the tiles that are made of them.
constexpr int64_t kChannels[] = {1, 7, 16, 33, 67};

class Cases {
 public:
  void add(std::string kernel, std::vector<TensorCase> tensors, std::vector<double> attributes = {}) {
    list.push_back({std::move(kernel), std::move(tensors), std::move(attributes), of_views});
    KernelCase half = with_images(list.back(), Format::bf16);
    if (has_bf16(half) && !has_bf16(list.back())) list.push_back(std::move(half));
  }
  std::vector<KernelCase> list;
  bool of_views = false;  // those that are added next
};

// With padding of its own on each side.
struct Window {
  int64_t rows, columns, stride, top, left, bottom, right;
};

void add_convolution(Cases& cases, int64_t N, int64_t H, int64_t W, int64_t C, int64_t K, const Window& window,
                     bool bias) {
  const int64_t OH = (H + window.top + window.bottom - window.rows) / window.stride + 1;
  const int64_t OW = (W + window.left + window.right - window.columns) / window.stride + 1;
  TensorCase x = noise({N, H, W, C}), y = noise({N, OH, OW, K}), weight = dense({window.rows, window.columns, C, K});
  TensorCase optional = bias ? dense({K}) : absent;
  std::vector<double> attributes{double(window.stride), double(window.top), double(window.left), 0};
  const TensorCase& no = absent;
  cases.add("conv2d_forward", {y, no, x, weight, optional, no, no, no, no, no, no}, attributes);
  cases.add("conv2d_data_gradient", {x, no, y, weight, no, no, no, no, no, no, no, no}, attributes);
  cases.add("conv2d_data_gradient", {x, no, y, weight, no, no, no, no, no, no, no, x}, attributes);
  cases.add("conv2d_weight_gradient", {weight, optional, x, y, no, no, no, no, no, no}, attributes);
  // With a normalisation in passing.
  TensorCase mean = dense({N, 1}), rstd = positive({N, 1}), c = dense({C}), coefficients = dense({N, 4, K});
  TensorCase chunks = noise({N, (OH + 3) / 4, 3, K}), input_chunks = noise({N, (H + 3) / 4, 2, C});
  for (double silu : {0.0, 1.0}) {
    attributes[3] = silu;
    cases.add("conv2d_forward", {y, chunks, x, weight, optional, mean, rstd, c, c, noise({N, K}), y}, attributes);
    cases.add("conv2d_data_gradient", {x, input_chunks, y, weight, y, coefficients, x, mean, rstd, c, c, no},
              attributes);
    cases.add("conv2d_weight_gradient", {weight, optional, x, y, mean, rstd, c, c, y, coefficients}, attributes);
  }
}

void add_convolution(Cases& cases, int64_t N, int64_t H, int64_t W, int64_t C, int64_t K, int64_t window,
                     int64_t stride, bool bias) {
  const int64_t pad = window / 2;
  add_convolution(cases, N, H, W, C, K, Window{window, window, stride, pad, pad, pad, pad}, bias);
}

// A product [rows, columns] of sums over `inner`, of operands that lie as they are multiplied or transposed: bit
// 0 of the way says so of a, bit 1 of b.
void add_matmul(Cases& cases, int64_t rows, int64_t columns, int64_t inner, int way) {
  const bool a = way & 1, b = way & 2;
  cases.add("matmul",
            {noise({rows, columns}), noise(a ? Shape{inner, rows} : Shape{rows, inner}),
             noise(b ? Shape{columns, inner} : Shape{inner, columns})},
            {double(a), double(b)});
}

void add_attention(Cases& cases, int64_t N, int64_t S, int64_t heads, int64_t D) {
  TensorCase t = noise({N, S, heads * D}), log_sum_exp = dense({N, heads, S});
  std::vector<double> attributes{double(heads), 1 / std::sqrt(double(D))};
  cases.add("attention_forward", {t, log_sum_exp, t, t, t}, attributes);
  cases.add("attention_backward", {t, t, t, t, t, log_sum_exp, t, t, t}, attributes);
}

void add_products(Cases& cases) {
  add_convolution(cases, 1, 1, 1, 1, 1, 1, 1, false);
  add_convolution(cases, 2, 5, 7, 3, 33, 3, 1, true);
  add_convolution(cases, 3, 8, 8, 17, 5, 3, 2, true);
  add_convolution(cases, 1, 4, 3, 40, 64, 1, 1, false);
  add_convolution(cases, 2, 16, 16, 16, 16, 3, 1, true);
  add_convolution(cases, 3, 5, 9, 19, 37, 3, 1, true);
  // Winograd's walks: few tiles, rows of tiles cut, panels outside.
  add_convolution(cases, 3, 8, 9, 19, 37, 3, 1, true);
  add_convolution(cases, 1, 4, 230, 16, 16, 3, 1, true);
  add_convolution(cases, 1, 4, 130, 16, 16, 3, 1, false);
  add_convolution(cases, 3, 12, 12, 80, 80, 3, 1, true);
  add_convolution(cases, 1, 9, 5, 6, 7, 7, 1, false);
  // Tiles of a GPU: channels over the edge of the second tile, sums over pixels in two parts that do not fill theirs.
  add_convolution(cases, 2, 17, 16, 13, 136, 1, 1, true);
  // One pixel in all.
  add_convolution(cases, 1, 1, 1, 32, 30, 3, 1, true);
  add_convolution(cases, 1, 1, 1, 32, 72, 3, 1, true);
  // One pixel more than a step of a weight gradient sums, of 16 or of 32.
  for (int64_t K : {9, 72}) {
    add_convolution(cases, 1, 1, 17, 8, K, 1, 1, true);
    add_convolution(cases, 1, 3, 11, 8, K, 1, 1, true);
    add_convolution(cases, 1, 3, 11, 32, K, 3, 1, true);
  }
  // One pixel and eight channels over the edge of tiles; windows of uneven sides and padding; outputs of a stride that
  // no tap reaches, or that are one column alone.
  add_convolution(cases, 1, 5, 13, 8, 72, 1, 1, true);
  add_convolution(cases, 2, 6, 7, 24, 16, Window{2, 3, 2, 0, 1, 1, 1}, true);
  add_convolution(cases, 3, 5, 6, 8, 8, 1, 2, false);
  // Columns of wide tiles, of a GPU that has few multiprocessors: no patches.
  add_convolution(cases, 2, 16, 8, 120, 128, 1, 1, true);
  add_convolution(cases, 1, 12, 13, 5, 72, 3, 2, true);
  add_convolution(cases, 1, 18, 18, 72, 5, 3, 2, true);
  add_convolution(cases, 2, 6, 7, 5, 72, 3, 1, true);
  add_convolution(cases, 1, 11, 1, 5, 3, 3, 2, true);
  add_convolution(cases, 1, 3, 6, 3, 18, Window{3, 7, 1, 2, 5, 0, 1}, false);
  // Patches of a GPU, of 32 channels and a little fewer: rows of an odd length, several samples in a tile and the last
  // one cut, columns of a narrow tile, pixels on both sides of a tile, a row of two tiles, large and uneven windows,
  // windows of one row and of one column.
  add_convolution(cases, 3, 5, 9, 31, 58, 3, 1, true);
  add_convolution(cases, 2, 5, 9, 14, 25, 3, 1, true);
  add_convolution(cases, 2, 5, 9, 32, 73, 3, 1, true);
  add_convolution(cases, 5, 4, 8, 24, 72, 3, 1, true);
  add_convolution(cases, 9, 4, 4, 32, 64, 3, 1, false);
  add_convolution(cases, 5, 2, 3, 64, 6, 3, 1, true);
  add_convolution(cases, 1, 3, 64, 32, 30, 3, 1, true);
  add_convolution(cases, 2, 6, 7, 64, 27, 5, 1, false);
  add_convolution(cases, 2, 8, 8, 120, 28, 3, 1, true);
  add_convolution(cases, 2, 5, 6, 32, 32, Window{3, 2, 1, 2, 1, 0, 0}, true);
  add_convolution(cases, 2, 3, 9, 32, 20, Window{1, 7, 1, 0, 3, 0, 3}, true);
  add_convolution(cases, 1, 8, 6, 32, 70, Window{7, 1, 1, 3, 0, 3, 0}, true);
  {
    TensorCase x = noise({130, 67}), y = noise({130, 131}), weight = dense({67, 131});
    cases.add("linear_forward", {y, x, weight, dense({131}), y});
    cases.add("linear_data_gradient", {x, y, weight, x});
    cases.add("linear_weight_gradient", {weight, dense({131}), x, y});
    cases.add("linear_weight_gradient", {weight, absent, x, y});
    cases.add("matmul", {noise({67, 131}), noise({67, 33}), noise({33, 131})}, {0, 0});
    cases.add("matmul", {noise({67, 131}), noise({33, 67}), noise({131, 33})}, {1, 1});
    // Too large for a GPU's kernels of small products: by their output, and by what is summed.
    TensorCase wide = noise({600, 520}), narrow = noise({600, 9}), tall = noise({2100, 20});
    // Ends in either half of a tile.
    for (int way = 0; way < 4; way++) add_matmul(cases, way == 2 ? 616 : 600, way == 2 ? 552 : 520, 35 - 3 * way, way);
    // And after each of a thread's numbers.
    for (int k = 1; k < 8 && !quick(); k++) add_matmul(cases, 600 + k, 520 + k, 3, k % 4);
    cases.add("linear_forward", {wide, narrow, dense({9, 520}), dense({520}), wide});
    cases.add("linear_data_gradient", {wide, narrow, dense({520, 9}), wide});
    cases.add("linear_weight_gradient", {dense({20, 9}), dense({9}), tall, noise({2100, 9})});
    // Sums that end with each of the lines that a thread of a GPU reads, in the first step and in the second. It takes
    // 4100 rows in large tiles.
    cases.of_views = true;
    for (int64_t inner : quick() ? std::vector<int64_t>{} : std::vector<int64_t>{1, 6, 10, 14, 17, 22, 26, 30})
      for (int way = 0; way < 4; way++) add_matmul(cases, 4100, 9, inner, way);
    cases.of_views = false;
    // One product, fewer products than a step sums, and as many.
    for (int64_t inner : {1, 3, 6, 10, 14})
      for (int way = 0; way < 4; way++) add_matmul(cases, 40, 9, inner, way);
    cases.add("matmul", {noise({5, 6}), noise({5, 11}), noise({6, 11})}, {0, 1});
    cases.add("matmul", {noise({8, 6}), noise({16, 8}), noise({16, 6})}, {1, 0});
  }
  for (int64_t C : kChannels) {
    TensorCase x = noise({2, 3, C}), y = noise({2, 3, 19}), weight = dense({C, 19});
    cases.add("linear_forward", {y, x, weight, dense({19}), absent});
    cases.add("linear_forward", {y, x, weight, absent, y});
    cases.add("linear_data_gradient", {x, y, weight, absent});
    cases.add("linear_data_gradient", {x, y, weight, x});
    cases.add("linear_weight_gradient", {weight, dense({19}), x, y});
    cases.add("linear_weight_gradient", {weight, absent, x, y});
    for (int way = 0; way < 4; way++) add_matmul(cases, 13, C, 21, way);
  }
  struct Attention {
    int64_t N, S, heads, D;
  };
  for (auto [N, S, heads, D] :
       {Attention{1, 1, 1, 1}, {2, 7, 3, 5},    {1, 67, 2, 8},   {4, 17, 2, 33},  {1, 150, 1, 20}, {2, 64, 2, 32},
        {1, 130, 1, 64},       {1, 70, 1, 128}, {1, 67, 1, 256}, {2, 19, 3, 136}, {2, 21, 2, 100}, {2, 18, 3, 102},
        {1, 16, 1, 40},        {1, 32, 1, 40},  {1, 16, 2, 72},  {1, 32, 1, 72},  {1, 16, 1, 130}, {1, 140, 2, 150},
        {2, 67, 1, 260},       {1, 20, 1, 300}, {1, 290, 1, 70}, {1, 1030, 1, 3}, {2, 17, 2, 104}, {1, 33, 1, 200},
        {1, 33, 2, 48},        {1, 1, 2, 104},  {1, 1, 1, 200},  {2, 1, 1, 260}}) {
    // Minutes in an emulator.
    if (!quick() || S <= 150) add_attention(cases, N, S, heads, D);
  }
  // Heads that end with the first channel that a product of matrices takes.
  for (int64_t D : quick() ? std::vector<int64_t>{} : std::vector<int64_t>{17, 49, 81, 113, 145, 177, 209, 241})
    add_attention(cases, 1, 9, 1, D);
}

void add_normalisation(Cases& cases) {
  struct Norm {
    int64_t N, H, C, groups;
  };
  for (auto [N, H, C, groups] : {Norm{1, 1, 2, 2},
                                 {2, 3, 9, 3},
                                 {3, 9, 64, 32},
                                 {2, 16, 66, 3},
                                 {1, 2, 1032, 4},
                                 {2, 13, 64, 4},
                                 {9, 1, 8, 2}}) {
    TensorCase x = noise({N, H, H, C}), mean = dense({N, groups}), rstd = positive({N, groups}), c = dense({C});
    for (int64_t chunk : {int64_t{1}, 4 * H, int64_t{144}}) {
      const int64_t chunks = (H * H + chunk - 1) / chunk;
      TensorCase sums = noise({N, chunks, 2, C}), moments = positive({N, chunks, 3, C});
      cases.add("channel_moments", {moments, x}, {double(chunk)});
      cases.add("group_norm_statistics", {mean, rstd, moments}, {1e-5, double(H * H), double(chunk)});
      cases.add("normalise_backward", {x, sums, x, x, mean, rstd, c, c}, {1, double(chunk)});
      cases.add("normalise_backward", {absent, sums, x, x, mean, rstd, c, c}, {0, double(chunk)});
      for (bool summed : {false, true})
        cases.add(
            "group_norm_gradient",
            {dense({N, 4, C}), c, c, summed ? noise({N, C}) : absent, sums, mean, rstd, c, summed ? moments : absent},
            {double(H * H), double(chunk)});
    }
    for (double silu : {0.0, 1.0}) cases.add("normalise_forward", {x, x, mean, rstd, c, c}, {silu});
    for (const TensorCase& addend : {absent, x}) cases.add("normalise_gradient", {x, x, x, dense({N, 4, C}), addend});
  }
}

// More than the threads of a small GPU take at once: some thousands of packs.
void add_turns(Cases& cases) {
  // Five packs a row of bf16, ten of float32: between two packs of a thread lie rows and a part of one.
  TensorCase x = noise({2, 650, 40}), doubled = noise({2, 1300, 40});
  cases.of_views = true;
  cases.add("silu_forward", {x, x});
  cases.add("silu_backward", {x, x, x});
  cases.add("copy", {x, x});
  cases.add("fill", {x}, {1.5});
  cases.add("scale", {x, x}, {-2});
  cases.add("add", {x, x, x}, {1, -0.5});
  cases.add("add_channels", {x, x, noise({2, 40})});
  cases.add("multiply", {x, x, x});
  cases.add("multiply_samples", {x, x, positive({2})});
  cases.add("divide_samples", {x, x, positive({2})});
  cases.add("upsample_nearest_forward", {doubled, x});
  cases.add("upsample_nearest_backward", {x, doubled});
  TensorCase half = x;
  half.format = Format::bf16;
  cases.add("cast", {half, x});
  cases.add("cast", {x, half});
  cases.add("embedding_forward", {noise({1300, 40}), dense({4, 40}), indices(1300, 4)});
  cases.of_views = false;
  // Pixels of a block that are a multiple of those that its threads take at once.
  TensorCase whole = noise({2, 16, 16, 64}), numbers = noise({2, 128});
  cases.add("sum_pixels", {noise({2, 64}), whole});
  cases.add("scale_shift_forward", {whole, whole, numbers});
  cases.add("scale_shift_backward", {whole, numbers, whole, whole, numbers});
  // Several turns of four elements at a time of samples.
  TensorCase samples = noise({7, 40, 55, 2});
  cases.add("dropout", {samples, samples}, {0.3, 1, 2, 3, 4, 5});
  cases.add("random_normal", {samples}, {1, 2, 3, 4, 5});
  cases.add("random_uniform", {samples}, {1, 2, 3, 4, 5, -1, 1});
  for (const TensorCase& images : {samples, bytes({7, 40, 55, 2})})
    cases.add("noising", {samples, samples, dense({7}), dense({7}), absent, images, positive({11, 6}), absent},
              {1, 2, 3, 4, 1, 0.1});
  for (const Shape& shape : {Shape{1300, 1, 1, 20}, {6200, 1, 1, 1}}) {
    TensorCase pixels = noise(shape), of_samples = dense({shape[0]});
    cases.add("noising", {pixels, pixels, of_samples, of_samples, absent, pixels, positive({11, 6}), absent},
              {1, 2, 3, 4, 0, 0.1});
  }
  cases.add("self_conditioning", {samples, samples, samples, positive({7, 2})}, {1, 1, 2, 3, 4});
  cases.add("sampler_update", {samples, samples, absent, absent, samples, samples, absent, absent, absent, absent},
            {1.1, -0.2, 1, 0.9, 0.1, 0.2, 0.3, 0.15, 0.4, 0.1, 0.9, -3, -2, 1, 2, 3, 4});
  cases.add("weighted_mse_backward", {samples, dense({1}), samples, samples, positive({7})});
  // And of single elements.
  TensorCase latent = noise({3, 700, 3}), moments = noise({3, 700, 6});
  cases.add("gaussian_latent_backward", {moments, latent, dense({1}), moments, latent});
  cases.add("time_embedding_forward", {noise({370, 33}), positive({370})}, {1, 0, 10000});
  cases.add("fourier_embedding_forward", {noise({560, 22}), positive({560}), dense({11})}, {0});
  // More sums of blocks than the block has threads that adds them up.
  cases.add("softmax_cross_entropy_forward",
            {dense({1}), dense({4200}), dense({4200}), noise({4200, 2}), indices(4200, 2)});
}

void add_elementwise(Cases& cases) {
  for (int64_t C : kChannels) {
    TensorCase x = noise({3, 5, 7, C});
    cases.add("silu_forward", {x, x});
    cases.add("silu_backward", {x, x, x});
    cases.add("copy", {x, x});
    TensorCase half = x;
    half.format = Format::bf16;
    for (const TensorCase& y : {x, half})
      for (const TensorCase& from : {x, half}) cases.add("cast", {y, from});
    cases.add("fill", {x}, {1.5});
    cases.add("scale", {x, x}, {-2});
    cases.add("add", {x, x, x}, {1, -0.5});
    cases.add("add_channels", {x, x, noise({3, C})});
    cases.add("multiply", {x, x, x});
    cases.add("multiply_samples", {x, x, positive({3})});
    cases.add("divide_samples", {x, x, positive({3})});
    cases.add("sum_pixels", {noise({3, C}), x});
    cases.add("sum_samples", {dense({3}), x});
    cases.add("sum", {dense({1}), x});
    cases.add("scale_shift_forward", {x, x, noise({3, 2 * C})});
    cases.add("scale_shift_backward", {x, noise({3, 2 * C}), x, x, noise({3, 2 * C})});
    cases.add("upsample_nearest_forward", {noise({3, 10, 14, C}), x});
    cases.add("upsample_nearest_backward", {x, noise({3, 10, 14, C})});
    cases.add("dropout", {x, x}, {0.3, 1, 2, 3, 4, 5});
    cases.add("weighted_mse_forward", {dense({1}), dense({3}), x, x, positive({3})});
    cases.add("weighted_mse_backward", {x, dense({1}), x, x, positive({3})});
  }
  // Factors that differ from side to side.
  for (const Shape& large : {Shape{1, 4, 3, 6, 8}, {1, 4, 9, 2, 8}, {1, 2, 3, 10, 8}}) {
    cases.add("upsample_nearest_forward", {noise(large), noise({1, 2, 3, 2, 8})});
    cases.add("upsample_nearest_backward", {noise({1, 2, 3, 2, 8}), noise(large)});
  }
  // More pixels than threads of a block take at once, the last of them in each of the places of a batch; more parts
  // than are summed at once.
  {
    for (const Shape& shape : {Shape{2, 7, 23, 64},
                               {2, 5, 9, 33},
                               {1, 2, 280, 33},
                               {1, 8, 10, 64},
                               {1, 11, 11, 64},
                               {1, 8, 10, 33},
                               {1, 11, 11, 33}}) {
      TensorCase x = noise(shape), numbers = noise({shape[0], 2 * shape[3]});
      cases.add("sum_pixels", {noise({shape[0], shape[3]}), x});
      cases.add("scale_shift_forward", {x, x, numbers});
      cases.add("scale_shift_backward", {x, numbers, x, x, numbers});
    }
  }
  if (!quick()) add_turns(cases);
  // Enough work for several tasks.
  TensorCase large = noise({5, 61, 67, 7});
  cases.add("silu_forward", {large, large});
  cases.add("dropout", {large, large}, {0.3, 1, 2, 3, 4, 5});
  cases.add("sum", {dense({1}), large});
  cases.add("sum_pixels", {noise({5, 7}), large});
  // More channels than a block of a GPU sums, and fewer than it has threads for.
  for (int64_t C : {136, 24}) {
    TensorCase x = noise({2, 5, C}), numbers = noise({2, 2 * C});
    cases.add("sum_pixels", {noise({2, C}), x});
    cases.add("scale_shift_backward", {x, numbers, x, x, numbers});
    cases.add("channel_moments", {positive({2, 2, 3, C}), x}, {3});
  }
  cases.add("sum_samples", {dense({5}), large});
  cases.add("weighted_mse_forward", {dense({1}), dense({5}), large, large, positive({5})});
}

void add_embeddings(Cases& cases) {
  cases.add("time_embedding_forward", {noise({3, 33}), positive({3})}, {1, 0, 10000});
  cases.add("time_embedding_forward", {noise({3, 8}), positive({3})}, {0, 1, 10000});
  cases.add("fourier_embedding_forward", {noise({3, 22}), positive({3}), dense({11})}, {0});
  for (int64_t C : kChannels) {
    cases.add("softmax_cross_entropy_forward", {dense({1}), dense({9}), dense({9}), noise({9, C}), indices(9, int(C))});
    cases.add("softmax_cross_entropy_backward", {noise({9, C}), dense({1}), noise({9, C}), indices(9, int(C))});
    cases.add("embedding_forward", {noise({9, C}), dense({4, C}), indices(9, 4)});
    cases.add("embedding_backward", {dense({4, C}), noise({9, C}), indices(9, 4)});
    cases.add("embedding_backward", {dense({4, C}), noise({1, C}), indices(1, 4)});
  }
}

void add_latents(Cases& cases) {
  for (int64_t C : kChannels) {
    const TensorCase moments = noise({3, 5, 2 * C}), latent = noise({3, 5, C});
    cases.add("gaussian_latent_forward", {latent, dense({1}), moments, latent});
    cases.add("gaussian_latent_backward", {moments, latent, dense({1}), moments, latent});
  }
}

void add_hybrid_loss(Cases& cases) {
  // More samples than one block has warps.
  const TensorCase many = noise({20, 3}), doubled = noise({20, 6}), twenty = dense({20});
  cases.add("hybrid_loss_forward",
            {dense({1}), twenty, dense({1}), doubled, many, many, twenty, {{20, 6}, Values::positive, true, 0}, twenty},
            {1, 0.001, 1.4, 0});
  cases.add("weighted_mse_forward", {dense({1}), twenty, many, many, positive({20})});
  const TensorCase number = dense({1}), samples = dense({3});
  for (int64_t C : kChannels) {
    const TensorCase x = noise({3, 5, C}), output = noise({3, 5, 2 * C});
    for (const TensorCase& importance : {positive({3}), absent}) {
      for (double through_mean : {0.0, 1.0}) {
        const std::vector<double> attributes{1, 0.001, 1.4, through_mean};
        const TensorCase coefficients{{3, 6}, Values::positive, true, 0};
        cases.add("hybrid_loss_forward", {number, samples, number, output, x, x, samples, coefficients, importance},
                  attributes);
        cases.add("hybrid_loss_backward", {output, number, output, x, x, samples, coefficients, importance},
                  attributes);
      }
    }
  }
}

void add_tokens(Cases& cases) {
  const TensorCase number = dense({1}), keep = positive({3});
  for (int64_t C : kChannels) {
    // Noise has no zeros, so every state is the first one; tokens are the same.
    const TensorCase logits = noise({3, 5, C}), states = noise({3, 5, C + 1}),
                     tokens{{3, 5}, Values::indices, false, 1};
    cases.add("token_noising", {states, dense({3}), tokens, keep}, {double(C), 1, 2, 3, 4});
    cases.add("token_noising", {states, dense({3}), tokens, keep}, {-1, 1, 2, 3, 4});
    cases.add("token_noising", {noise({3, 1, C + 1}), dense({3}), {{3, 1}, Values::indices, false, 1}, keep},
              {double(C), 1, 2, 3, 4});
    // As many as a warp has lanes.
    cases.add("token_noising", {noise({4, 8, C}), dense({4}), {{4, 8}, Values::indices, false, int(C)}, keep},
              {-1, 1, 2, 3, 4});
    cases.add("token_denoising_loss_forward", {number, number, number, logits, tokens, states, positive({3}), keep},
              {0.5});
    cases.add("token_denoising_loss_backward", {logits, number, logits, tokens, states, positive({3}), keep}, {0.5});
  }
}

void add_randomness(Cases& cases) {
  for (int64_t C : {1, 5, 32, 2}) {
    TensorCase x = noise({3, 5, 7, C});
    cases.add("random_normal", {x}, {1, 2, 3, 4, 5});
    cases.add("random_uniform", {x}, {1, 2, 3, 4, 5, -1, 1});
    for (double flip : {0.0, 1.0}) {
      std::vector<double> attributes{1, 2, 3, 4, flip, 0.1 * flip};
      for (const TensorCase& images : {x, bytes({3, 5, 7, C})})
        cases.add("noising", {x, x, dense({3}), dense({3}), absent, images, positive({11, 6}), absent}, attributes);
      // Noise has no integers, so the level that is given is the only one.
      const TensorCase level{{3}, Values::zeros, false, 0};
      for (int64_t extra : {1, 2})
        cases.add("noising", {x, x, dense({3}), dense({3}), dense({3, extra}), x, positive({1, 6 + extra}), level},
                  attributes);
    }
    cases.add("self_conditioning", {x, x, x, positive({3, 2})}, {1, 1, 2, 3, 4});
    // Samples that end one, two and three elements after a counter's; which of them are told is chance.
    TensorCase short_samples = noise({3, C % 4 + 1});
    for (double offset : {0.0, 1.0, 2.0, 3.0})
      cases.add("self_conditioning", {short_samples, short_samples, short_samples, positive({3, 2})},
                {1, 1, 2, 3, offset});
    for (double quantile : {0.0, 0.9, 1.0}) cases.add("dynamic_threshold", {x, x, x}, {2, -0.5, quantile, 2});
    for (const TensorCase& optional : {x, absent})
      cases.add("sampler_update", {x, x, optional, optional, x, x, optional, optional, optional, optional},
                {1.1, -0.2, 1, 0.9, 0.1, 0.2, 0.3, 0.15, 0.4, 0.1, 0.9, -3, -2, 1, 2, 3, 4});
  }
}

void add_optimizer(Cases& cases) {
  for (int64_t P : {1, 31, 50021}) {
    cases.add("gradient_norm", {dense({1}), dense({P})});
    for (const TensorCase& ema : {dense({P}), absent}) {
      cases.add("adamw_ema", {dense({P}), dense({P}), positive({P}), ema, dense({P}), positive({1})},
                {1e-3, 0.9, 0.999, 1e-8, 0.01, 0.1, 0.001, 1, 0.999, 0.5});
    }
  }
}

}  // namespace

bool has_bf16(const KernelCase& c) {
  for (const TensorCase& t : c.tensors)
    if (t.format == Format::bf16) return true;
  return false;
}

KernelCase with_images(KernelCase c, Format format) {
  for (const Signature& signature : signatures()) {
    if (signature.kernel != c.kernel) continue;
    for (size_t i = 0; i < c.tensors.size(); i++)
      if (signature.tensors[i].image) c.tensors[i].format = format;
  }
  return c;
}

const std::vector<KernelCase>& kernel_cases() {
  static const std::vector<KernelCase> list = [] {
    Cases cases;
    add_products(cases);
    add_normalisation(cases);
    add_elementwise(cases);
    add_embeddings(cases);
    add_latents(cases);
    add_hybrid_loss(cases);
    add_tokens(cases);
    add_randomness(cases);
    add_optimizer(cases);
    return cases.list;
  }();
  return list;
}

std::vector<std::string> tested_isas() {
  std::vector<std::string> isas = supported_isas();
  if (quick()) isas.resize(1);
  return isas;
}

}  // namespace diffuse::testing
