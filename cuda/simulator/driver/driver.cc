#include "driver/driver.h"

#include <chrono>
#include <cstdio>
#include <thread>

#include "driver/errors.h"

namespace simulator::driver {

// Of the call that this thread is in.
static thread_local std::unique_lock<std::mutex>* held_lock = nullptr;
static thread_local const char* call_name = nullptr;
static thread_local bool in_host_function = false;

static std::mutex& mutex() {
  static std::mutex* const instance = new std::mutex;
  return *instance;
}

uintptr_t next_handle() {
  static uintptr_t next = 0x5d0000000000;
  return next += 16;
}

static thread_local std::string call_note;

const char* current_call() { return call_name ? call_name : "the driver"; }

void note(std::string text) { call_note = std::move(text); }

Driver& driver() {
  static Driver* const instance = new Driver;
  return *instance;
}

std::vector<CUcontext>& current_contexts() {
  static thread_local std::vector<CUcontext> stack;
  // Contexts of before a restart are gone, and their addresses may be those of others.
  static thread_local uint64_t restarts = 0;
  if (restarts != driver().restarts) stack.clear();
  restarts = driver().restarts;
  return stack;
}

Driver::Driver() { restart(); }

void Driver::restart() {
  for (const auto& each : contexts) each->clear();
  contexts.clear();
  restarts++;
  configuration = read_configuration();
  journal.open(configuration);
  calls = named_calls = captures = 0;
  initialised = false;
  for (const Profile* profile : configuration.devices) {
    const int ordinal = static_cast<int>(contexts.size());
    contexts.push_back(std::make_unique<Context>(ordinal, *profile, configuration));
  }
}

Context& Driver::device(CUdevice ordinal) {
  if (ordinal < 0 || static_cast<size_t>(ordinal) >= contexts.size())
    refuse(CUDA_ERROR_INVALID_DEVICE, "there is no device %d of %zu", ordinal, contexts.size());
  return *contexts[ordinal];
}

Context& Driver::context(CUcontext handle) {
  for (const auto& each : contexts) {
    if (each->handle() == handle) return *each;
  }
  refuse_misuse(CUDA_ERROR_INVALID_CONTEXT, "%p is no context", static_cast<void*>(handle));
}

void Driver::report_leaks(Context& context, const char* when) {
  const auto ours = [&](const auto& object) { return object.context == &context; };
  const auto tell = [&](size_t count, const char* what, const std::string& more = "") {
    if (count == 0) return;
    journal.finding("leak", format_text("device %d: %zu %s%s%s %s", context.ordinal, count, what, count > 1 ? "s" : "",
                                        more.c_str(), when));
  };
  tell(streams.count_if(ours), streams.what());
  tell(events.count_if(ours), events.what());
  tell(modules.count_if(ours), modules.what());
  tell(graphs.count_if(ours), graphs.what());
  tell(graph_execs.count_if(ours), graph_execs.what());
  size_t pinned = 0, mapped = 0;
  for (const auto& [begin, range] : host_memory.ranges()) {
    if (range.context != &context) continue;
    pinned++;
    mapped += range.device_address != 0;
  }
  tell(pinned, "pinned range");
  const auto live = context.memory->live();
  size_t bytes = 0;
  for (const auto* allocation : live) bytes += allocation->bytes;
  if (live.size() > mapped) tell(live.size() - mapped, "allocation", format_text(" (%zu bytes in all)", bytes));
}

void Driver::call_host(const std::function<void()>& function) {
  host_calls++;
  in_host_function = true;
  held_lock->unlock();
  function();
  held_lock->lock();
  in_host_function = false;
  host_calls--;
  host_returned.notify_all();
}

bool Driver::advance(Context& first) {
  if (first.advance()) return true;
  for (const auto& other : contexts) {
    if (other->advance()) return true;
  }
  if (host_calls == 0) return false;
  host_returned.wait(*held_lock);
  return true;
}

void Driver::run_host_functions_in_background() {
  if (background_) return;
  background_ = true;
  std::thread([this] {
    uint64_t calls_before = 0;
    for (;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      std::unique_lock<std::mutex> lock(mutex());
      held_lock = &lock;
      // A program that waits for its function makes no calls.
      for (size_t device = 0; calls == calls_before && host_calls == 0 && device < contexts.size(); device++) {
        while (contexts[device]->advance()) continue;
      }
      calls_before = calls;
      held_lock = nullptr;
    }
  }).detach();
}

Context& current_context() {
  const auto& stack = current_contexts();
  if (stack.empty() || !stack.back()) refuse(CUDA_ERROR_INVALID_CONTEXT, "no context is current in this thread");
  Context& context = driver().context(stack.back());
  if (!context.active) refuse(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the primary context was released");
  if (context.failed != CUDA_SUCCESS) refuse(context.failed, "the context has failed before");
  return context;
}

// Whether the configuration wants this call to fail.
static const Injection* injection(Driver& all, const char* name) {
  const Injection& any = all.configuration.any_call;
  if (any.at == all.calls) return &any;
  const Injection& named = all.configuration.named_call;
  if (named.at == 0 || named.call != name) return nullptr;
  return ++all.named_calls == named.at ? &named : nullptr;
}

static void inject(Driver& all, const Injection& chosen) {
  const auto& stack = current_contexts();
  if (is_sticky(chosen.error) && !stack.empty() && stack.back()) {
    Context& context = all.context(stack.back());
    context.failed = chosen.error;
    context.abandon();
  }
  refuse(chosen.error, "the configuration wants this call to fail");
}

CUresult enter(const char* name, Needs needs, const std::function<void(Driver&)>& body) {
  if (in_host_function && needs != Needs::nothing) return CUDA_ERROR_NOT_PERMITTED;
  std::unique_lock<std::mutex> lock(mutex());
  Driver& all = driver();
  all.calls++;
  held_lock = &lock;
  call_name = name;
  call_note.clear();
  CUresult result = CUDA_SUCCESS;
  try {
    if (const Injection* chosen = injection(all, name)) inject(all, *chosen);
    if (needs != Needs::nothing && !all.initialised) refuse(CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
    body(all);
    // What ran meanwhile may have failed.
    if (needs == Needs::context) current_context();
  } catch (const Refusal& refusal) {
    result = refusal.code;
    note(refusal.why);
  } catch (const std::bad_alloc&) {
    result = CUDA_ERROR_OUT_OF_MEMORY;
    note("the host has no memory left");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "CUDA simulator: %s failed: %s\n", name, error.what());
    result = CUDA_ERROR_UNKNOWN;
    note(error.what());
  }
  all.journal.call(all.calls, name, result, call_note);
  call_name = nullptr;
  held_lock = nullptr;
  return result;
}

void Driver::report_all_leaks() {
  for (const auto& context : contexts) {
    report_leaks(*context, "left when the process ended");
    if (context->retained > 0)
      journal.finding("leak", format_text("device %d: the primary context is still retained (%d times)",
                                          context->ordinal, context->retained));
  }
}

std::unique_lock<std::mutex> lock_driver() { return std::unique_lock<std::mutex>(mutex()); }

// Runs after everything that the program registered with atexit().
__attribute__((destructor)) static void report_at_exit() { driver().report_all_leaks(); }

}  // namespace simulator::driver
