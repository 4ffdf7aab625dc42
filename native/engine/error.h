#pragma once

#include <exception>
#include <string>

namespace diffuse {

// The only exception that native code throws on purpose. `code` is one of the ErrorCode strings of
// packages/core/src/native/errors.ts; the binding turns it into a DiffuseError.
struct Error : std::exception {
  Error(std::string code, std::string message) : code(std::move(code)), message(std::move(message)) {}
  const char* what() const noexcept override { return message.c_str(); }
  std::string code, message;
};

}  // namespace diffuse
