// Gradient of the weights of a convolution (ops/conv2d.h) and of a linear map, which is a convolution with one tap:
//
//   dweight[tap, c, k] = Σ_p x[pixel that p saw through the tap, c] dy[p, k]        dbias[k] = Σ_p dy[p, k]
//
// a product of x, its channels at all taps as rows (tap, c), and dy, which sums over the pixels of dy.
//
// @promises mma.sync ldmatrix.trans cp.async cvt.rna.tf32 ld.shared.v4
#include "gemm/reduction_cores.h"
#include "gemm/weight_gradient_patch.h"

namespace diffuse::cuda {
namespace {

// Bound by operations. A tile of 128 x 128 does 64 operations for a byte of bf16 that comes from L2 (a GPU has some 60
// to 100 for one), and its sums are half of the registers of two blocks of a multiprocessor. Three stages of it are
// 48 KB of shared memory, so two blocks fit even where there are 100 KB. Of 64 or fewer output channels half the tile
// would be idle: those have a narrow one.
//
// Of 3 x 3 at stride 1, of bf16, a tile is 16 channels of x at all nine taps by 128 of dy
// (gemm/weight_gradient_patch.h): four warps of 144 x 32, which ask shared memory for 78 bytes a cycle of an A100 where
// warps of 64 x 32 ask for 96. 32 pixels take 9 KB of L2 for 576 cycles of products, 16 bytes a cycle instead of 32,
// and 512 exponentials and divisions, 64 cycles of the special functions beside them; in return x is neither written to
// scratch nor read from it. 144 sums a thread leave no room for a third block; ring and stages of dy are 32 KB, 41 of
// images over 79 wide. That dy is the gradient of a normalisation is still worked out in scratch: each of C / 16 tiles
// would do it anew, for half as long as it multiplies.
constexpr int kRows = kWeightGradientRows;
constexpr int kStages = kWeightGradientStages;
constexpr int kBlocks = 2;  // of a multiprocessor
static_assert(kCoreThreads == kWeightGradientThreads);

// The tap of a thread's chunk of x, and where that looks.
struct Tap {
  int channel;
  int row, column;  // of x, from the pixel that output (0, 0) begins with
  bool exists;

  __device__ __forceinline__ Tap(const Conv2dWeightGradientArguments& arguments, int flat_row) {
    const Quotient tap = divide(flat_row, arguments.padded_channels);
    const Quotient place = divide(tap.quotient, arguments.kernel_width);
    channel = tap.remainder;
    row = place.quotient - arguments.pad_top;
    column = place.remainder - arguments.pad_left;
    exists = tap.quotient < arguments.taps;
  }
};

// Block (x, y, z) sums rows 128 x … by Columns output channels over split z of the pixels. Blocks of one split follow
// each other, so that they find its pixels in L2.
template <typename Core>
__device__ __forceinline__ void reduce_pixels(const Conv2dWeightGradientArguments& arguments) {
  using T = typename Core::Element;
  constexpr int kLines = Core::kLines, kColumns = Core::kColumns;
  static_assert(kLines * sizeof(T) == kWeightGradientStageBytes);
  extern __shared__ __align__(128) unsigned char memory[];
  T* const x_tiles = reinterpret_cast<T*>(memory);
  T* const dy_tiles = x_tiles + kStages * kLines * kRows;

  const int first_row = blockIdx.x * kRows, first_column = blockIdx.y * kColumns;
  const int begin = blockIdx.z * arguments.split_pixels;
  const int end = min(begin + arguments.split_pixels, arguments.pixels);
  const int steps = (end - begin + kLines - 1) / kLines;

  using InputCopies = ChunkCopies<T, kRows, kLines, kCoreThreads>;
  using GradientCopies = ChunkCopies<T, kColumns, kLines, kCoreThreads>;
  const Tap tap(arguments, first_row + InputCopies::chunk() * kWide<T>);
  const InputCopies x(arguments.x, tap.channel, tap.exists);
  const GradientCopies dy(arguments.dy, first_column + GradientCopies::chunk() * kWide<T>, true);

  const auto copy_step = [&](int step, int stage) {
    const int first_pixel = begin + step * kLines;
#pragma unroll
    for (int copy = 0; copy < InputCopies::kCopies; copy++) {
      const int pixel = first_pixel + InputCopies::line(copy);
      const Quotient across = divide(pixel, arguments.output_width);
      const Quotient down = divide(across.quotient, arguments.output_height);
      const int row = down.remainder * arguments.stride + tap.row;
      const int column = across.remainder * arguments.stride + tap.column;
      const bool inside = pixel < end && static_cast<unsigned>(row) < static_cast<unsigned>(arguments.height) &&
                          static_cast<unsigned>(column) < static_cast<unsigned>(arguments.width);
      x.copy(x_tiles + stage * kLines * kRows, copy,
             (down.quotient * arguments.height + row) * arguments.width + column, inside);
    }
#pragma unroll
    for (int copy = 0; copy < GradientCopies::kCopies; copy++) {
      const int pixel = first_pixel + GradientCopies::line(copy);
      dy.copy(dy_tiles + stage * kLines * kColumns, copy, pixel, pixel < end);
    }
  };

  for (int step = 0; step < kStages - 1; step++) {
    if (step < steps) copy_step(step, step);
    end_copies();
  }
  Core core;
  ColumnSums<T, kColumns, kLines, kCoreThreads> column_sums;
  const bool sums_columns = blockIdx.x == 0 && arguments.dbias;
  int stage = 0;
  for (int step = 0; step < steps; step++) {
    wait_for_copies<kStages - 2>();
    // Behind the barrier the step is there, and nobody reads the one before it, whose place the next copies take.
    __syncthreads();
    const int ahead = step + kStages - 1;
    if (ahead < steps) copy_step(ahead, stage == 0 ? kStages - 1 : stage - 1);
    end_copies();
    core.add(x_tiles + stage * kLines * kRows, dy_tiles + stage * kLines * kColumns);
    if (sums_columns) column_sums.add(dy_tiles + stage * kLines * kColumns);
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }

  core.each_pair([&](int row, int column, float sum, float next) {
    const Quotient at = divide(first_row + row, arguments.padded_channels);
    write_pair(arguments, at.quotient, at.remainder, first_column + column, sum, next);
  });
  if (sums_columns) column_sums.write(arguments, first_column, reinterpret_cast<float*>(memory));
}

// The sum of element `index` of all splits, in their order.
template <typename Sum>
__device__ __forceinline__ float sum_splits(const float* parts, int64_t index, int64_t size, int splits) {
  Sum sum = 0;
#pragma unroll 8
  for (int split = 0; split < splits; split++) sum += parts[split * size + index];
  return static_cast<float>(sum);
}

}  // namespace

#define DIFFUSE_ENTRY(name, Core, columns)                                    \
  extern "C" __global__ void __launch_bounds__(kCoreThreads, kBlocks)         \
      name(const __grid_constant__ Conv2dWeightGradientArguments arguments) { \
    reduce_pixels<Core<kRows, columns>>(arguments);                           \
  }
DIFFUSE_ENTRY(conv2d_weight_gradient_bf16, Bf16Core, kWeightGradientWide)
DIFFUSE_ENTRY(conv2d_weight_gradient_narrow_bf16, Bf16Core, kWeightGradientNarrow)
DIFFUSE_ENTRY(conv2d_weight_gradient_f32, Float32Core, kWeightGradientWide)
DIFFUSE_ENTRY(conv2d_weight_gradient_narrow_f32, Float32Core, kWeightGradientNarrow)
DIFFUSE_ENTRY(conv2d_weight_gradient_tf32, Tf32Core, kWeightGradientWide)
DIFFUSE_ENTRY(conv2d_weight_gradient_narrow_tf32, Tf32Core, kWeightGradientNarrow)
#undef DIFFUSE_ENTRY

extern "C" __global__ void __launch_bounds__(kWeightGradientPatchThreads, kBlocks)
    conv2d_weight_gradient_patch_bf16(const __grid_constant__ Conv2dWeightGradientArguments arguments) {
  reduce_patches<kWeightGradientWide>(arguments);
}
extern "C" __global__ void __launch_bounds__(kWeightGradientPatchThreads, kBlocks)
    conv2d_weight_gradient_patch_narrow_bf16(const __grid_constant__ Conv2dWeightGradientArguments arguments) {
  reduce_patches<kWeightGradientNarrow>(arguments);
}

// Bound by bytes: reads every split's sums once, a weight a thread. dbias, a sum over every pixel of the batch whose
// terms may cancel, is summed in float64.
extern "C" __global__ void __launch_bounds__(kWeightGradientSumThreads)
    conv2d_weight_gradient_sum(const __grid_constant__ Conv2dWeightGradientSumArguments arguments) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWeightGradientSumThreads + threadIdx.x;
  const int64_t channel = index - arguments.weights;
  if (channel < 0)
    arguments.dweight[index] = sum_splits<float>(arguments.dweight_parts, index, arguments.weights, arguments.splits);
  else if (channel < arguments.channels)
    arguments.dbias[channel] = sum_splits<double>(arguments.dbias_parts, channel, arguments.channels, arguments.splits);
}

}  // namespace diffuse::cuda
