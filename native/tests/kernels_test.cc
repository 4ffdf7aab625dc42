// Every kernel, on every instruction set of this CPU: outputs are written completely and nothing else is (tensors and
// scratch lie in blocks of exactly their size, so that the address sanitizer sees one element too far), bits are equal
// for any number of threads, instruction sets agree, images of bf16 give what images of float32 give, and tensors that
// do not fit are refused.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>

#include "cpu/dispatch.h"
#include "engine/error.h"
#include "engine/signature.h"
#include "engine/workers.h"
#include "tests/harness.h"
#include "tests/kernel_cases.h"
#include "tests/resources.h"

namespace diffuse::testing {
namespace {

constexpr int64_t kGap = 3;          // channels of the wider tensor that a view leaves out
constexpr float kUntouched = 12352;  // what they hold, a number of either format
constexpr uint8_t kUntouchedByte = 99;

int index_of(const std::string& kernel) {
  for (size_t i = 0; i < signatures().size(); i++)
    if (signatures()[i].kernel == kernel) return static_cast<int>(i);
  failed("ops/kernels.def has no kernel " + kernel);
}

// Numbers in [0, 1), the same on every run.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  double next() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return static_cast<double>(state_ >> 40) / (1 << 24);
  }

 private:
  uint64_t state_;
};

using Bytes = std::unique_ptr<std::byte, decltype(&std::free)>;

// 64-byte aligned like every tensor and scratch of a program; all bits set, which reads as NaN.
Bytes allocate(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, bytes ? bytes : 1) != 0) failed(text("no memory for %zu bytes", bytes));
  std::memset(memory, 0xff, bytes);
  return {static_cast<std::byte*>(memory), &std::free};
}

DType dtype_of(const TensorCase& c) {
  return c.values == Values::bytes ? DType::u8 : c.values == Values::indices ? DType::i32 : DType::f32;
}

bf16 rounded(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
float widened(bf16 x) {
  uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// One tensor of a call with its memory.
struct Operand {
  Tensor tensor;
  Bytes memory{nullptr, &std::free};

  // `round`: to numbers that bf16 can represent.
  Operand(const TensorCase& c, DType dtype, bool view, bool fill, bool round, uint64_t seed) {
    if (c.shape.empty()) return;
    tensor.dtype = dtype;
    tensor.rank = static_cast<int>(c.shape.size());
    for (int i = 0; i < tensor.rank; i++) tensor.shape[i] = c.shape[static_cast<size_t>(i)];
    tensor.row_stride = channels(tensor) + (view && c.may_be_view ? kGap : 0);
    size_t size = dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4;
    memory = allocate(size * static_cast<size_t>((rows(tensor) - 1) * tensor.row_stride + channels(tensor)));
    tensor.data = memory.get();
    Noise noise(seed);
    each([&](int64_t at, bool inside) {
      double u = inside ? noise.next() : 0;
      if (tensor.dtype == DType::u8) {
        reinterpret_cast<uint8_t*>(memory.get())[at] = inside ? static_cast<uint8_t>(256 * u) : kUntouchedByte;
      } else if (tensor.dtype == DType::i32) {
        reinterpret_cast<int32_t*>(memory.get())[at] = static_cast<int32_t>(u * c.limit);
      } else if (!inside) {
        write(at, kUntouched);
      } else if (fill) {
        float value = static_cast<float>(c.values == Values::zeros      ? 0
                                         : c.values == Values::positive ? 0.5 + u
                                                                        : 4 * u - 2);
        write(at, round ? widened(rounded(value)) : value);
      }
    });
  }

  bool is_bf16() const { return tensor.dtype == DType::bf16; }
  float read(int64_t at) const { return is_bf16() ? widened(data_of<bf16>(tensor)[at]) : f32(tensor)[at]; }
  void write(int64_t at, float value) {
    if (is_bf16())
      data_of<bf16>(tensor)[at] = rounded(value);
    else
      f32(tensor)[at] = value;
  }

  // body(offset, inside): every element, and those between the rows of a view.
  template <typename Body>
  void each(Body&& body) const {
    for (int64_t row = 0, all = rows(tensor); row < all; row++) {
      int64_t width = row + 1 < all ? tensor.row_stride : channels(tensor);
      for (int64_t i = 0; i < width; i++) body(row * tensor.row_stride + i, i < channels(tensor));
    }
  }
};

using Outputs = std::map<std::string, std::vector<float>>;

std::string describe(const KernelCase& c, const std::string& isa, int threads, bool view) {
  std::string shapes;
  for (const auto& t : c.tensors) {
    if (!shapes.empty()) shapes += ", ";
    for (size_t i = 0; i < t.shape.size(); i++) {
      shapes += i ? "x" : "";
      shapes += std::to_string(t.shape[i]);
    }
    if (t.shape.empty()) shapes += "absent";
  }
  return c.kernel + "(" + shapes + (c.images == DType::bf16 ? "; bf16" : "") + ") on " + isa +
         text(", %d threads%s", threads, view ? ", views" : "");
}

// A case with its memory.
struct PreparedCase {
  std::vector<Operand> operands;
  std::vector<Tensor> tensors;
  Bytes scratch{nullptr, &std::free};
  Call call{};

  PreparedCase(const KernelCase& c, DType images, const std::string& isa, Workers& workers, bool view) {
    const int index = index_of(c.kernel);
    const Signature& signature = signatures()[static_cast<size_t>(index)];
    check(c.tensors.size() == signature.tensors.size() && c.attributes.size() == signature.attributes.size(),
          describe(c, isa, workers.threads(), view) + ": the case does not fit the signature " + signature.text);
    for (size_t i = 0; i < c.tensors.size(); i++) {
      // What a kernel changes in place has contents before; other outputs begin as NaN.
      bool fill = !signature.tensors[i].output || signature.uninterruptible;
      DType dtype = signature.tensors[i].image ? images : dtype_of(c.tensors[i]);
      operands.emplace_back(c.tensors[i], dtype, view, fill, c.images == DType::bf16, i + 1);
      tensors.push_back(operands.back().tensor);
    }
    call = {tensors.data(), c.attributes.data(), nullptr, &workers, {}};
    scratch = allocate(cpu_kernels(isa)[index].prepare(call));
    call.scratch = scratch.get();
  }
};

// Runs a case; returns what it wrote, without the gaps of views.
Outputs run(const KernelCase& c, DType images, const std::string& isa, Workers& workers, bool view) {
  const int index = index_of(c.kernel);
  const Signature& signature = signatures()[static_cast<size_t>(index)];
  const std::string what = describe(c, isa, workers.threads(), view);
  PreparedCase prepared(c, images, isa, workers, view);
  cpu_kernels(isa)[index].run(prepared.call);

  const std::vector<Operand>& operands = prepared.operands;
  Outputs outputs;
  for (size_t i = 0; i < operands.size(); i++) {
    const TensorSpec& spec = signature.tensors[i];
    if (!operands[i].memory || (operands[i].tensor.dtype != DType::f32 && !operands[i].is_bf16())) continue;
    auto& values = outputs[spec.name];
    operands[i].each([&](int64_t at, bool inside) {
      float value = operands[i].read(at);
      if (!inside && value != kUntouched) failed(what + ": wrote beside the channels of " + spec.name);
      if (!inside || !spec.output) return;
      if (!std::isfinite(value))
        failed(what + text(": %s[%lld] is %g", spec.name.c_str(), static_cast<long long>(at), value));
      values.push_back(value);
    });
  }
  return outputs;
}

void expect_close(const std::string& what, const Outputs& actual, const Outputs& expected, double tolerance) {
  for (const auto& [name, values] : expected) {
    const auto& others = actual.at(name);
    double largest = 1e-3, difference = 0;
    for (size_t i = 0; i < values.size(); i++) {
      largest = std::fmax(largest, std::fabs(values[i]));
      difference = std::fmax(difference, std::fabs(values[i] - others[i]));
    }
    check(difference <= tolerance * largest,
          what + text(": %s differs by %g of %g from portable", name.c_str(), difference, largest));
  }
}

void expect_same_bits(const std::string& what, const Outputs& actual, const Outputs& expected) {
  for (const auto& [name, values] : expected) {
    const auto& others = actual.at(name);
    check(values.size() == others.size() &&
              (values.empty() || std::memcmp(values.data(), others.data(), 4 * values.size()) == 0),
          what + ": " + name + " has other bits than with 1 thread");
  }
}

// Tensors whose channels a kernel takes as they are, because nothing else determines them.
const std::set<std::string> kFreeChannels{"fill y",
                                          "sum x",
                                          "sum_samples x",
                                          "softmax_cross_entropy_forward logits",
                                          "token_noising xt",
                                          "token_noising keep",
                                          "token_denoising_loss_forward logits",
                                          "token_denoising_loss_forward keep",
                                          "token_denoising_loss_backward keep",
                                          "random_normal y",
                                          "random_uniform y",
                                          "time_embedding_forward y",
                                          "gradient_norm gradient"};

}  // namespace

TEST(every_kernel_has_a_case) {
  std::set<std::string> covered;
  for (const auto& c : kernel_cases()) covered.insert(c.kernel);
  for (const auto& signature : signatures())
    check(covered.count(signature.kernel) > 0,
          "add a case of " + signature.kernel + " to native/tests/kernel_cases.cc");
}

TEST(kernels_write_their_outputs_with_equal_bits_for_any_number_of_threads) {
  std::vector<std::unique_ptr<Workers>> teams;
  for (int threads : quick() ? std::vector<int>{1, 3} : std::vector<int>{1, 2, 3, 5})
    teams.push_back(std::make_unique<Workers>(threads));
  std::vector<std::string> isas = supported_isas();
  if (quick()) isas.resize(1);
  for (const auto& c : kernel_cases()) {
    // What images of bf16 give is held against images of float32 with the same numbers.
    Outputs portable = run(c, DType::f32, "portable", *teams[0], false);
    const double tolerance = c.images == DType::bf16 ? 1e-2 : 1e-4;
    for (const auto& isa : isas) {
      for (bool view : {false, true}) {
        Outputs first = run(c, c.images, isa, *teams[0], view);
        expect_close(describe(c, isa, 1, view), first, portable, tolerance);
        for (size_t team = 1; team < teams.size(); team++) {
          Workers& workers = *teams[team];
          expect_same_bits(describe(c, isa, workers.threads(), view), run(c, c.images, isa, workers, view), first);
        }
      }
    }
  }
}

TEST(kernels_in_a_steady_step_allocate_nothing_and_touch_no_new_page) {
  if (quick()) return;  // emulators and sanitizers have allocations and pages of their own
  Workers workers(2);
  for (const auto& isa : supported_isas())
    for (const auto& c : kernel_cases()) {
      PreparedCase prepared(c, c.images, isa, workers, false);
      const Kernel& kernel = cpu_kernels(isa)[index_of(c.kernel)];
      size_t allocated = 0, faults = 0;
      // Stacks and tables are touched in the first run. The system may move a page now and then: a fault must come back
      // every time to count.
      for (int attempt = 0; attempt < 4; attempt++) {
        const size_t allocated_before = allocations(), faults_before = page_faults();
        kernel.run(prepared.call);
        allocated = allocations() - allocated_before;
        faults = page_faults() - faults_before;
        if (attempt > 0 && allocated == 0 && faults == 0) break;
      }
      check(allocated == 0, describe(c, isa, 2, false) + text(": %zu allocations", allocated));
      check(faults == 0, describe(c, isa, 2, false) + text(": %zu page faults", faults));
    }
}

TEST(kernels_refuse_tensors_that_do_not_fit) {
  Workers workers(2);
  for (const auto& c : kernel_cases()) {
    const int index = index_of(c.kernel);
    const Signature& signature = signatures()[static_cast<size_t>(index)];
    std::vector<Tensor> tensors;
    for (const auto& t : c.tensors) {
      Tensor tensor;
      tensor.dtype = dtype_of(t);
      tensor.rank = static_cast<int>(t.shape.size());
      for (size_t i = 0; i < t.shape.size(); i++) tensor.shape[i] = t.shape[i];
      tensor.row_stride = channels(tensor);
      tensor.data = t.shape.empty() ? nullptr : &tensors;  // prepare() never follows it
      tensors.push_back(tensor);
    }
    for (size_t i = 0; i < tensors.size(); i++) {
      const std::string name = c.kernel + " " + signature.tensors[i].name;
      if (!tensors[i].data || kFreeChannels.count(name)) continue;
      std::vector<Tensor> changed = tensors;
      changed[i].row_stride = ++changed[i].shape[changed[i].rank - 1];
      try {
        cpu_kernels("")[index].prepare({changed.data(), c.attributes.data(), nullptr, &workers, {}});
      } catch (const Error& error) {
        check(error.code == "ERR_SHAPE" || error.code == "ERR_ARGUMENT", name + ": code " + error.code);
        continue;
      }
      failed(describe(c, supported_isas()[0], 2, false) + ": took one channel more in " + signature.tensors[i].name);
    }
  }
}

}  // namespace diffuse::testing
