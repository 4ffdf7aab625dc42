#include "driver/work.h"

#include <cstring>
#include <string_view>

#include "driver/driver.h"

namespace simulator::driver {

// Microseconds, as a device of these days behind PCI Express 4 might take.
constexpr double kLaunchTime = 3, kCopyTime = 5, kHostBytes = 25e3;

// What a copy reads where nobody wrote: not a number in every format of floating point.
constexpr int kPoison = 0xff;

static double device_time(const Context& context, double bytes) { return bytes / (context.profile.bandwidth() * 1e-6); }

template <typename Access>
static void access_memory(Access access) {
  try {
    access();
  } catch (const memory::AddressError& error) {
    driver().journal.finding("memory", error.what());
    throw Fault{CUDA_ERROR_ILLEGAL_ADDRESS, error.what()};
  }
}

static void read_memory(memory::DeviceMemory& memory, std::byte* to, uint64_t from, size_t bytes) {
  memory.read(to, from, bytes);
  // Without checks kernels do not note what they write.
  if (!driver().configuration.checks || memory.uninitialised(from, bytes) == 0) return;
  const memory::Allocation& allocation = *memory.find(from);
  const uint8_t* state = allocation.state + (from - allocation.address);
  for (size_t i = 0; i < bytes; i++) {
    if (state[i] == memory::kUninitialised) to[i] = static_cast<std::byte>(kPoison);
  }
}

uint64_t CopyWork::hash() const {
  uint64_t sum = 0;
  for (size_t row = 0; row < rows_; row++) {
    const auto* begin = reinterpret_cast<const char*>(from_.host + row * from_.pitch);
    sum = sum * 31 + std::hash<std::string_view>()({begin, width_});
  }
  return sum;
}

void CopyWork::stage() {
  staged_.assign(from_.host, from_.host + range(from_).bytes);
  from_.host = staged_.data();
}

void CopyWork::remember() {
  remembered_ = true;
  hash_ = hash();
}

void CopyWork::poison() const {
  if (!to_.host || from_.host) return;
  for (size_t row = 0; row < rows_; row++) std::memset(to_.host + row * to_.pitch, kPoison, width_);
}

double CopyWork::run(Context& context) const {
  if (remembered_ && hash() != hash_) {
    driver().journal.finding("misuse", format_text("pinned memory at %p changed while a copy from it was pending",
                                                   static_cast<void*>(from_.host)));
  }
  memory::DeviceMemory& memory = *context.memory;
  access_memory([&] {
    for (size_t row = 0; row < rows_; row++) {
      const uint64_t to = to_.device + row * to_.pitch, from = from_.device + row * from_.pitch;
      if (to_.host && from_.host) {
        std::memmove(to_.host + row * to_.pitch, from_.host + row * from_.pitch, width_);
      } else if (to_.host) {
        read_memory(memory, to_.host + row * to_.pitch, from, width_);
      } else if (from_.host) {
        memory.write(to, from_.host + row * from_.pitch, width_);
      } else {
        memory.copy(to, from, width_);
      }
    }
  });
  const double bytes = static_cast<double>(width_) * rows_;
  return kCopyTime + (to_.host || from_.host ? bytes / kHostBytes : device_time(context, 2 * bytes));
}

const char* CopyWork::refuses_update(const Work& next) const {
  const auto* copy = dynamic_cast<const CopyWork*>(&next);
  if (!copy) return "the type";
  return !to_.host == !copy->to_.host && !from_.host == !copy->from_.host ? nullptr : "the direction";
}

double FillWork::run(Context& context) const {
  access_memory([&] { context.memory->fill(address_, &pattern_, pattern_bytes_, count_); });
  return kLaunchTime + device_time(context, static_cast<double>(pattern_bytes_) * count_);
}

double KernelWork::run(Context& context) const {
  Journal& journal = driver().journal;
  if (function_->module->unloaded) {
    const std::string what = launch_.kernel + " was launched after its module was unloaded";
    journal.finding("misuse", what);
    throw Fault{CUDA_ERROR_ILLEGAL_ADDRESS, what};
  }
  machine::Launch launch = launch_;
  launch.seed = context.random.next();
  report::Report report;
  const bool right = !driver().configuration.execute || machine::run(launch, report);
  for (const report::Finding& finding : report.findings()) journal.finding(finding);
  const report::Counters& counters = report.total;
  if (journal.wants_traffic())
    journal.traffic(context.ordinal, launch.kernel, launch.grid, launch.block, launch.dynamic_shared_bytes, report);
  if (!right) {
    const report::Finding& first = report.findings().front();
    throw Fault{static_cast<CUresult>(report::driver_error(first.kind)), first.text()};
  }
  return kLaunchTime +
         device_time(context, static_cast<double>(counters.global_bytes_read + counters.global_bytes_written));
}

double HostWork::run(Context&) const {
  driver().call_host([this] { function_(data_); });
  return 1;
}

double FreeWork::run(Context& context) const {
  if (!context.memory->release(address_)) {
    const std::string what = format_text("%#llx was freed twice", static_cast<unsigned long long>(address_));
    driver().journal.finding("misuse", what);
    throw Fault{CUDA_ERROR_ILLEGAL_ADDRESS, what};
  }
  return 0;
}

}  // namespace simulator::driver
