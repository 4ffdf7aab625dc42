#include "tests/cuda_calls.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include "cpu/dispatch.h"
#include "engine/error.h"
#include "engine/workers.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"
#include "tests/kernel_outputs.h"

namespace diffuse::testing {
namespace {

// What a call wrote, tensor by tensor, or why it failed.
struct Result {
  std::vector<std::vector<float>> outputs;
  std::string error;
};

// The tensors of a call in the CPU's memory.
class HostCall {
 public:
  explicit HostCall(const KernelCall& c) {
    for (const Numbers& numbers : c.tensors) {
      Tensor tensor;
      tensor.dtype = numbers.dtype;
      tensor.rank = static_cast<int>(numbers.shape.size());
      for (int i = 0; i < tensor.rank; i++) tensor.shape[i] = numbers.shape[static_cast<size_t>(i)];
      tensor.row_stride = channels(tensor);
      const size_t count = tensor.rank ? static_cast<size_t>(elements(tensor)) : 0;
      std::vector<std::byte> bytes(count * size_of(numbers.dtype), std::byte{0xff});
      for (size_t i = 0; i < numbers.values.size(); i++) put(bytes, numbers.dtype, i, numbers.values[i]);
      memory.push_back(std::move(bytes));
      tensors.push_back(tensor);
    }
    for (size_t i = 0; i < tensors.size(); i++) tensors[i].data = tensors[i].rank ? memory[i].data() : nullptr;
  }

  static size_t size_of(DType dtype) { return dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4; }

  std::vector<std::vector<float>> outputs(const KernelCall& c) const {
    const Signature& signature = signatures()[static_cast<size_t>(index_of(c.kernel))];
    std::vector<std::vector<float>> result;
    for (size_t i = 0; i < tensors.size(); i++) {
      if (!signature.tensors[i].output || memory[i].empty()) continue;
      result.emplace_back();
      const size_t size = size_of(tensors[i].dtype);
      for (size_t at = 0; at < memory[i].size(); at += size) {
        float value = 0;  // a bf16 is the upper half of a float32
        std::memcpy(reinterpret_cast<std::byte*>(&value) + sizeof value - size, memory[i].data() + at, size);
        result.back().push_back(value);
      }
    }
    return result;
  }

  std::vector<Tensor> tensors;
  std::vector<std::vector<std::byte>> memory;

 private:
  static void put(std::vector<std::byte>& bytes, DType dtype, size_t index, double value) {
    const auto set = [&](auto number) { std::memcpy(bytes.data() + index * sizeof number, &number, sizeof number); };
    if (dtype == DType::u8) return set(static_cast<uint8_t>(value));
    if (dtype == DType::i32) return set(static_cast<int32_t>(value));
    if (dtype == DType::bf16) return set(nearest(static_cast<float>(value)));
    set(static_cast<float>(value));
  }
};

Result run_on_cpu(const KernelCall& c) {
  static Workers workers(1);
  HostCall host(c);
  const Kernel& kernel = cpu_kernels("portable")[index_of(c.kernel)];
  Call call{host.tensors.data(), c.attributes.data(), nullptr, &workers};
  const Bytes scratch = allocate(kernel.prepare(call));
  call.scratch = scratch.get();
  try {
    kernel.run(call);
  } catch (const Error& error) {
    return {{}, error.code + ": " + error.message};
  }
  return {host.outputs(c), ""};
}

Result run_on_gpu(const KernelCall& c, int64_t displacement) {
  const auto device = c.tf32 ? open_gpu(0, true) : shared_gpu(0);
  HostCall host(c);
  std::vector<std::unique_ptr<Memory>> placed;
  std::vector<Tensor> tensors = host.tensors;
  for (size_t i = 0; i < tensors.size(); i++) {
    const size_t before = static_cast<size_t>(displacement) * HostCall::size_of(tensors[i].dtype);
    placed.push_back(tensors[i].data ? std::make_unique<Memory>(device, before + host.memory[i].size()) : nullptr);
    if (!placed[i]) continue;
    std::byte* const data = placed[i]->data() + before;
    device->upload(data, host.memory[i].data(), host.memory[i].size());
    tensors[i].data = data;
  }
  Call call{tensors.data(), c.attributes.data(), nullptr, nullptr};
  const int kernel = index_of(c.kernel);
  std::optional<Memory> scratch;
  if (const size_t bytes = device->prepare(kernel, call)) {
    scratch.emplace(device, bytes);
    call.scratch = scratch->data();
  }
  try {
    device->launch(kernel, call, nullptr);
    device->synchronise();
  } catch (const Error& error) {
    return {{}, error.code + ": " + error.message};
  }
  for (size_t i = 0; i < tensors.size(); i++)
    if (placed[i])
      device->download(host.memory[i].data(), static_cast<const std::byte*>(tensors[i].data), host.memory[i].size());
  return {host.outputs(c), ""};
}

}  // namespace

Numbers integers(std::vector<int64_t> shape, std::vector<double> values) {
  return {std::move(shape), std::move(values), DType::i32};
}

Numbers generate(std::vector<int64_t> shape, const std::function<double(int64_t)>& number, DType dtype) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  Numbers result{std::move(shape), {}, dtype};
  for (int64_t i = 0; i < count; i++) result.values.push_back(number(i));
  return result;
}

Numbers noise(std::vector<int64_t> shape, uint64_t seed, double low, double high) {
  Noise source(seed);
  return generate(std::move(shape), [&](int64_t) { return low + (high - low) * source.next(); });
}

std::vector<std::vector<float>> outputs_on_cpu(const KernelCall& c) {
  const Result result = run_on_cpu(c);
  check(result.error.empty(), c.kernel + ": " + result.error);
  return result.outputs;
}

void expect_as_on_cpu(const KernelCall& c, const std::string& what, double tolerance, int64_t displacement) {
  const Result expected = run_on_cpu(c), actual = run_on_gpu(c, displacement);
  const std::string name = c.kernel + ", " + what;
  check(expected.error.empty() && actual.error.empty(), name + ": " + expected.error + actual.error);
  for (size_t t = 0; t < expected.outputs.size(); t++) {
    const std::vector<float>&right = expected.outputs[t], &found = actual.outputs[t];
    double largest = 0;
    for (const float value : right)
      if (std::isfinite(value)) largest = std::fmax(largest, std::fabs(value));
    for (size_t i = 0; i < right.size(); i++) {
      const bool same = std::memcmp(&right[i], &found[i], sizeof right[i]) == 0 ||
                        (std::isnan(right[i]) && std::isnan(found[i])) ||
                        std::fabs(static_cast<double>(right[i]) - found[i]) <= tolerance * largest;
      check(same, name + text(": output %zu[%zu] is %.9g, not %.9g", t, i, static_cast<double>(found[i]),
                              static_cast<double>(right[i])));
    }
  }
}

void expect_refused_as_on_cpu(const KernelCall& c) {
  const Result expected = run_on_cpu(c), actual = run_on_gpu(c, 0);
  check(!expected.error.empty(), c.kernel + ": the CPU refuses nothing");
  check(actual.error == expected.error, c.kernel + ": says '" + actual.error + "', not '" + expected.error + "'");
}

}  // namespace diffuse::testing
