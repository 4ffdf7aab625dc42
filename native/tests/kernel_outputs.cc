#include "tests/kernel_outputs.h"

#include <cmath>
#include <cstring>

#include "tests/harness.h"

namespace diffuse::testing {

int index_of(const std::string& kernel) {
  for (size_t i = 0; i < signatures().size(); i++)
    if (signatures()[i].kernel == kernel) return static_cast<int>(i);
  failed("ops/kernels.def has no kernel " + kernel);
}

std::string describe(const KernelCase& c) {
  std::string shapes;
  for (const auto& t : c.tensors) {
    if (!shapes.empty()) shapes += ", ";
    for (size_t i = 0; i < t.shape.size(); i++) {
      shapes += i ? "x" : "";
      shapes += std::to_string(t.shape[i]);
    }
    if (t.shape.empty()) shapes += "absent";
    if (!t.shape.empty() && t.format == Format::bf16) shapes += " bf16";
  }
  return c.kernel + "(" + shapes + ")";
}

void expect_signature(const KernelCase& c) {
  const Signature& signature = signatures()[static_cast<size_t>(index_of(c.kernel))];
  check(c.tensors.size() == signature.tensors.size() && c.attributes.size() == signature.attributes.size(),
        describe(c) + ": the case does not fit the signature " + signature.text);
}

std::vector<Operand> operands_of(const KernelCase& c, int64_t gap) {
  const Signature& signature = signatures()[static_cast<size_t>(index_of(c.kernel))];
  std::vector<Operand> operands;
  for (size_t i = 0; i < c.tensors.size(); i++) {
    const bool fill = !signature.tensors[i].output || signature.uninterruptible;
    operands.emplace_back(c.tensors[i], gap, fill, i + 1);
  }
  return operands;
}

Outputs outputs_of(const KernelCase& c, const std::string& what, const std::vector<Operand>& operands) {
  const Signature& signature = signatures()[static_cast<size_t>(index_of(c.kernel))];
  Outputs outputs;
  for (size_t i = 0; i < operands.size(); i++) {
    const TensorSpec& spec = signature.tensors[i];
    if (!operands[i].holds_floats()) continue;
    Output& output = outputs[spec.name];
    output.rounded = operands[i].tensor.dtype == DType::bf16;
    operands[i].each([&](int64_t at, bool inside) {
      float value = operands[i].get(at);
      if (!inside && value != kUntouched) failed(what + ": wrote beside the channels of " + spec.name);
      if (!inside || !spec.output) return;
      if (!std::isfinite(value))
        failed(what + text(": %s[%lld] is %g", spec.name.c_str(), static_cast<long long>(at), value));
      output.values.push_back(value);
    });
  }
  return outputs;
}

namespace {

// Kernels that may round what they multiply to bf16 where images are.
bool rounds_products(const KernelCase& c) {
  if (!has_bf16(c)) return false;
  for (const char* name : {"conv2d_", "linear_", "attention_"})
    if (c.kernel.rfind(name, 0) == 0) return true;
  return false;
}

}  // namespace

void expect_close(const KernelCase& c, const std::string& what, const Outputs& actual, const Outputs& expected,
                  const char* from, double least_tolerance) {
  for (const auto& [name, output] : expected) {
    const std::vector<float>&values = output.values, &others = actual.at(name).values;
    const double usual = rounds_products(c) ? 1.0 / 64 : actual.at(name).rounded ? 1.0 / 128 : 1e-4;
    const double tolerance = std::fmax(usual, least_tolerance);
    double largest = 1e-3, difference = 0;
    for (size_t i = 0; i < values.size(); i++) {
      largest = std::fmax(largest, std::fabs(values[i]));
      difference = std::fmax(difference, std::fabs(values[i] - others[i]));
    }
    check(difference <= tolerance * largest,
          what + text(": %s differs by %g of %g from %s", name.c_str(), difference, largest, from));
  }
}

void expect_same_bits(const std::string& what, const Outputs& actual, const Outputs& expected, const char* from) {
  for (const auto& [name, output] : expected) {
    const std::vector<float>&values = output.values, &others = actual.at(name).values;
    check(values.size() == others.size() &&
              (values.empty() || std::memcmp(values.data(), others.data(), 4 * values.size()) == 0),
          what + ": " + name + " has other bits than " + from);
  }
}

const std::set<std::string> kInPlace{"silu_forward x",
                                     "silu_backward dy",
                                     "silu_backward x",
                                     "scale x",
                                     "add a",
                                     "add b",
                                     "add_channels x",
                                     "multiply a",
                                     "multiply b",
                                     "multiply_samples x",
                                     "divide_samples x",
                                     "softmax_cross_entropy_backward logits",
                                     "weighted_mse_backward prediction",
                                     "weighted_mse_backward target",
                                     "sampler_update x",
                                     "scale_shift_forward x",
                                     "dropout x",
                                     "normalise_forward x",
                                     "scale_shift_backward dy",
                                     "normalise_backward dy",
                                     "normalise_gradient dz"};

}  // namespace diffuse::testing
