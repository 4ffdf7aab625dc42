// Which registers may lie in the same place because they are never needed at once. nvcc gives every value a register of
// its own, thousands of them, which no cache would hold for all warps.
#pragma once

#include <cstddef>
#include <vector>

#include "ptx/body.h"

namespace simulator::ptx {

struct RegisterPlaces {
  // Of each register, in bytes of a lane: registers of 64 bits take 8, shorter ones 4, predicates lie in a file of
  // their own and take 1. -1: the register is never used.
  std::vector<int> place;
  int bytes = 0;  // of a lane
  int predicates = 0;
};
RegisterPlaces place_registers(const Body& body);

// The most registers of 32 bits that a thread needs at once, predicates aside: what ptxas would allocate, about.
int registers_alive_at_once(const Body& body);

}  // namespace simulator::ptx
