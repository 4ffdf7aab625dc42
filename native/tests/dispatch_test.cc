// The choice of instruction set.
#include "cpu/dispatch.h"

#include "engine/error.h"
#include "engine/signature.h"
#include "tests/harness.h"

namespace diffuse::testing {

TEST(portable_is_always_there_and_last) {
  check(supported_isas().back() == "portable", "the last instruction set is " + supported_isas().back());
}

TEST(kernel_tables_have_the_order_of_the_signatures) {
  for (const auto& isa : supported_isas()) {
    const Kernel* kernel = cpu_kernels(isa);
    for (const auto& signature : signatures()) {
      check(kernel->name == signature.kernel,
            text("%s: found %s where %s belongs", isa.c_str(), kernel->name, signature.kernel.c_str()));
      kernel++;
    }
    check(kernel->name == nullptr, isa + ": the table goes on after the last signature");
  }
}

TEST(no_name_means_the_best_instruction_set) {
  check(cpu_kernels("") == cpu_kernels(supported_isas().front()), "an empty name gave another table than the best one");
}

TEST(unknown_instruction_sets_are_refused) {
  try {
    cpu_kernels("avx9000");
  } catch (const Error& error) {
    check(error.code == "ERR_DEVICE", "the code is " + error.code);
    for (const std::string& part : {std::string("avx9000"), std::string("portable")})
      check(error.message.find(part) != std::string::npos, "'" + error.message + "' does not name " + part);
    return;
  }
  failed("no error");
}

}  // namespace diffuse::testing
