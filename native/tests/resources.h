// What the process has taken from the system so far.
#pragma once

#include <cstddef>

namespace diffuse::testing {

// Calls of operator new by any thread.
size_t allocations();
// Pages that were touched for the first time, by any thread.
size_t page_faults();

}  // namespace diffuse::testing
