// Elementwise arithmetic on the GPU (ops/elementwise.h has the formulas, cuda/ops/elementwise.cu the kernels).
#include "ops/elementwise.h"

#include "cuda/arguments/elementwise.h"
#include "cuda/ops/kernels.h"
#include "cuda/views.h"

namespace diffuse::cuda {
namespace {

// y = f(a, b), the attributes of the call at hand.
void launch(const char* entry, const Tensor& y, ElementwiseArguments arguments, Launcher& launcher) {
  arguments.attributes = launcher.attributes();
  launcher.launch("elementwise", std::string(entry) + image_suffix(y),
                  grid_for_image(y, kElementwiseThreads, launcher.limits()), kElementwiseThreads, arguments);
}

void launch_unary(const char* entry, const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1];
  const auto [to, from] = flat_views(y, x);
  launch(entry, y, {to, from}, launcher);
}

void launch_binary(const char* entry, const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &a = call.tensors[1], &b = call.tensors[2];
  const auto [to, left, right] = flat_views(y, a, b);
  launch(entry, y, {to, left, right}, launcher);
}

// With one number for each sample, in the third tensor.
void launch_samples(const char* entry, const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1], &numbers = call.tensors[2];
  const auto [to, from] = views_of_rows(y.shape[0], y, x);
  launch(entry, y, {to, from, view(numbers), nullptr, to.rows / y.shape[0]}, launcher);
}

}  // namespace

size_t copy_scratch(const Call&, const Limits&) { return 0; }
void copy(const Call& call, Launcher& launcher) { launch_unary("copy_", call, launcher); }

size_t cast_scratch(const Call&, const Limits&) { return 0; }
void cast(const Call& call, Launcher& launcher) {
  launch_unary(call.tensors[0].dtype == call.tensors[1].dtype ? "copy_" : "cast_", call, launcher);
}

size_t fill_scratch(const Call&, const Limits&) { return 0; }
void fill(const Call& call, Launcher& launcher) {
  const auto [y] = flat_views(call.tensors[0]);
  launch("fill_", call.tensors[0], {y}, launcher);
}

size_t scale_scratch(const Call&, const Limits&) { return 0; }
void scale(const Call& call, Launcher& launcher) { launch_unary("scale_", call, launcher); }

size_t add_scratch(const Call&, const Limits&) { return 0; }
void add(const Call& call, Launcher& launcher) { launch_binary("add_", call, launcher); }

size_t multiply_scratch(const Call&, const Limits&) { return 0; }
void multiply(const Call& call, Launcher& launcher) { launch_binary("multiply_", call, launcher); }

size_t add_channels_scratch(const Call&, const Limits&) { return 0; }
void add_channels(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1], &t = call.tensors[2];
  launch("add_channels_", y, {view(y), view(x), view(t), nullptr, rows(y) / y.shape[0]}, launcher);
}

size_t multiply_samples_scratch(const Call&, const Limits&) { return 0; }
void multiply_samples(const Call& call, Launcher& launcher) { launch_samples("multiply_samples_", call, launcher); }

size_t divide_samples_scratch(const Call&, const Limits&) { return 0; }
void divide_samples(const Call& call, Launcher& launcher) { launch_samples("divide_samples_", call, launcher); }

}  // namespace diffuse::cuda
