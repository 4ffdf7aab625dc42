#include "engine/layout.h"

#include "engine/error.h"

namespace diffuse {

Permutation::Permutation(int64_t offset, std::vector<int64_t> shape, std::vector<int64_t> order, size_t available)
    : byte_offset(static_cast<size_t>(offset)) {
  const size_t rank = shape.size();
  if (rank != order.size() || rank > 8) throw Error("ERR_ARGUMENT", "shape and permutation must have the same length");
  std::vector<int64_t> strides(rank);
  for (size_t i = rank; i-- > 0;) {
    strides[i] = static_cast<int64_t>(elements);
    if (shape[i] < 1 || elements > available / static_cast<size_t>(shape[i]))
      throw Error("ERR_SHAPE", "the tensor reaches outside its buffer");
    elements *= static_cast<size_t>(shape[i]);
  }
  if (offset < 0 || offset % 4 || byte_offset > available || bytes() > available - byte_offset)
    throw Error("ERR_SHAPE", "the tensor reaches outside its buffer");
  std::vector<bool> seen(rank);
  for (int64_t dimension : order) {
    if (dimension < 0 || dimension >= static_cast<int64_t>(rank) || seen[dimension])
      throw Error("ERR_ARGUMENT", "the permutation must name each dimension once");
    seen[dimension] = true;
    sizes_.push_back(shape[dimension]);
    strides_.push_back(strides[dimension]);
  }
}

template <typename Visit>
void Permutation::walk(Visit visit) const {
  std::vector<int64_t> index(sizes_.size());
  int64_t native = 0;
  for (size_t permuted = 0; permuted < elements; permuted++) {
    visit(native, permuted);
    for (size_t d = sizes_.size(); d-- > 0;) {
      native += strides_[d];
      if (++index[d] < sizes_[d]) break;
      native -= sizes_[d] * strides_[d];
      index[d] = 0;
    }
  }
}

void Permutation::apply(std::byte* permuted, const std::byte* native) const {
  auto* to = reinterpret_cast<float*>(permuted);
  const auto* from = reinterpret_cast<const float*>(native);
  walk([&](int64_t n, size_t p) { to[p] = from[n]; });
}

void Permutation::undo(std::byte* native, const std::byte* permuted) const {
  auto* to = reinterpret_cast<float*>(native);
  const auto* from = reinterpret_cast<const float*>(permuted);
  walk([&](int64_t n, size_t p) { to[n] = from[p]; });
}

}  // namespace diffuse
