// Every kernel, on every instruction set of this CPU: outputs are written completely and nothing else is (tensors and
// scratch lie in blocks of exactly their size, so that the address sanitizer sees one element too far), bits are equal
// for any number of threads, instruction sets agree, formats of images agree, and tensors that do not fit are refused.
#include <memory>
#include <set>

#include "cpu/dispatch.h"
#include "engine/error.h"
#include "engine/workers.h"
#include "tests/harness.h"
#include "tests/kernel_cases.h"
#include "tests/kernel_outputs.h"
#include "tests/resources.h"

namespace diffuse::testing {
namespace {

std::string describe(const KernelCase& c, const std::string& isa, int threads, bool view) {
  return describe(c) + " on " + isa + text(", %d threads%s", threads, view ? ", views" : "");
}

// A case with its memory.
struct PreparedCase {
  std::vector<Operand> operands;
  std::vector<Tensor> tensors;
  size_t scratch_bytes = 0;
  Bytes scratch{nullptr, &std::free};
  Call call{};

  PreparedCase(const KernelCase& c, const std::string& isa, Workers& workers, bool view) {
    expect_signature(c);
    operands = operands_of(c, view ? kGap : 0);
    for (const Operand& operand : operands) tensors.push_back(operand.tensor);
    call = {tensors.data(), c.attributes.data(), nullptr, &workers, {}};
    scratch_bytes = cpu_kernels(isa)[index_of(c.kernel)].prepare(call);
    scratch = allocate(scratch_bytes);
    call.scratch = scratch.get();
  }
};

// Runs a case; returns what it wrote, without the gaps of views.
Outputs run(const KernelCase& c, const std::string& isa, Workers& workers, bool view) {
  PreparedCase prepared(c, isa, workers, view);
  cpu_kernels(isa)[index_of(c.kernel)].run(prepared.call);
  return outputs_of(c, describe(c, isa, workers.threads(), view), prepared.operands);
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
  for (const auto& c : kernel_cases()) {
    Outputs portable = run(c, "portable", *teams[0], false);
    for (const auto& isa : tested_isas()) {
      for (bool view : {false, true}) {
        if (quick() && view && has_bf16(c)) continue;  // as that of float32
        Outputs first = run(c, isa, *teams[0], view);
        expect_close(c, describe(c, isa, 1, view), first, portable, "portable");
        for (size_t team = 1; team < teams.size(); team++) {
          Workers& workers = *teams[team];
          expect_same_bits(describe(c, isa, workers.threads(), view), run(c, isa, workers, view), first);
        }
      }
    }
  }
}

TEST(kernels_compute_of_bf16_what_they_compute_of_the_same_float32) {
  if (quick()) return;  // both have been held against the portable kernels
  Workers workers(1);
  for (const auto& c : kernel_cases()) {
    if (!has_bf16(c)) continue;
    const KernelCase wide = with_images(c, Format::rounded);
    for (const auto& isa : tested_isas())
      expect_close(c, describe(c, isa, 1, false), run(c, isa, workers, false), run(wide, isa, workers, false),
                   "float32");
  }
}

TEST(kernels_may_write_over_what_they_read) {
  Workers workers(3);
  for (const auto& c : kernel_cases()) {
    const int index = index_of(c.kernel);
    const auto& specs = signatures()[static_cast<size_t>(index)].tensors;
    for (size_t i = 0; i < specs.size(); i++) {
      if (!kInPlace.count(c.kernel + " " + specs[i].name) || c.tensors[0].shape.empty()) continue;
      for (const auto& isa : tested_isas()) {
        PreparedCase prepared(c, isa, workers, false);
        prepared.tensors[0].data = prepared.tensors[i].data;
        cpu_kernels(isa)[index].run(prepared.call);
        Outputs written{{specs[0].name, {}}};
        prepared.operands[i].each(
            [&](int64_t at, bool) { written[specs[0].name].values.push_back(prepared.operands[i].get(at)); });
        expect_same_bits(describe(c, isa, 3, false) + " over " + specs[i].name, written,
                         {{specs[0].name, run(c, isa, workers, false).at(specs[0].name)}}, "elsewhere");
      }
    }
  }
}

TEST(kernels_without_scratch_take_none_of_bf16_either) {
  Workers workers(3);
  for (const auto& c : kernel_cases()) {
    if (!has_bf16(c)) continue;
    const KernelCase wide = with_images(c, Format::f32);
    for (const auto& isa : tested_isas()) {
      if (PreparedCase(wide, isa, workers, false).scratch_bytes > 0) continue;
      const size_t bytes = PreparedCase(c, isa, workers, false).scratch_bytes;
      check(bytes == 0, describe(c, isa, 3, false) + text(": %zu bytes of scratch", bytes));
    }
  }
}

TEST(kernels_in_a_steady_step_allocate_nothing_and_touch_no_new_page) {
  if (quick()) return;  // emulators and sanitizers have allocations and pages of their own
  Workers workers(2);
  for (const auto& isa : supported_isas())
    for (const auto& c : kernel_cases()) {
      PreparedCase prepared(c, isa, workers, false);
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
