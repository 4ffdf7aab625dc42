// What kernels found wrong with their data, as errors with words.
#pragma once

#include <optional>

#include "cuda/context.h"
#include "engine/error.h"

namespace diffuse::cuda {

// What a kernel's failure means, in the words of its CPU twin.
Error explain(const Failure& failure);

// The place in device memory where kernels write it. Used on the executor's thread only.
class FailureBuffer {
 public:
  explicit FailureBuffer(const Context& context);

  Failure* device() const { return reinterpret_cast<Failure*>(device_.get()); }
  // Puts a copy to the host on the stream.
  void fetch() const;
  // After the stream has been waited for: what was found, if anything; forgets it.
  std::optional<Failure> take();

 private:
  void clear() const;

  const Context& context_;
  Owned<DevicePointer> device_;
  Owned<void*> host_;
};

}  // namespace diffuse::cuda
