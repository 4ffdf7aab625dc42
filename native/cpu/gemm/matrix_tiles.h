// The matrix unit that some CPUs have (Intel's AMX): eight registers, tiles of 16 rows of 64 bytes. One instruction
// adds the product of two tiles of bf16 to a tile of float32 sums:
//
//   C[16 rows][16 columns] += A[16 rows][32] B[32][16 columns]
//
// B lies in pairs: [depth / 2][16 columns][2]. 16 times the multiply-adds of the vector units, on data from L2: with
// 2 x 2 tiles of sums, 2400 of 2700 GFLOP/s a core on a Sapphire Rapids.
//
// Sums are float32, rounded to the nearest; numbers below 1e-38 count as zero.
#pragma once

#include "cpu/simd.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

#if defined(__AMX_BF16__)
constexpr bool kMatrixUnit = true;
#else
constexpr bool kMatrixUnit = false;
#endif

constexpr int kTileLines = 16;                            // rows of A and C
constexpr int kTileDepth = 32;                            // bf16 of a row of A
constexpr int kTileColumns = 16;                          // of B and C
constexpr int kTileElements = kTileDepth * kTileColumns;  // of B, bf16

#if defined(__AMX_BF16__)

// The tile registers of this thread, set up for whole tiles while one of these lives.
class TileRegisters {
 public:
  TileRegisters() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; i++) {
      config.row_bytes[i] = 64;
      config.rows[i] = kTileLines;
    }
    asm volatile("" : : "r"(&config) : "memory");  // gcc believes that the next line reads 8 bytes
    _tile_loadconfig(&config);
  }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

// The compiler does not know that instructions on tiles read memory and write it: before those that read what was just
// packed, and after those that write what is read next.
DIFFUSE_INLINE void memory_fence() { asm volatile("" : : : "memory"); }

// The first registers, which hold sums. (Their numbers are part of the instructions: no loop counts them.)
template <int Count>
DIFFUSE_INLINE void zero_tiles() {
  static_assert(Count == 4 || Count == 6);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if constexpr (Count == 6) {
    _tile_zero(4);
    _tile_zero(5);
  }
}
template <int Count>
DIFFUSE_INLINE void store_tiles(float (&to)[Count][kTileLines * kTileColumns]) {
  static_assert(Count == 4 || Count == 6);
  constexpr int kLine = kTileColumns * sizeof(float);
  _tile_stored(0, to[0], kLine);
  _tile_stored(1, to[1], kLine);
  _tile_stored(2, to[2], kLine);
  _tile_stored(3, to[3], kLine);
  if constexpr (Count == 6) {
    _tile_stored(4, to[4], kLine);
    _tile_stored(5, to[5], kLine);
  }
  asm volatile("" : : "r"(to) : "memory");  // as memory_fence(), for an array on the stack
}

#endif

// Two vectors of numbers as words of pairs: what a row of B is made of.
DIFFUSE_INLINE void store_pairs(bf16* to, Vec even, Vec odd) {
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  const Words words = __builtin_convertvector(narrow(even), Words) | __builtin_convertvector(narrow(odd), Words) << 16;
  std::memcpy(to, &words, sizeof words);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
