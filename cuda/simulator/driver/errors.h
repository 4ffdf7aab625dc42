// Names and texts of the driver's errors.
#pragma once

#include <optional>
#include <string>

#include "driver/cuda.h"

namespace simulator::driver {

// Null where the code is unknown.
const char* error_name(CUresult code);
const char* error_text(CUresult code);
// A code by its name or number.
std::optional<CUresult> parse_error(const std::string& text);
// Errors after which a context returns nothing else until it is reset.
bool is_sticky(CUresult code);

}  // namespace simulator::driver
