#include "cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>

namespace diffuse::cuda {

namespace {

std::string library_path() {
  const char* named = std::getenv("DIFFUSE_CUDA_DRIVER");
  return named && *named ? named : "libcuda.so.1";
}

void* open_library(const std::string& path) {
  // Never closed: the driver keeps threads of its own.
  if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  const char* reason = dlerror();
  throw Error("ERR_DEVICE", "no NVIDIA driver was found: " + (reason ? std::string(reason) : path));
}

}  // namespace

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// An old driver lacks symbols too, and is better told its age than their names: so its age is asked first.
static int checked_version(void* library, const std::string& path) {
  auto get = reinterpret_cast<DriverResult (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  int version = 0;
  if (!get) throw Error("ERR_DEVICE", path + " is no NVIDIA driver: it lacks cuDriverGetVersion");
  if (get(&version) != 0) throw Error("ERR_DEVICE", path + " does not say which version of CUDA it supports");
  if (version < kMinimumDriver)
    throw Error("ERR_DEVICE", "the NVIDIA driver supports CUDA " + version_text(version) + "; an R580 driver (CUDA " +
                                  version_text(kMinimumDriver) + ") or newer is needed");
  return version;
}

Driver::Driver() : path_(library_path()), library_(open_library(path_)), version_(checked_version(library_, path_)) {
  if (const DriverResult result = cuInit.result(0)) {
    if (result == kNoDevice) throw Error("ERR_DEVICE", "the NVIDIA driver finds no GPU");
    throw DriverError("ERR_DEVICE", "the NVIDIA driver does not start: cuInit failed: " + describe(result), result);
  }
}

std::string Driver::version() const { return version_text(version_); }

void* Driver::find(const char* symbol) const { return dlsym(library_, symbol); }

void Driver::require(const char* symbol, void* address) const {
  if (!address) throw Error("ERR_DEVICE", "the NVIDIA driver (" + path_ + ") lacks the symbol " + symbol);
}

std::string Driver::describe(DriverResult result) const {
  using Words = DriverResult (*)(DriverResult, const char**);
  const auto ask = [&](const char* symbol) -> const char* {
    const char* words = nullptr;
    const auto function = reinterpret_cast<Words>(find(symbol));
    return function && function(result, &words) == 0 ? words : nullptr;
  };
  const char *name = ask("cuGetErrorName"), *words = ask("cuGetErrorString");
  return (name ? std::string(name) : "error " + std::to_string(result)) +
         (words ? " (" + std::string(words) + ")" : "");
}

void Driver::fail(const char* function, DriverResult result) const {
  throw DriverError(result == kOutOfMemory ? "ERR_OUT_OF_MEMORY" : "ERR_DEVICE",
                    "CUDA: " + std::string(function) + " failed: " + describe(result), result);
}

}  // namespace diffuse::cuda
