// Modules, functions and graphs: what a context's handles stand for beside streams and events.
#pragma once

#include <memory>
#include <string>

#include "driver/stream.h"
#include "machine/launch.h"

namespace simulator::driver {

struct Module {
  Context* context = nullptr;
  std::unique_ptr<machine::Program> program;
  std::map<std::string, CUfunction> functions;
  bool unloaded = false;
};

struct Function {
  Context* context = nullptr;
  std::shared_ptr<Module> module;
  const ptx::Kernel* kernel = nullptr;
  int dynamic_shared_limit = 0;  // as cuFuncSetAttribute set it; at first what 48 KB leave
  int registers = 0;             // of a thread
};

struct Graph {
  Context* context = nullptr;
  Plan plan;
  std::vector<uintptr_t> nodes;  // handles of the nodes that were asked for
};

struct GraphExec {
  Context* context = nullptr;
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<Mark> last;  // of its launch before: they run one after another
};

}  // namespace simulator::driver
