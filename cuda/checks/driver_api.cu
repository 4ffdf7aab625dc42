// Holds native/cuda/driver_api.h, which the addon is built with where no CUDA is, against CUDA's own declarations.
// Compiled by `pnpm check:cuda`; nothing of it is run.
#include <cuda.h>

#include <type_traits>

#include "cuda/driver_api.h"

namespace diffuse::cuda {
namespace {

// Whether the same registers and stack are passed: enums are int, and pointers to what the host does not look into are
// pointers.
template <typename Ours, typename Theirs>
constexpr bool kSameType = sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>;

template <typename Ours, typename Theirs>
constexpr bool kSameCall = false;
template <typename... Ours, typename... Theirs>
constexpr bool kSameCall<DriverResult(Ours...), CUresult(Theirs...)> = [] {
  if constexpr (sizeof...(Ours) == sizeof...(Theirs))
    return (kSameType<Ours, Theirs> && ...);
  else
    return false;
}();

// CUDA's macros make the name of today's version of a function of its plain name, which is the symbol that we ask for.
constexpr bool same_text(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
#define TEXT(name) #name
#define TEXT_OF(name) TEXT(name)
#define CHECK(name, symbol, ...)                                                                          \
  static_assert(kSameCall<DriverResult(__VA_ARGS__), decltype(::name)>, #name " takes other parameters"); \
  static_assert(same_text(TEXT_OF(name), symbol), #name " has another symbol");
DIFFUSE_CUDA_DRIVER_FUNCTIONS(CHECK)
#undef CHECK

static_assert(sizeof(CUresult) == sizeof(DriverResult));
template <auto Ours, auto Theirs>
constexpr bool kSameNumber = static_cast<long long>(Ours) == static_cast<long long>(Theirs);
static_assert(kSameNumber<kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY>);
static_assert(kSameNumber<kNoDevice, CUDA_ERROR_NO_DEVICE>);
static_assert(kSameNumber<kMultiprocessorCount, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT>);
static_assert(kSameNumber<kThreadsPerMultiprocessor, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR>);
static_assert(kSameNumber<kComputeCapabilityMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR>);
static_assert(kSameNumber<kComputeCapabilityMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR>);
static_assert(kSameNumber<kSharedBytesPerMultiprocessor, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR>);
static_assert(kSameNumber<kSharedBytesPerBlockOptIn, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN>);
static_assert(kSameNumber<kDynamicSharedBytes, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES>);
static_assert(kSameNumber<kJitErrorLog, CU_JIT_ERROR_LOG_BUFFER>);
static_assert(kSameNumber<kJitErrorLogBytes, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES>);
static_assert(kSameNumber<kStreamNonBlocking, CU_STREAM_NON_BLOCKING>);
static_assert(kSameNumber<kEventDefault, CU_EVENT_DEFAULT>);
static_assert(kSameNumber<kEventDisableTiming, CU_EVENT_DISABLE_TIMING>);
static_assert(kSameNumber<kCaptureThreadLocal, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL>);

}  // namespace
}  // namespace diffuse::cuda
