#pragma once

#include "ptx/body.h"

namespace simulator::ptx {

// Basic blocks.
struct Graph {
  std::vector<int> first;                    // the first instruction of each block
  std::vector<std::vector<int>> successors;  // of each block; the exit is the last block, an empty one
  std::vector<int> block_of;                 // of each instruction
};
Graph graph_of(const std::vector<Instruction>& code);

// Fills body.reconvergence.
void find_reconvergence(Body& body);

}  // namespace simulator::ptx
