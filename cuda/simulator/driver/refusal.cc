#include "driver/refusal.h"

#include <cstdarg>
#include <cstdio>

#include "driver/driver.h"

namespace simulator::driver {

static std::string formatted(const char* format, va_list arguments) {
  char buffer[512];
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  return buffer;
}

std::string format_text(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = formatted(format, arguments);
  va_end(arguments);
  return text;
}

void refuse(CUresult code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = formatted(format, arguments);
  va_end(arguments);
  throw Refusal{code, std::move(text)};
}

void refuse_misuse(CUresult code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = formatted(format, arguments);
  va_end(arguments);
  driver().journal.finding("misuse", std::string(current_call()) + ": " + text);
  throw Refusal{code, std::move(text)};
}

}  // namespace simulator::driver
