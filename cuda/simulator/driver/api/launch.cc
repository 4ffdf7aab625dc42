// Launches of kernels and of host functions.
#include <cstring>

#include "driver/capture.h"
#include "driver/driver.h"
#include "driver/resources.h"

using namespace simulator::driver;
using simulator::machine::Launch;
using simulator::report::Extent;

static std::string dimensions(Extent extent) { return format_text("%u x %u x %u", extent.x, extent.y, extent.z); }

static void check_shape(const Function& function, Extent grid, Extent block) {
  const char* name = function.kernel->name.c_str();
  if (grid.count() == 0 || grid.x > simulator::kGridX || grid.y > simulator::kGridYZ || grid.z > simulator::kGridYZ)
    refuse(CUDA_ERROR_INVALID_VALUE, "%s: a grid of %s blocks", name, dimensions(grid).c_str());
  if (block.count() == 0 || block.count() > simulator::kThreadsPerBlock || block.z > simulator::kBlockZ)
    refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %s threads", name, dimensions(block).c_str());
  const uint64_t limit = function.kernel->thread_limit();
  const auto* exact = function.kernel->required_threads;
  if (limit && block.count() > limit)
    refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %s threads, it was compiled for %llu", name,
           dimensions(block).c_str(), static_cast<unsigned long long>(limit));
  if (exact[0] && (block.x != exact[0] || block.y != exact[1] || block.z != exact[2]))
    refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %s threads, it was compiled for %s exactly", name,
           dimensions(block).c_str(), dimensions({exact[0], exact[1], exact[2]}).c_str());
  if (static_cast<int>(block.count()) > threads_by_registers(function.registers))
    refuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "%s: %s threads of %d registers", name, dimensions(block).c_str(),
           function.registers);
}

static void check_shared(const Function& function, size_t dynamic_bytes) {
  if (dynamic_bytes <= static_cast<size_t>(function.dynamic_shared_limit)) return;
  refuse(CUDA_ERROR_INVALID_VALUE,
         "%s: %zu bytes of dynamic shared memory, %d are allowed; cuFuncSetAttribute may allow more",
         function.kernel->name.c_str(), dynamic_bytes, function.dynamic_shared_limit);
}

// The parameters as one block of bytes, from pointers to each or from the program's own block.
static std::vector<std::byte> gather(const simulator::ptx::Kernel& kernel, void** parameters, void** extra) {
  std::vector<std::byte> block(kernel.parameter_bytes);
  if (extra) {
    const void* buffer = nullptr;
    size_t bytes = 0;
    for (void** at = extra; *at != CU_LAUNCH_PARAM_END; at += 2) {
      if (*at == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = at[1];
      if (*at == CU_LAUNCH_PARAM_BUFFER_SIZE) bytes = *static_cast<const size_t*>(at[1]);
    }
    if (parameters || !buffer || bytes < block.size())
      refuse(CUDA_ERROR_INVALID_VALUE, "%s takes %zu bytes of parameters in one place, not %zu", kernel.name.c_str(),
             block.size(), bytes);
    std::memcpy(block.data(), buffer, block.size());
    return block;
  }
  for (size_t i = 0; i < kernel.parameters.size(); i++) {
    const auto& parameter = kernel.parameters[i];
    if (!parameters || !parameters[i])
      refuse(CUDA_ERROR_INVALID_VALUE, "%s: parameter %zu is missing", kernel.name.c_str(), i);
    std::memcpy(block.data() + parameter.offset, parameters[i], parameter.bytes);
  }
  return block;
}

CUresult cuLaunchKernel(CUfunction handle, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes,
                        CUstream stream_handle, void** parameters, void** extra) {
  return in_context(__func__, [&](Context& context) {
    const std::shared_ptr<Function>& function = driver().functions.at(handle);
    Stream& stream = stream_at(context, stream_handle);
    if (function->context != &context)
      refuse_misuse(CUDA_ERROR_INVALID_HANDLE, "the function is of device %d, the stream of device %d",
                    function->context->ordinal, context.ordinal);
    const Extent grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    check_shape(*function, grid, block);
    check_shared(*function, shared_bytes);
    note(format_text("%s, %s blocks of %s threads", function->kernel->name.c_str(), dimensions(grid).c_str(),
                     dimensions(block).c_str()));
    const Configuration& configuration = driver().configuration;
    const simulator::ptx::Kernel& kernel = *function->kernel;
    Launch launch;
    launch.program = function->module->program.get();
    launch.kernel = kernel.name;
    launch.grid = grid;
    launch.block = block;
    launch.dynamic_shared_bytes = shared_bytes;
    launch.parameters = gather(kernel, parameters, extra);
    launch.limits.shared_bytes = kernel.shared_bytes + static_cast<size_t>(function->dynamic_shared_limit);
    launch.resident_blocks = configuration.resident_blocks;
    launch.checks = configuration.checks;
    launch.noise = configuration.noise;
    launch.traffic = driver().journal.wants_traffic();
    launch.budget = configuration.budget;
    issue(stream, std::make_shared<KernelWork>(function, std::move(launch)));
  });
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  return in_context(__func__, [&](Context& context) {
    if (!function) refuse(CUDA_ERROR_INVALID_VALUE, "the function is null");
    driver().run_host_functions_in_background();
    issue(stream_at(context, stream), std::make_shared<HostWork>(function, data));
  });
}
