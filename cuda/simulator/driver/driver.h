// The state of the stand-in driver, and how calls enter it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "driver/configuration.h"
#include "driver/context.h"
#include "driver/handles.h"
#include "driver/host_memory.h"
#include "driver/journal.h"
#include "driver/module.h"
#include "driver/refusal.h"

namespace simulator::driver {

struct Driver {
  Driver();
  // Reads the configuration anew and forgets everything else.
  void restart();

  Configuration configuration;
  Journal journal;
  uint64_t calls = 0;
  uint64_t named_calls = 0;  // of the one that the configuration wants to fail
  bool initialised = false;
  uint64_t captures = 0;
  uint64_t restarts = 0;

  std::vector<std::unique_ptr<Context>> contexts;  // one of each device
  Table<Stream, CUstream> streams{"stream"};
  Table<Event, CUevent> events{"event"};
  Table<Module, CUmodule> modules{"module"};
  Table<Function, CUfunction> functions{"function"};
  Table<Graph, CUgraph> graphs{"graph"};
  Table<GraphExec, CUgraphExec> graph_execs{"executable graph"};
  HostMemory host_memory;

  Context& device(CUdevice ordinal);
  Context& context(CUcontext handle);
  // What still lives of a context, as findings. `when` ends the sentences.
  void report_leaks(Context& context, const char* when);
  // Of all contexts, and those that are still retained.
  void report_all_leaks();
  // Lets the host be called without the lock.
  void call_host(const std::function<void()>& function);
  // Has host functions called also where nothing synchronises.
  void run_host_functions_in_background();
  // Runs something in any context, first in this one; waits if a host function is being called. False if all is idle.
  bool advance(Context& first);
  // Called after a host function has returned.
  std::condition_variable host_returned;
  int host_calls = 0;

 private:
  bool background_ = false;
};

// Never destroyed: programs may call as late as they like.
Driver& driver();

// For what is no call of the driver.
std::unique_lock<std::mutex> lock_driver();
template <typename Body>
auto locked(Body body) {
  const auto lock = lock_driver();
  return body(driver());
}

// What a call needs.
enum class Needs { nothing, initialisation, context };

// Counts the call, lets it fail if the configuration says so, takes the lock and runs `body`, which may refuse.
CUresult enter(const char* name, Needs needs, const std::function<void(Driver&)>& body);

// The name of the call that this thread is in.
const char* current_call();

// What the log says of the call that this thread is in.
void note(std::string text);

// The contexts that are current in this thread, the last one first in line.
std::vector<CUcontext>& current_contexts();
// The current context, which must live and not have failed. Refuses otherwise.
Context& current_context();

template <typename Body>
CUresult anytime(const char* name, Body body) {
  return enter(name, Needs::nothing, body);
}
template <typename Body>
CUresult initialised(const char* name, Body body) {
  return enter(name, Needs::initialisation, body);
}
template <typename Body>
CUresult in_context(const char* name, Body body) {
  return enter(name, Needs::context, [&](Driver&) { body(current_context()); });
}

// Refuses null.
template <typename T>
T& required(T* pointer, const char* what) {
  if (!pointer) refuse(CUDA_ERROR_INVALID_VALUE, "%s is null", what);
  return *pointer;
}

}  // namespace simulator::driver
