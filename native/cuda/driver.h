// NVIDIA's driver library, opened at run time: the addon runs unchanged where there is none.
#pragma once

#include <memory>
#include <string>

#include "cuda/driver_api.h"
#include "engine/error.h"

namespace diffuse::cuda {

// What a call of the driver's failed with.
struct DriverError : Error {
  DriverError(std::string code, std::string message, DriverResult result)
      : Error(std::move(code), std::move(message)), result(result) {}
  DriverResult result;
};

class Driver;

// A function of the driver's library.
template <typename... Parameter>
class DriverFunction {
 public:
  DriverFunction(const Driver& driver, const char* name, const char* symbol);
  // Throws a DriverError: ERR_OUT_OF_MEMORY where the GPU has no memory left, else ERR_DEVICE.
  void operator()(Parameter... arguments) const;
  // For callers that know what to do of a failure.
  DriverResult result(Parameter... arguments) const { return address_(arguments...); }

 private:
  const Driver& driver_;
  const char* name_;
  DriverResult (*address_)(Parameter...);
};

class Driver {
 public:
  // Opens the library that the environment variable DIFFUSE_CUDA_DRIVER names, else the system's, and initialises it.
  // Throws ERR_DEVICE with a sentence that says what is missing.
  Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // "13.0"
  std::string version() const;
  // Null where the library lacks it.
  void* find(const char* symbol) const;
  // "CUDA_ERROR_OUT_OF_MEMORY (out of memory)"
  std::string describe(DriverResult result) const;
  [[noreturn]] void fail(const char* function, DriverResult result) const;

 private:
  std::string path_;
  void* library_;
  int version_ = 0;

 public:
#define DIFFUSE_DECLARE(name, symbol, ...) const DriverFunction<__VA_ARGS__> name{*this, #name, symbol};
  DIFFUSE_CUDA_DRIVER_FUNCTIONS(DIFFUSE_DECLARE)
#undef DIFFUSE_DECLARE

 private:
  void require(const char* name, void* address) const;
  template <typename... Parameter>
  friend class DriverFunction;
};

template <typename... Parameter>
DriverFunction<Parameter...>::DriverFunction(const Driver& driver, const char* name, const char* symbol)
    : driver_(driver), name_(name) {
  void* address = driver.find(symbol);
  driver.require(symbol, address);
  address_ = reinterpret_cast<DriverResult (*)(Parameter...)>(address);
}

template <typename... Parameter>
void DriverFunction<Parameter...>::operator()(Parameter... arguments) const {
  if (const DriverResult result = address_(arguments...)) driver_.fail(name_, result);
}

// "13.0" of 13000
std::string version_text(int version);

}  // namespace diffuse::cuda
