#include "driver/configuration.h"

#include <cstdlib>
#include <deque>
#include <optional>
#include <stdexcept>

#include "driver/errors.h"

namespace simulator::driver {

static std::string variable(const char* name, const char* otherwise = "") {
  const char* value = std::getenv((std::string("CUDA_SIMULATOR_") + name).c_str());
  return value ? value : otherwise;
}

[[noreturn]] static void wrong(const char* name, const std::string& expected) {
  throw std::invalid_argument("CUDA_SIMULATOR_" + std::string(name) + "=" + variable(name) + ": expected " + expected);
}

static std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

static std::optional<uint64_t> whole_number(const std::string& text) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoull(text);
}

static uint64_t number(const char* name, uint64_t otherwise) {
  const std::string text = variable(name);
  if (text.empty()) return otherwise;
  const auto value = whole_number(text);
  if (!value) wrong(name, "a whole number");
  return *value;
}

static bool on_or_off(const char* name, bool otherwise) {
  const std::string text = variable(name);
  if (text.empty()) return otherwise;
  if (text != "on" && text != "off") wrong(name, "on or off");
  return text == "on";
}

static std::vector<const Profile*> devices() {
  const std::string text = variable("DEVICES", "a100");
  if (text == "none") return {};
  // Profiles that differ from the table's stay for the process: devices point to them.
  static std::deque<Profile> changed;
  std::vector<const Profile*> list;
  for (const std::string& device : split(text, ',')) {
    const std::vector<std::string> parts = split(device, '@');
    const Profile* profile = find_profile(parts[0]);
    const auto multiprocessors = whole_number(parts.back());
    const bool sized = parts.size() == 2 && multiprocessors && *multiprocessors >= 1 && *multiprocessors <= 1024;
    if (!profile || (parts.size() > 1 && !sized))
      wrong("DEVICES",
            "none, or a list of " + profile_keys() + ", each maybe with a number of multiprocessors (a100@14)");
    if (sized) {
      profile = &changed.emplace_back(*profile);
      changed.back().multiprocessors = static_cast<int>(*multiprocessors);
    }
    list.push_back(profile);
  }
  return list;
}

// "512M": bytes, with K, M or G for powers of 1024.
static size_t memory_bytes() {
  std::string text = variable("MEMORY");
  if (text.empty()) return 0;
  int shift = 0;
  const size_t unit = std::string("KMG").find(text.back());
  if (unit != std::string::npos) {
    shift = 10 * (static_cast<int>(unit) + 1);
    text.pop_back();
  }
  const auto value = whole_number(text);
  if (!value || *value == 0 || *value >> (63 - shift)) wrong("MEMORY", "bytes, such as 268435456 or 256M");
  return *value << shift;
}

static CUresult error_code(const char* name, const std::string& text) {
  const auto code = parse_error(text);
  if (!code) wrong(name, "the name or the number of an error of the driver");
  return *code;
}

static uint64_t position(const char* name, const std::string& text) {
  const auto at = whole_number(text);
  if (!at || *at == 0) wrong(name, "the number of a call, from 1");
  return *at;
}

// FAIL_AT=N[:code]
static Injection any_call() {
  const std::string text = variable("FAIL_AT");
  if (text.empty()) return {};
  const auto parts = split(text, ':');
  Injection injection{.call = "", .at = position("FAIL_AT", parts[0])};
  if (parts.size() > 1) injection.error = error_code("FAIL_AT", parts[1]);
  return injection;
}

// FAIL_CALL=name[:n[:code]]
static Injection named_call() {
  const std::string text = variable("FAIL_CALL");
  if (text.empty()) return {};
  const auto parts = split(text, ':');
  Injection injection{.call = parts[0], .at = 1};
  if (parts.size() > 1) injection.at = position("FAIL_CALL", parts[1]);
  if (parts.size() > 2) injection.error = error_code("FAIL_CALL", parts[2]);
  return injection;
}

static Configuration read() {
  Configuration configuration;
  configuration.devices = devices();
  configuration.memory_bytes = memory_bytes();
  configuration.seed = number("SEED", 0);
  configuration.resident_blocks = static_cast<uint32_t>(number("RESIDENT_BLOCKS", configuration.resident_blocks));
  configuration.budget = number("BUDGET", configuration.budget);
  configuration.execute = on_or_off("EXECUTE", true);
  configuration.checks = on_or_off("CHECKS", true);
  configuration.noise = on_or_off("NOISE", false);
  configuration.driver_version = static_cast<int>(number("DRIVER_VERSION", CUDA_VERSION));
  const std::string init_error = variable("INIT_ERROR");
  if (!init_error.empty()) configuration.init_error = error_code("INIT_ERROR", init_error);
  configuration.any_call = any_call();
  configuration.named_call = named_call();
  configuration.report = variable("REPORT");
  configuration.traffic = variable("TRAFFIC");
  configuration.log = variable("LOG");
  configuration.resources = variable("RESOURCES");
  return configuration;
}

Configuration read_configuration() {
  try {
    return read();
  } catch (const std::invalid_argument& error) {
    Configuration configuration;
    configuration.problem = error.what();
    return configuration;
  }
}

}  // namespace simulator::driver
