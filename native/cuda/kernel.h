// The host's side of a CUDA kernel: how much scratch a call needs, and which entries of which image it launches.
//
// Shapes and attributes have been checked by the portable CPU kernel's prepare() before either is called, so that both
// backends refuse the same calls in the same words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "cuda/arguments/view.h"
#include "engine/kernel.h"

namespace diffuse::cuda {

// What launches depend on of a GPU.
struct Limits {
  int multiprocessors;
  int threads_per_multiprocessor;  // at once
  int major, minor;                // compute capability
  size_t shared_bytes;             // of one block, opted in
  size_t shared_bytes_per_multiprocessor;
};

struct Grid {
  int64_t x = 1, y = 1, z = 1;
};

// Launches kernels on the device's stream, for one call.
class Launcher {
 public:
  virtual ~Launcher() = default;

  // Runs an entry ("silu_forward_f32") of an image ("silu", from cuda/ops/silu.cu) with one struct of arguments, which
  // is copied before this returns. A block is `threads` wide. More than 48 KB of dynamic shared memory is opted in
  // here. Throws ERR_DEVICE with the driver's own name of what went wrong.
  template <typename Arguments>
  void launch(const char* image, const std::string& entry, Grid grid, int threads, const Arguments& arguments,
              size_t shared_bytes = 0) {
    static_assert(__is_trivially_copyable(Arguments), "arguments are copied as bytes");
    Arguments bytes = arguments;
    // Launches are compared by their bytes: what lies between members must not tell them apart. GCC 12 clears members
    // too where there are arrays of structs: those may have nothing between members.
#if __has_builtin(__builtin_clear_padding)
    if constexpr (!std::has_unique_object_representations_v<Arguments>) __builtin_clear_padding(&bytes);
#endif
    launch_bytes(image, entry.c_str(), grid, threads, &bytes, sizeof bytes, shared_bytes);
  }

  // The attributes of the call in device memory, as many as its signature has. What may change from run to run (steps,
  // rates, coefficients) is read there by the kernel, so that a captured graph of launches can be replayed; what
  // decides how to launch (stride, silu, chunk, heads) is read on the host.
  virtual const double* attributes() = 0;
  // Where the kernel may say what is wrong with its data.
  virtual Failure* failure() = 0;
  // The call's scratch memory, as many bytes as scratch() said; aligned to 256.
  virtual std::byte* scratch() = 0;
  virtual void zero(void* device_memory, size_t bytes) = 0;
  virtual const Limits& limits() const = 0;
  // The index of the call's kernel in ops/kernels.def.
  virtual int kernel() const = 0;
  // Float32 images may be multiplied as tf32.
  virtual bool tf32() const = 0;

 protected:
  virtual void launch_bytes(const char* image, const char* entry, Grid grid, int threads, const void* arguments,
                            size_t argument_bytes, size_t shared_bytes) = 0;
};

// One row of the table (cuda/table.cc), in the order of ops/kernels.def.
struct CudaKernel {
  const char* name;
  size_t (*scratch)(const Call&, const Limits&);
  void (*run)(const Call&, Launcher&);
};

// The rows of a tensor; all zeros where it is absent.
View view(const Tensor& tensor);
// "f32" or "bf16": how entries of images end.
const char* image_suffix(const Tensor& tensor);

static inline int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

}  // namespace diffuse::cuda
