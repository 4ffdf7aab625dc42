// Convolutions and their data gradients (ops/conv2d.h), bound by operations of the matrix unit (bf16, tf32) or of the
// general cores (float32).
// @promises mma.sync ldmatrix cp.async ld.global.v4 st.global.v4
//
// Wide, 128 x 128, on the matrix unit: four warps of 64 x 64, the largest whose 128 sums a thread leave registers for
// fragments and addresses (255 a thread, two blocks of 128 threads a multiprocessor). Depth 16 takes a warp 4 KB of
// shared memory for 32 mma of bf16: 64 of the 128 bytes that it delivers a cycle at the full rate of an A100. Warps of
// 64 x 32 would take 96, and with the copies all of them. A step of depth 32 takes a block 16 KB of the L2 cache for
// 2^19 multiply-adds: 32 bytes a cycle at the rate of an A100, 8 to 16 on GPUs of consumers, whose matrix units are
// slower. Three stages are 48 KB: two blocks fit the 100 KB of sm_86, 89 and 120, and one of them multiplies while the
// other starts or writes its outputs.
//
// Square, 64 x 64, where wide tiles would leave multiprocessors idle: warps of 32 x 32, three blocks, four stages since
// a step is shorter and memory as far away. Narrow, 128 x 16, for the few channels of an image. tf32 has the same
// tiles, half as deep.
//
// With patches (gemm/convolution_patch.h) the same tiles. In bf16, of an image 32 wide a wide tile reads 192 pixels
// for its 128: a chunk of 32 channels takes 84 KB of L2 for nine taps instead of 144, 19 bytes a cycle of an A100. What
// they stand for takes 6144 exponentials and as many divisions, 768 cycles of the 16 special functions and some 900 of
// the 64 general cores of a cycle, spread between nine taps whose products take 4608: 8 numbers of a thread behind its
// warp's 64 mma, while the matrix unit works for the other block. (Of an image 64 wide it is 256 pixels for 128; wider
// ones have no patches.) In return the image is neither written to scratch nor read from it: 67 of the 134 MB that 128
// channels of 128 x 32 x 32 pixels take to and fro. Two patches of 12 KB and two stages of weights of 8 are 41 KB, of
// an image 64 wide 49, so that two blocks fit 100 KB. Steps of square and narrow tiles are shorter: three stages.
//
// As tf32 a chunk has 16 channels, whose products take as long; an exact exponential and division are some 40
// operations a number, 1920 cycles of the general cores. Float32 on the general cores, which have no time to spare,
// keeps the way through scratch.
//
// Wide, 128 x 64, on the general cores: 8 x 8 sums a thread, 168 registers, three blocks. A step of depth 16 takes 12
// KB for 2^17 multiply-adds, 12 bytes a cycle at their rate of 128.
#include "gemm/convolution_patch.h"
#include "gemm/matrix_core.h"
#include "gemm/scalar_core.h"

namespace diffuse::cuda {

template <typename T>
using WideMatrix = MatrixCore<T, 128, 128, 64, 64>;
template <typename T>
using SquareMatrix = MatrixCore<T, 64, 64, 32, 32>;
template <typename T>
using NarrowMatrix = MatrixCore<T, 128, 16, 32, 16>;
using WideScalar = ScalarCore<128, 64, 32, 64>;
using SquareScalar = ScalarCore<64, 64, 32, 32>;
using NarrowScalar = ScalarCore<128, 16, 32, 16>;

#define CONVOLUTION(name, Core, tile, blocks, algorithm)                                                         \
  extern "C" __global__ void __launch_bounds__(tile.threads, blocks)                                             \
      name(const __grid_constant__ ConvolutionArguments arguments) {                                             \
    static_assert(Core::kRows == tile.rows && Core::kColumns == tile.columns && Core::kThreads == tile.threads); \
    algorithm<Core, tile.stages>(arguments);                                                                     \
  }

CONVOLUTION(conv2d_wide_bf16, WideMatrix<bf16>, kWideMatrixTile, 2, convolve)
CONVOLUTION(conv2d_square_bf16, SquareMatrix<bf16>, kSquareTile, 3, convolve)
CONVOLUTION(conv2d_narrow_bf16, NarrowMatrix<bf16>, kNarrowTile, 3, convolve)
CONVOLUTION(conv2d_tf32_wide_f32, WideMatrix<float>, kWideMatrixTile, 2, convolve)
CONVOLUTION(conv2d_tf32_square_f32, SquareMatrix<float>, kSquareTile, 3, convolve)
CONVOLUTION(conv2d_tf32_narrow_f32, NarrowMatrix<float>, kNarrowTile, 3, convolve)
CONVOLUTION(conv2d_wide_f32, WideScalar, kWideScalarTile, 3, convolve)
CONVOLUTION(conv2d_square_f32, SquareScalar, kSquareTile, 3, convolve)
CONVOLUTION(conv2d_narrow_f32, NarrowScalar, kNarrowTile, 3, convolve)
CONVOLUTION(conv2d_tf32_patch_wide_f32, WideMatrix<float>, kWidePatchTile, 2, convolve_patches)
CONVOLUTION(conv2d_tf32_patch_square_f32, SquareMatrix<float>, kSquarePatchTile, 3, convolve_patches)
CONVOLUTION(conv2d_tf32_patch_narrow_f32, NarrowMatrix<float>, kNarrowPatchTile, 3, convolve_patches)
CONVOLUTION(conv2d_patch_wide_bf16, WideMatrix<bf16>, kWidePatchTile, 2, convolve_patches)
CONVOLUTION(conv2d_patch_square_bf16, SquareMatrix<bf16>, kSquarePatchTile, 3, convolve_patches)
CONVOLUTION(conv2d_patch_narrow_bf16, NarrowMatrix<bf16>, kNarrowPatchTile, 3, convolve_patches)

}  // namespace diffuse::cuda
