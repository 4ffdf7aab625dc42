// How a call ends that does not succeed.
#pragma once

#include <string>

#include "driver/cuda.h"

namespace simulator::driver {

// The call returns `code`; `why` stands in the log.
struct Refusal {
  CUresult code;
  std::string why;
};

// Work that was queued earlier has failed: its context returns `code` from now on.
struct Fault {
  CUresult code;
  std::string what;
};

std::string format_text(const char* format, ...) __attribute__((format(printf, 1, 2)));

[[noreturn]] void refuse(CUresult code, const char* format, ...) __attribute__((format(printf, 2, 3)));

// The same for what only a wrong program does (an invalid handle, a second free): a finding besides.
[[noreturn]] void refuse_misuse(CUresult code, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace simulator::driver
