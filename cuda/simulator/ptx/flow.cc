// Immediate post-dominators of branches, after Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm", on the
// reversed graph of basic blocks.
#include "ptx/flow.h"

#include <algorithm>

namespace simulator::ptx {
namespace {

bool ends_block(const Instruction& instruction) {
  return instruction.opcode == Opcode::branch || instruction.opcode == Opcode::branch_table ||
         instruction.opcode == Opcode::exit || instruction.opcode == Opcode::trap;
}

// Blocks in an order in which each comes after all it leads to, loops aside, from the exit backwards.
std::vector<int> reverse_order(const std::vector<std::vector<int>>& predecessors, int exit) {
  std::vector<int> order;
  std::vector<char> seen(predecessors.size(), 0);
  std::vector<std::pair<int, size_t>> stack = {{exit, 0}};
  seen[exit] = 1;
  while (!stack.empty()) {
    auto& [block, next] = stack.back();
    if (next < predecessors[block].size()) {
      const int to = predecessors[block][next++];
      if (!seen[to]) {
        seen[to] = 1;
        stack.push_back({to, 0});
      }
    } else {
      order.push_back(block);
      stack.pop_back();
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace

Graph graph_of(const std::vector<Instruction>& code) {
  Graph graph;
  const int count = static_cast<int>(code.size());
  std::vector<char> leads(code.size() + 1, 0);
  leads[0] = 1;
  for (int i = 0; i < count; i++) {
    if (!ends_block(code[i])) continue;
    leads[i + 1] = 1;
    for (const int target : code[i].targets) leads[target] = 1;
  }
  graph.block_of.resize(code.size() + 1);
  for (int i = 0; i < count; i++) {
    if (leads[i]) graph.first.push_back(i);
    graph.block_of[i] = static_cast<int>(graph.first.size()) - 1;
  }
  const int exit = static_cast<int>(graph.first.size());
  graph.block_of[count] = exit;
  graph.first.push_back(count);
  graph.successors.resize(exit + 1);
  for (int block = 0; block < exit; block++) {
    const int last = graph.first[block + 1] - 1;
    const Instruction& instruction = code[last];
    std::vector<int>& to = graph.successors[block];
    for (const int target : instruction.targets) to.push_back(graph.block_of[target]);
    if (instruction.opcode == Opcode::exit || instruction.opcode == Opcode::trap) to.push_back(exit);
    // A guard lets threads fall through. The end of the code is an exit.
    if (!ends_block(instruction) || instruction.guard >= 0) to.push_back(graph.block_of[last + 1]);
    if (to.empty()) to.push_back(exit);
  }
  return graph;
}

void find_reconvergence(Body& body) {
  const std::vector<Instruction>& code = body.instructions;
  body.reconvergence.assign(code.size(), -1);
  if (code.empty()) return;
  const Graph graph = graph_of(code);
  const int exit = static_cast<int>(graph.first.size()) - 1;
  std::vector<std::vector<int>> predecessors(graph.successors.size());
  for (int block = 0; block < exit; block++)
    for (const int to : graph.successors[block]) predecessors[to].push_back(block);
  const std::vector<int> order = reverse_order(predecessors, exit);
  std::vector<int> rank(graph.successors.size(), -1);
  for (size_t i = 0; i < order.size(); i++) rank[order[i]] = static_cast<int>(i);
  std::vector<int> dominator(graph.successors.size(), -1);
  dominator[exit] = exit;
  const auto meeting = [&](int a, int b) {
    while (a != b) {
      while (rank[a] > rank[b]) a = dominator[a];
      while (rank[b] > rank[a]) b = dominator[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (const int block : order) {
      if (block == exit) continue;
      int found = -1;
      for (const int to : graph.successors[block]) {
        if (rank[to] < 0 || dominator[to] < 0) continue;  // an endless loop, or not known yet
        found = found < 0 ? to : meeting(found, to);
      }
      if (found >= 0 && dominator[block] != found) {
        dominator[block] = found;
        changed = true;
      }
    }
  }
  for (int block = 0; block < exit; block++) {
    const int last = graph.first[block + 1] - 1;
    if (dominator[block] >= 0 && dominator[block] != exit) body.reconvergence[last] = graph.first[dominator[block]];
  }
}

}  // namespace simulator::ptx
