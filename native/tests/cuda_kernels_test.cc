// Every CUDA kernel on every case of kernel_cases.h: it computes what the portable CPU kernel computes, writes its
// outputs completely and nothing else, and the same bits on another run and on another GPU (of the simulator's, each
// runs blocks and warps in an order of its own). Tensors lie in allocations of exactly their size, as slices of wider
// tensors, and at addresses that are aligned to one element only.
#include <cstring>
#include <functional>
#include <optional>

#include "cpu/dispatch.h"
#include "engine/error.h"
#include "engine/workers.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"
#include "tests/kernel_outputs.h"

namespace diffuse::testing {
namespace {

constexpr size_t kGuardBytes = 256;
constexpr int kGuard = 0xff;  // as a number NaN, which spoils what is made of it
// After so many nobody reads on.
constexpr int kMostFailures = 20;

// How the tensors of a case lie in memory.
struct Layout {
  const char* name;
  int64_t gap;        // between the rows of views, in elements
  bool guarded;       // with bytes around them that nobody may write
  int64_t even, odd;  // what the addresses of the tensors of even and of odd index are displaced by, in elements
};
constexpr Layout kPlain{"", 0, false, 0, 0};
constexpr Layout kLayouts[] = {kPlain,
                               {", views", kGap, true, 1, 1},
                               {", wide views", 16, true, 0, 0},
                               {", even tensors displaced", 0, true, 3, 0},
                               {", odd tensors displaced", 0, true, 0, 6}};

size_t element_size(DType dtype) { return dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4; }

// A tensor on the GPU.
class DeviceOperand {
 public:
  DeviceOperand(const std::shared_ptr<Device>& device, const Operand& operand, const Layout& layout, size_t index)
      : before_(layout.guarded ? kGuardBytes + static_cast<size_t>(index % 2 == 0 ? layout.even : layout.odd) *
                                                   element_size(operand.tensor.dtype)
                               : 0),
        bytes_(operand.bytes),
        after_(layout.guarded ? kGuardBytes : 0),
        memory_(device, before_ + bytes_ + after_) {
    std::vector<std::byte> image(memory_.bytes(), std::byte{kGuard});
    std::memcpy(image.data() + before_, operand.memory.get(), bytes_);
    device->upload(memory_.data(), image.data(), image.size());
  }
  std::byte* data() const { return memory_.data() + before_; }

  // Back into the operand's memory. Fails if bytes around it have changed.
  void download(Operand& operand, const std::string& what) const {
    std::vector<std::byte> image(memory_.bytes());
    memory_.device().download(image.data(), memory_.data(), image.size());
    for (size_t i = 0; i < image.size(); i++)
      if ((i < before_ || i >= before_ + bytes_) && image[i] != std::byte{kGuard})
        failed(what + text(": wrote %lld bytes from the beginning of a tensor of %zu bytes",
                           static_cast<long long>(i) - static_cast<long long>(before_), bytes_));
    std::memcpy(operand.memory.get(), image.data() + before_, bytes_);
  }

 private:
  size_t before_, bytes_, after_;
  Memory memory_;
};

// A case on the GPU.
class DeviceCase {
 public:
  DeviceCase(const std::shared_ptr<Device>& device, const KernelCase& c, const Layout& layout)
      : device_(device),
        case_(c),
        operands_(operands_of(c, layout.gap)),
        what_(describe(c) + " on " + device->name() + layout.name) {
    for (const Operand& operand : operands_) {
      placed_.push_back(operand.memory ? std::make_unique<DeviceOperand>(device, operand, layout, placed_.size())
                                       : nullptr);
      tensors_.push_back(operand.tensor);
      if (operand.memory) tensors_.back().data = placed_.back()->data();
    }
  }

  // Lets the call write its first output over another tensor.
  void alias(size_t with) {
    tensors_[0].data = tensors_[with].data;
    aliased_ = with;
  }

  Outputs run() {
    const int kernel = index_of(case_.kernel);
    Call call{tensors_.data(), case_.attributes.data(), nullptr, nullptr};
    const size_t bytes = device_->prepare(kernel, call);
    std::optional<Memory> scratch;
    if (bytes > 0) {
      const std::vector<std::byte> nothing(bytes, std::byte{0xff});
      scratch.emplace(device_, bytes);
      device_->upload(scratch->data(), nothing.data(), bytes);
      call.scratch = scratch->data();
    }
    device_->launch(kernel, call, nullptr);
    device_->synchronise();
    const Signature& signature = signatures()[static_cast<size_t>(kernel)];
    for (size_t i = 0; i < operands_.size(); i++) {
      if (!placed_[i]) continue;
      const std::vector<std::byte> given(operands_[i].memory.get(), operands_[i].memory.get() + operands_[i].bytes);
      placed_[i]->download(operands_[i], what_ + ", " + signature.tensors[i].name);
      if (!signature.tensors[i].output && i != aliased_)
        check(std::memcmp(given.data(), operands_[i].memory.get(), given.size()) == 0,
              what_ + ": changed " + signature.tensors[i].name);
    }
    if (aliased_ > 0) operands_[0].tensor.data = operands_[aliased_].tensor.data;
    return outputs_of(case_, what_, operands_);
  }

  const std::string& what() const { return what_; }

 private:
  std::shared_ptr<Device> device_;
  const KernelCase& case_;
  std::vector<Operand> operands_;
  std::vector<std::unique_ptr<DeviceOperand>> placed_;
  std::vector<Tensor> tensors_;
  size_t aliased_ = 0;
  std::string what_;
};

Outputs run_on_cpu(const KernelCase& c) {
  static Workers workers(1);
  expect_signature(c);
  const std::vector<Operand> operands = operands_of(c, 0);
  std::vector<Tensor> tensors;
  for (const Operand& operand : operands) tensors.push_back(operand.tensor);
  const Kernel& kernel = cpu_kernels("portable")[index_of(c.kernel)];
  Call call{tensors.data(), c.attributes.data(), nullptr, &workers};
  const Bytes scratch = allocate(kernel.prepare(call));
  call.scratch = scratch.get();
  kernel.run(call);
  return outputs_of(c, describe(c) + " on the CPU", operands);
}

void test_layout(const KernelCase& c, const Layout& layout, const Outputs& expected) {
  DeviceCase first(shared_gpu(0), c, layout);
  const Outputs outputs = first.run();
  expect_close(c, first.what(), outputs, expected, "portable");
  if (const auto other = shared_gpu(1)) {
    DeviceCase again(other, c, layout);
    expect_same_bits(again.what(), again.run(), outputs, "on the first GPU");
  }
}

void test_plain(const KernelCase& c) {
  DeviceCase first(shared_gpu(0), c, kPlain), again(shared_gpu(0), c, kPlain);
  const Outputs outputs = first.run();
  expect_same_bits(again.what(), again.run(), outputs, "the run before");
  const auto& specs = signatures()[static_cast<size_t>(index_of(c.kernel))].tensors;
  for (size_t i = 0; i < specs.size(); i++) {
    if (!kInPlace.count(c.kernel + " " + specs[i].name) || c.tensors[0].shape.empty()) continue;
    DeviceCase over(shared_gpu(0), c, kPlain);
    over.alias(i);
    expect_same_bits(over.what() + " over " + specs[i].name, over.run(), {{specs[0].name, outputs.at(specs[0].name)}},
                     "elsewhere");
  }
}

// Runs all cases, so that one look shows all that is wrong.
void test_kernel(const char* kernel) {
  shared_gpu(0);  // fails once, not in each case, where there is none
  int attempts = 0, failures = 0;
  const auto attempt = [&](const KernelCase& c, const char* layout, const std::function<void()>& body) {
    if (failures == kMostFailures) return;
    attempts++;
    try {
      body();
      return;
    } catch (const Error& error) {
      std::printf("        %s%s: %s: %s\n", describe(c).c_str(), layout, error.code.c_str(), error.message.c_str());
    } catch (const std::runtime_error& error) {
      std::printf("        %s\n", error.what());
    }
    failures++;
    close_shared_gpus();
  };
  for (const KernelCase& c : kernel_cases()) {
    if (c.kernel != kernel) continue;
    const Outputs expected = run_on_cpu(c);
    if (!c.of_views) attempt(c, "", [&] { test_plain(c); });
    for (const Layout& layout : kLayouts)
      if ((!quick() || &layout == kLayouts) && (!c.of_views || layout.gap > 0))
        attempt(c, layout.name, [&] { test_layout(c, layout, expected); });
  }
  check(failures == 0, text("%d of %d runs failed", failures, attempts));
}

}  // namespace

#define KERNEL(name, flags, signature)                 \
  static void test_of_##name() { test_kernel(#name); } \
  static const Registration registration_of_##name(#name, test_of_##name);
#include "ops/kernels.def"
#undef KERNEL

// Fewer channels than are read at once, in rows that are aligned to them.
TEST(cuda_convolutions_read_slices_of_eight_channels) {
  for (const KernelCase& c : kernel_cases()) {
    if (c.kernel != "conv2d_weight_gradient" || !has_bf16(c)) continue;
    const int64_t C = c.tensors[2].shape.back();
    if (C < 8) test_layout(c, {", slices of eight channels", 8 - C, true, 0, 0}, run_on_cpu(c));
  }
}

// Of images of float32: tf32 has 3 bits more than bf16. Another GPU, which takes larger tiles, has them as views too,
// none of them aligned.
TEST(products_as_tf32) {
  std::vector<std::pair<std::shared_ptr<Device>, const Layout*>> gpus{{open_gpu(0, true), &kLayouts[0]}};
  if (shared_gpu(1))
    for (const int layout : {0, 1}) gpus.emplace_back(open_gpu(1, true), &kLayouts[layout]);
  for (const KernelCase& c : kernel_cases()) {
    const std::string op = c.kernel.substr(0, c.kernel.find('_'));
    if ((op != "conv2d" && op != "linear" && op != "attention") || has_bf16(c)) continue;
    const Outputs expected = run_on_cpu(c);
    for (const auto& [gpu, layout] : gpus) {
      DeviceCase on_gpu(gpu, c, *layout);
      expect_close(c, on_gpu.what() + " as tf32", on_gpu.run(), expected, "portable", 1.0 / 512);
    }
  }
}

}  // namespace diffuse::testing
