// Modules and functions.
#include <algorithm>
#include <cstring>
#include <map>

#include "driver/capture.h"
#include "driver/driver.h"
#include "driver/image.h"
#include "driver/resources.h"

using namespace simulator::driver;
namespace machine = simulator::machine;
namespace ptx = simulator::ptx;

// Where the compiler of PTX writes, as the program asked for it.
struct JitLog {
  char* text = nullptr;
  size_t bytes = 0;
  void** size_option = nullptr;  // receives how much was written

  void write(const std::string& message) const {
    if (text && bytes) {
      const size_t count = std::min(bytes - 1, message.size());
      std::memcpy(text, message.data(), count);
      text[count] = 0;
    }
    if (size_option) *size_option = reinterpret_cast<void*>(message.size());
  }
};

static JitLog error_log(unsigned count, const CUjit_option* options, void** values) {
  JitLog log;
  for (unsigned i = 0; i < count; i++) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) log.text = static_cast<char*>(values[i]);
    if (options[i] != CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) continue;
    log.bytes = reinterpret_cast<uintptr_t>(values[i]) & 0xffffffff;
    log.size_option = &values[i];
  }
  return log;
}

// As the assembler does.
static void check_shared(const ptx::Kernel& kernel) {
  if (kernel.shared_bytes > static_cast<size_t>(simulator::kSharedBytes))
    refuse(CUDA_ERROR_INVALID_PTX, "%s uses %zu bytes of static shared memory, %d are the most", kernel.name.c_str(),
           kernel.shared_bytes, simulator::kSharedBytes);
}

// Programs load the same text on every device, and again after closing one: what was made of it is kept.
static std::shared_ptr<const machine::Binary> binary_of(const std::string& text) {
  constexpr size_t kMostKept = 64;
  static std::map<std::string, std::shared_ptr<const machine::Binary>> kept;
  const auto known = kept.find(text);
  if (known != kept.end()) return known->second;
  const auto binary = std::make_shared<const machine::Binary>(ptx::parse(text, "image"));
  if (kept.size() >= kMostKept) kept.clear();
  kept.emplace(text, binary);
  return binary;
}

static std::shared_ptr<Module> load(Context& context, const void* image) {
  const std::string text = ptx_of_image(image, context.profile);
  try {
    const std::shared_ptr<const machine::Binary> binary = binary_of(text);
    const ptx::Module& parsed = binary->module();
    check_target(parsed.version, parsed.target, driver().configuration.driver_version, context.profile);
    auto module = std::make_shared<Module>();
    for (const ptx::Kernel& kernel : parsed.kernels) check_shared(kernel);
    module->context = &context;
    module->program = std::make_unique<machine::Program>(binary, *context.memory);
    return module;
  } catch (const ptx::ParseError& error) {
    driver().journal.say(error.what());
    refuse(CUDA_ERROR_INVALID_PTX, "%s", error.what());
  }
}

static void load(Context& context, CUmodule* handle, const void* image, const JitLog& log) {
  required(handle, "the module");
  if (!image) refuse(CUDA_ERROR_INVALID_VALUE, "the image is null");
  refuse_if_unsafe(driver());
  try {
    *handle = driver().modules.add(load(context, image));
    log.write("");
  } catch (const Refusal& refusal) {
    log.write(refusal.why);
    throw;
  }
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return in_context(__func__, [&](Context& context) { load(context, module, image, {}); });
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int count, CUjit_option* options,
                            void** values) {
  return in_context(__func__,
                    [&](Context& context) { load(context, module, image, error_log(count, options, values)); });
}

CUresult cuModuleUnload(CUmodule handle) {
  return in_context(__func__, [&](Context&) {
    const std::shared_ptr<Module> module = driver().modules.at(handle);
    refuse_if_unsafe(driver());
    module->context->finish_all();
    driver().modules.remove(handle);
    module->unloaded = true;
    driver().functions.remove_if([&](const Function& function) { return function.module == module; });
  });
}

CUresult cuModuleGetFunction(CUfunction* handle, CUmodule module_handle, const char* name) {
  return in_context(__func__, [&](Context& context) {
    required(handle, "the function");
    const std::shared_ptr<Module>& module = driver().modules.at(module_handle);
    const ptx::Kernel* kernel = module->program->module().find(&required(name, "the name"));
    if (!kernel) refuse(CUDA_ERROR_NOT_FOUND, "the module has no kernel %s", name);
    CUfunction& known = module->functions[name];
    if (!known) {
      auto function = std::make_shared<Function>();
      function->context = &context;
      function->module = module;
      function->kernel = kernel;
      function->dynamic_shared_limit = std::max(0, simulator::kSharedBytes - static_cast<int>(kernel->shared_bytes));
      function->registers = registers_of(*kernel, context.profile, driver().configuration.resources);
      known = driver().functions.add(std::move(function));
    }
    *handle = known;
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule handle, const char* name) {
  return in_context(__func__, [&](Context&) {
    required(name, "the name");
    const auto& program = *driver().modules.at(handle)->program;
    for (const ptx::Variable& variable : program.module().variables) {
      if (variable.name != name) continue;
      if (address) *address = program.address(name);
      if (bytes) *bytes = variable.bytes;
      return;
    }
    refuse(CUDA_ERROR_NOT_FOUND, "the module has no variable %s", name);
  });
}

static int attribute_of(const Function& function, CUfunction_attribute attribute) {
  const ptx::Kernel& kernel = *function.kernel;
  const ptx::Module& module = function.module->program->module();
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: {
      const int limit = kernel.thread_limit() ? static_cast<int>(kernel.thread_limit()) : simulator::kThreadsPerBlock;
      return std::min(limit, threads_by_registers(function.registers));
    }
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return static_cast<int>(kernel.shared_bytes);
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      return static_cast<int>(kernel.local_bytes);
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return function.registers;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      return std::atoi(module.target.c_str() + 3);
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      return function.context->profile.major * 10 + function.context->profile.minor;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return function.dynamic_shared_limit;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return -1;
    default:
      refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator does not know the attribute %d of functions", attribute);
  }
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return in_context(__func__, [&](Context&) {
    required(value, "the value") = attribute_of(*driver().functions.at(function), attribute);
  });
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return in_context(__func__, [&](Context& context) {
    Function& function = *driver().functions.at(handle);
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
      const int most = context.profile.shared_bytes_opt_in - static_cast<int>(function.kernel->shared_bytes);
      if (value < 0 || value > most)
        refuse(CUDA_ERROR_INVALID_VALUE, "%d bytes of dynamic shared memory; the device has %d for %s", value, most,
               function.kernel->name.c_str());
      function.dynamic_shared_limit = value;
    } else if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) {
      if (value < -1 || value > 100) refuse(CUDA_ERROR_INVALID_VALUE, "a carve-out of %d percent", value);
    } else {
      refuse(CUDA_ERROR_INVALID_VALUE, "the attribute %d of functions cannot be set", attribute);
    }
  });
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
  return in_context(__func__, [&](Context&) {
    driver().functions.at(function);
    if (config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL)
      refuse(CUDA_ERROR_INVALID_VALUE, "unknown preference %d", config);
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int threads,
                                                     size_t dynamic_shared_bytes) {
  return in_context(__func__, [&](Context& context) {
    const Function& function = *driver().functions.at(handle);
    if (threads <= 0) refuse(CUDA_ERROR_INVALID_VALUE, "blocks of %d threads", threads);
    required(blocks, "the number of blocks") = resident_blocks(
        context.profile, function.registers, function.kernel->shared_bytes + dynamic_shared_bytes, threads);
  });
}
