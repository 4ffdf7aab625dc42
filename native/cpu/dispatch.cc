#include "cpu/dispatch.h"

#include "cpu/table.h"
#include "engine/error.h"
#include "engine/workers.h"

#ifdef DIFFUSE_HAVE_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace diffuse {

void run_tasks(Workers* workers, int64_t count, void (*task)(void*, int64_t, int), void* context) {
  workers->run(count, task, context);
}
int thread_count(Workers* workers) { return workers->threads(); }

#ifdef DIFFUSE_HAVE_AMX
// Whether the CPU multiplies tiles of bf16 and the system lets this process use their registers, which it must be asked
// for once: it then saves 8 KB more of every thread.
static bool tiles_allowed() {
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16")) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of Linux, number of the state
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("fma");
#ifdef DIFFUSE_HAVE_AMX
  if (avx512 && __builtin_cpu_supports("avx512bf16") && tiles_allowed()) names.push_back("amx");
#endif
#ifdef DIFFUSE_HAVE_AVX512
  if (avx512) names.push_back("avx512");
#endif
#ifdef DIFFUSE_HAVE_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) names.push_back("avx2");
#endif
#endif
  names.push_back("portable");
  return names;
}

const Kernel* cpu_kernels(const std::string& isa) {
  auto names = supported_isas();
  std::string list;
  for (const auto& name : names) {
    if (isa.empty() || isa == name) {
#ifdef DIFFUSE_HAVE_AMX
      if (name == "amx") return amx::kernel_table();
#endif
#ifdef DIFFUSE_HAVE_AVX512
      if (name == "avx512") return avx512::kernel_table();
#endif
#ifdef DIFFUSE_HAVE_AVX2
      if (name == "avx2") return avx2::kernel_table();
#endif
      return portable::kernel_table();
    }
    list += (list.empty() ? "" : ", ") + name;
  }
  throw Error("ERR_DEVICE", "instruction set '" + isa + "' is not available on this CPU; available: " + list);
}

}  // namespace diffuse
