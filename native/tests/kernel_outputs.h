// What kernels wrote in a case of kernel_cases.h, and how it is held against what others wrote.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/signature.h"
#include "tests/kernel_cases.h"
#include "tests/operand.h"

namespace diffuse::testing {

// Index into ops/kernels.def.
int index_of(const std::string& kernel);

struct Output {
  std::vector<float> values;
  bool rounded = false;  // to bf16
};
using Outputs = std::map<std::string, Output>;

// "add(3x5x7x1, 3x5x7x1 bf16)"
std::string describe(const KernelCase& c);

// Fails unless the case has as many tensors and attributes as its kernel's signature.
void expect_signature(const KernelCase& c);

// The memory of a case's tensors. What a kernel changes in place has contents before; other outputs begin as NaN.
std::vector<Operand> operands_of(const KernelCase& c, int64_t gap);

// The numbers of a call's outputs, without the gaps of views. Fails if one is not finite, or if a gap was written to.
Outputs outputs_of(const KernelCase& c, const std::string& what, const std::vector<Operand>& operands);

// Sums that differ a little may be rounded to neighbours, which are 2^-7 apart in bf16.
void expect_close(const KernelCase& c, const std::string& what, const Outputs& actual, const Outputs& expected,
                  const char* from, double least_tolerance = 0);

void expect_same_bits(const std::string& what, const Outputs& actual, const Outputs& expected,
                      const char* from = "with 1 thread");

// Images in whose place the first output may be written: "silu_forward x".
extern const std::set<std::string> kInPlace;

}  // namespace diffuse::testing
