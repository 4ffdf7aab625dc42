// Runs kernels of a module on the memory of a simulated device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "memory/device_memory.h"
#include "ptx/module.h"
#include "report/report.h"

namespace simulator::machine {

using report::Extent;

// A module for any device. Its kernels are made ready once, unless they name variables, whose addresses are a device's.
class Binary {
 public:
  // Throws ptx::ParseError for what cannot be run.
  explicit Binary(ptx::Module module);
  Binary(const Binary&) = delete;
  Binary& operator=(const Binary&) = delete;
  const ptx::Module& module() const { return module_; }
  // In the order of the module's kernels. `addresses`: of its variables, 0 for those that have none.
  std::shared_ptr<const std::vector<struct Code>> codes(const std::vector<uint64_t>& addresses) const;

 private:
  ptx::Module module_;
  std::shared_ptr<const std::vector<struct Code>> codes_;  // null if they are a device's
};

// A module that was loaded on a device: its variables lie in the device's memory.
class Program {
 public:
  Program(std::shared_ptr<const Binary> binary, memory::DeviceMemory& memory);
  Program(ptx::Module module, memory::DeviceMemory& memory);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const ptx::Module& module() const { return binary_->module(); }
  memory::DeviceMemory& memory() const { return memory_; }
  // The address of a .global or .const; 0 if there is none. Its size stands in module().variables.
  uint64_t address(const std::string& variable) const;
  // Null if there is none.
  const struct Code* code(const std::string& kernel) const;

 private:
  std::shared_ptr<const Binary> binary_;
  memory::DeviceMemory& memory_;
  std::vector<uint64_t> addresses_;
  std::shared_ptr<const std::vector<struct Code>> codes_;
};

// What the device and the function's attributes allow a launch.
struct Limits {
  uint32_t threads = 1024;
  Extent block{1024, 1024, 64};
  Extent grid{2147483647, 65535, 65535};
  size_t shared_bytes = 48 * 1024;  // static and dynamic, of a block; more only after cuFuncSetAttribute
  size_t parameter_bytes = 4096;
};

struct Launch {
  const Program* program = nullptr;
  std::string kernel;
  Extent grid, block;
  size_t dynamic_shared_bytes = 0;
  std::vector<std::byte> parameters;  // by the offsets of ptx::Kernel::parameters
  Limits limits;
  uint64_t seed = 0;                    // orders blocks and warps; the same seed is the same schedule
  uint32_t resident_blocks = 4;         // as many blocks run at once
  bool checks = true;                   // races and uninitialised reads; bounds are always checked
  bool noise = false;                   // ±2 ulp on approximate functions and on what mma sums
  bool traffic = false;                 // count sectors and bank conflicts
  uint64_t budget = uint64_t(1) << 36;  // instructions of warps, after which the launch counts as hanging
};

// True if nothing was found. A launch stops at its first finding, as a device does.
bool run(const Launch& launch, report::Report& report);

}  // namespace simulator::machine
