// Permuted copies between the engine's layouts and those of files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace diffuse {

// A float32 tensor in a buffer, and the order in which a file wants its dimensions: file dimension i is native dimension order[i].
struct Permutation {
  // Throws ERR_SHAPE or ERR_ARGUMENT unless the tensor lies inside a buffer of `available` bytes and `order` is a permutation.
  Permutation(int64_t byte_offset, std::vector<int64_t> shape, std::vector<int64_t> order, size_t available);

  size_t bytes() const { return elements * 4; }
  void apply(std::byte* permuted, const std::byte* native) const;
  void undo(std::byte* native, const std::byte* permuted) const;

  size_t byte_offset;
  size_t elements = 1;

 private:
  // Calls visit(native index, permuted index) for every element, in the permuted order.
  template <typename Visit>
  void walk(Visit visit) const;

  std::vector<int64_t> sizes_;    // of the permuted dimensions
  std::vector<int64_t> strides_;  // native strides of the permuted dimensions
};

}  // namespace diffuse
