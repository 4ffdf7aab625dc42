#pragma once

#include "tests/harness.h"

namespace diffuse::testing {

// Runs the tests whose names contain `filter` and prints each, and at the end "N passed, N failed, N skipped". Returns
// how many failed, `failures` before included.
int run_tests(const char* filter, int failures);

}  // namespace diffuse::testing
