// Graphs that streams captured. None is built by hand here.
#include "driver/capture.h"
#include "driver/driver.h"

using namespace simulator::driver;

CUresult cuGraphCreate(CUgraph* handle, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    if (flags != 0) refuse(CUDA_ERROR_INVALID_VALUE, "flags must be 0");
    auto graph = std::make_shared<Graph>();
    graph->context = &context;
    required(handle, "the graph") = driver().graphs.add(std::move(graph));
  });
}

CUresult cuGraphDestroy(CUgraph graph) {
  return in_context(__func__, [&](Context&) { driver().graphs.remove(graph); });
}

CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  return in_context(__func__, [&](Context&) {
    Graph& graph = *driver().graphs.at(handle);
    const size_t all = graph.plan.size();
    while (graph.nodes.size() < all) graph.nodes.push_back(next_handle());
    const size_t wanted = required(count, "the count");
    for (size_t i = 0; nodes && i < wanted; i++)
      nodes[i] = i < all ? reinterpret_cast<CUgraphNode>(graph.nodes[i]) : nullptr;
    *count = nodes ? std::min(wanted, all) : all;
  });
}

static void instantiate(Context& context, CUgraphExec* handle, CUgraph graph) {
  auto exec = std::make_shared<GraphExec>();
  exec->context = &context;
  exec->plan = std::make_shared<const Plan>(driver().graphs.at(graph)->plan);
  required(handle, "the executable graph") = driver().graph_execs.add(std::move(exec));
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags) {
  return in_context(__func__, [&](Context& context) {
    if (flags & ~CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)
      refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator instantiates no graphs with the flags %#llx", flags);
    instantiate(context, exec, graph);
  });
}

CUresult cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* log, size_t bytes) {
  return in_context(__func__, [&](Context& context) {
    if (error_node) *error_node = nullptr;
    if (log && bytes) *log = 0;
    instantiate(context, exec, graph);
  });
}

CUresult cuGraphExecDestroy(CUgraphExec exec) {
  return in_context(__func__, [&](Context&) { driver().graph_execs.remove(exec); });
}

// Destinations on the host hold poison until the graph's copies have arrived, where no node reads them before.
static void poison_destinations(const Context& context, const Plan& plan) {
  for (const Node& node : plan) {
    const HostRange range = node.work->writes();
    bool read = range.bytes == 0 || context.will_read(range);
    for (const Node& other : plan) read |= other.work->reads().overlaps(range);
    if (!read) node.work->poison();
  }
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
  return in_context(__func__, [&](Context& context) {
    GraphExec& exec = *driver().graph_execs.at(handle);
    Stream& stream = stream_at(context, stream_handle);
    if (exec.context != &context)
      refuse_misuse(CUDA_ERROR_INVALID_HANDLE, "the graph is of device %d, the stream of device %d",
                    exec.context->ordinal, context.ordinal);
    if (stream.capture) refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator captures no launches of graphs");
    refuse_implicit(stream);
    poison_destinations(context, *exec.plan);
    std::vector<std::shared_ptr<Mark>> after;
    if (exec.last) after.push_back(exec.last);
    exec.last = context.queue(stream, exec.plan, std::move(after))->mark;
    context.drift();
  });
}

// Why one plan cannot take another's place, if it cannot.
static CUgraphExecUpdateResult compare(const Plan& old, const Plan& next, std::string& why) {
  if (old.size() != next.size()) {
    why = format_text("%zu nodes instead of %zu", next.size(), old.size());
    return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
  }
  for (size_t i = 0; i < old.size(); i++) {
    if (old[i].after != next[i].after) {
      why = format_text("node %zu comes after other nodes", i);
      return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    }
    if (const char* changed = old[i].work->refuses_update(*next[i].work)) {
      why = format_text("%s of node %zu has changed", changed, i);
      return old[i].work->kind() == next[i].work->kind() ? CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED
                                                         : CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
    }
  }
  return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

static CUgraphExecUpdateResult update(CUgraphExec handle, CUgraph graph, std::string& why) {
  GraphExec& exec = *driver().graph_execs.at(handle);
  const Plan& next = driver().graphs.at(graph)->plan;
  const CUgraphExecUpdateResult result = compare(*exec.plan, next, why);
  // Launches that are queued hold the plan that they were launched with.
  if (result == CU_GRAPH_EXEC_UPDATE_SUCCESS) exec.plan = std::make_shared<const Plan>(next);
  return result;
}

CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node, CUgraphExecUpdateResult* result) {
  return in_context(__func__, [&](Context&) {
    std::string why;
    required(result, "the result") = update(exec, graph, why);
    if (error_node) *error_node = nullptr;
    if (!why.empty()) refuse(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "%s", why.c_str());
  });
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  return in_context(__func__, [&](Context&) {
    std::string why;
    required(info, "the result") = {};
    info->result = update(exec, graph, why);
    if (!why.empty()) refuse(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "%s", why.c_str());
  });
}
