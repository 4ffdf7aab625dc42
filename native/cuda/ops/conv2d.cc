// Convolutions and their data gradients on the GPU (ops/conv2d.h).
#include "ops/conv2d.h"

#include <algorithm>
#include <type_traits>

#include "cuda/norm.h"
#include "cuda/ops/convolution_plan.h"
#include "cuda/ops/multiplied_image.h"
#include "ops/group_norm.h"

namespace diffuse::cuda {
namespace {

constexpr int64_t kSums = 2;

template <typename... Arguments>
constexpr bool kWithoutGaps = (std::has_unique_object_representations_v<Arguments> && ...);
static_assert(kWithoutGaps<PackWeightsArguments, ConvolutionArguments, MergeSegmentsArguments>,
              "arrays of structs may have no bytes between members (cuda/kernel.h)");

bool is_scalar(const Tensor& image, bool tf32) { return image.dtype == DType::f32 && !tf32; }

ConvolutionPlan forward_plan(const Call& call, bool tf32) {
  const auto& [y, moments, x, weight, bias, norm, shift, residual] = conv2d_forward_args(call);
  return plan_convolution("conv2d_forward", conv2d_shape(call, x, y, weight), false, is_scalar(x, tf32), x,
                          norm.mean.data, y, moments.data ? kMoments : 0);
}

ConvolutionPlan data_gradient_plan(const Call& call, bool tf32) {
  const auto& [dx, sums, dy, weight, normalised, coefficients, x, norm, residual] = conv2d_data_gradient_args(call);
  return plan_convolution("conv2d_data_gradient", conv2d_shape(call, dx, dy, weight), true, is_scalar(dy, tf32), dy,
                          normalised.data, dx, sums.data ? kSums : 0);
}

void pack_weights(const ConvolutionPlan& plan, const Tensor& weight, bool tf32, const char* suffix,
                  Launcher& launcher) {
  const ConvolutionArguments& sizes = plan.sizes;
  PackWeightsArguments a{};
  a.weight = view(weight);
  a.to = launcher.scratch() + plan.weights;
  a.window_columns = static_cast<int32_t>(weight.shape[1]);
  a.channels = static_cast<int32_t>(weight.shape[2]);
  a.padded_channels = sizes.padded_channels;
  a.tap_step = plan.tap_step;
  a.data_gradient = plan.data_gradient;
  a.tf32 = tf32;
  int64_t depth = 0;
  for (int32_t i = 0; i < plan.lattices; i++) {
    a.lattice[i] = sizes.lattice[i];
    depth = std::max<int64_t>(depth, a.lattice[i].depth);
  }
  if (depth == 0) return;
  launcher.launch("conv2d_passes", std::string("conv2d_pack_") + suffix,
                  {blocks_of(depth, kPackTile), plan.padded_outputs / kPackTile, plan.lattices}, kPassThreads, a);
}

void merge_segments(const ConvolutionPlan& plan, const Tensor& chunks, Launcher& launcher) {
  const ConvolutionArguments& sizes = plan.sizes;
  MergeSegmentsArguments a{};
  a.segments = reinterpret_cast<const float*>(launcher.scratch() + plan.segments);
  a.to = view(chunks);
  a.samples = static_cast<int32_t>(chunks.shape[0]);
  a.chunks = static_cast<int32_t>(chunks.shape[1]);
  a.segments_of_sample = sizes.segments_of_sample;
  a.unit_pixels = sizes.unit_pixels;
  a.sums = chunks.shape[2] == kSums;
  a.lattices = plan.lattices;
  for (int32_t i = 0; i < plan.lattices; i++) a.lattice[i] = sizes.lattice[i];
  launcher.launch("conv2d_passes", "conv2d_merge_f32",
                  {blocks_of(int64_t{a.samples} * a.chunks * a.to.channels, kPassThreads)}, kPassThreads, a);
}

// Computes with everything in `a` but the weights, sizes and segments.
void convolve(const ConvolutionPlan& plan, ConvolutionArguments a, const Tensor& source, const Tensor& weight,
              const Tensor& to, const Tensor& chunks, Launcher& launcher) {
  const char* suffix = image_suffix(to);
  const bool scalar = is_scalar(to, launcher.tf32()), tf32 = to.dtype == DType::f32 && !scalar;
  pack_weights(plan, weight, tf32, suffix, launcher);

  a.source = source.data;
  a.source_stride = source.row_stride;
  a.source_aligned = reinterpret_cast<uintptr_t>(source.data) % kMultipliedBytes == 0;
  a.weights = launcher.scratch() + plan.weights;
  a.to = view(to);
  const int32_t vector = static_cast<int32_t>(chunk_of(to));
  a.wide = a.to.alignment >= vector && (!a.residual.data || a.residual.alignment >= vector) &&
           (!a.x.data || a.x.alignment >= vector);
  const bool merges = chunks.data && !a.chunks_are_segments;
  a.segments = merges ? reinterpret_cast<float*>(launcher.scratch() + plan.segments) : f32(chunks);
  a.segments_stride = merges ? a.to.channels : chunks.row_stride;
  const auto [name, tile] = best_tile(plan, launcher.limits(), scalar);
  launcher.launch("conv2d", std::string("conv2d_") + (tf32 ? "tf32_" : "") + name + "_" + suffix, grid_of(plan, tile),
                  tile.threads, a, static_cast<size_t>(shared_bytes_of(plan, tile)));
  if (merges) merge_segments(plan, chunks, launcher);
}

}  // namespace

// Enough whether float32 is multiplied as tf32 or not.
size_t conv2d_forward_scratch(const Call& call, const Limits&) {
  return std::max(forward_plan(call, false).bytes, forward_plan(call, true).bytes);
}

void conv2d_forward(const Call& call, Launcher& launcher) {
  const auto& [y, moments, x, weight, bias, norm, shift, residual] = conv2d_forward_args(call);
  const ConvolutionPlan plan = forward_plan(call, launcher.tf32());
  const bool silu = call.attributes[3] != 0;
  const Tensor source = plan.fused ? x : multiplied_x(x, norm, silu, launcher.scratch() + plan.source, launcher);
  ConvolutionArguments a = plan.sizes;
  if (plan.fused) a.norm = norm_arguments(&norm.mean);
  a.silu = silu;
  a.bias = f32(bias);
  a.shift = view(shift);
  a.residual = view(residual);
  convolve(plan, a, source, weight, y, moments, launcher);
}

size_t conv2d_data_gradient_scratch(const Call& call, const Limits&) {
  return std::max(data_gradient_plan(call, false).bytes, data_gradient_plan(call, true).bytes);
}

void conv2d_data_gradient(const Call& call, Launcher& launcher) {
  const auto& [dx, sums, dy, weight, normalised, coefficients, x, norm, residual] = conv2d_data_gradient_args(call);
  const ConvolutionPlan plan = data_gradient_plan(call, launcher.tf32());
  const Tensor source =
      plan.fused ? dy : multiplied_dy(dy, normalised, coefficients, launcher.scratch() + plan.source, launcher);
  ConvolutionArguments a = plan.sizes;
  if (plan.fused) {
    a.normalised = view(normalised);
    a.coefficients = f32(coefficients);
  }
  a.x = view(x);
  a.norm = norm_arguments(&norm.mean);
  a.silu = call.attributes[3] != 0;
  a.residual = view(residual);
  convolve(plan, a, source, weight, dx, sums, launcher);
}

}  // namespace diffuse::cuda
