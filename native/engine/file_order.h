// The order of weights in files against the order on the device.
#pragma once

#include <algorithm>
#include <cstddef>

namespace diffuse {

// A weight is [outputs, inputs, taps] in files of PyTorch and [taps, inputs, outputs] on the device, outputs innermost
// because kernels are vectors over them. A linear map has one tap.
struct FileOrder {
  size_t taps = 0, inputs = 0, outputs = 0;

  size_t count() const { return taps * inputs * outputs; }
  // Outputs are moved in blocks of one cache line: a line on the device, as many sequential streams in the file.
  size_t blocks() const { return (outputs + kBlock - 1) / kBlock; }

  size_t block_outputs(size_t block) const { return std::min(kBlock, outputs - block * kBlock); }
  // Elements of the file before a block.
  size_t block_offset(size_t block) const { return block * kBlock * inputs * taps; }

  static constexpr size_t kBlock = 16;
};

// Moves one block of outputs from the file's order to the device's; `file` is the block's first element. Blocks may be
// moved in parallel.
inline void from_file_order(float* device, const float* file, const FileOrder& order, size_t block) {
  const size_t begin = block * FileOrder::kBlock, count = order.block_outputs(block);
  const size_t row = order.inputs * order.taps;
  for (size_t input = 0; input < order.inputs; input++)
    for (size_t tap = 0; tap < order.taps; tap++) {
      float* to = device + (tap * order.inputs + input) * order.outputs + begin;
      const float* from = file + input * order.taps + tap;
      for (size_t output = 0; output < count; output++) to[output] = from[output * row];
    }
}

// The inverse of from_file_order.
inline void to_file_order(float* file, const float* device, const FileOrder& order, size_t block) {
  const size_t begin = block * FileOrder::kBlock, count = order.block_outputs(block);
  const size_t row = order.inputs * order.taps;
  for (size_t input = 0; input < order.inputs; input++)
    for (size_t tap = 0; tap < order.taps; tap++) {
      const float* from = device + (tap * order.inputs + input) * order.outputs + begin;
      float* to = file + input * order.taps + tap;
      for (size_t output = 0; output < count; output++) to[output * row] = from[output];
    }
}

}  // namespace diffuse
