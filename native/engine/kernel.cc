#include "engine/kernel.h"

#include <cstdarg>
#include <cstdio>

#include "engine/error.h"

namespace diffuse {

void say_plan(const Call& call, const char* format, ...) {
  if (!call.plan) return;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(call.plan, kPlanText, format, arguments);
  va_end(arguments);
}

void fail(const char* code, const char* kernel, const char* format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  throw Error(code, std::string(kernel) + ": " + message);
}

}  // namespace diffuse
