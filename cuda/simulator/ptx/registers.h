#pragma once

#include <vector>

#include "ptx/body.h"

namespace simulator::ptx {

// How many registers of 32 bits a thread needs, predicates aside, if registers are shared by values that are not alive
// at once.
int registers_alive_at_once(const Body& body);

// Places in a register file of slots of 4 bytes a lane (8-byte registers have two slots), so that values that are alive
// at once have different ones; -1: never used.
struct RegisterPlaces {
  std::vector<int> slot;  // of each register
  int slots = 0;
};
RegisterPlaces place_registers(const Body& body);

}  // namespace simulator::ptx
