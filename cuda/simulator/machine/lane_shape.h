// How the lanes of a warp's access lie to each other. Most instructions access memory in one shape each time, so that
// it is looked at once.
#pragma once

#include <cstdint>

#include "machine/warp.h"

namespace simulator::machine {

struct LaneShape {
  // The lanes of a mask, which is not empty, access as many bytes each, a power of two.
  LaneShape(uint32_t mask, uint32_t bytes, const uint64_t (&addresses)[kWarpSize]);
  bool fits(uint32_t mask, const uint64_t (&addresses)[kWarpSize]) const;

  bool aligned(uint64_t first_address) const { return !((first_address | low_bits) & (bytes - 1)); }
  // Whether all that is accessed lies in [0, size), if the first lane accesses what is at `offset`.
  bool lies_in(uint64_t size, uint64_t offset) const {
    return size >= bytes && offset <= size && offset >= before && offset + after <= size - bytes;
  }

  // Of all lanes of one piece.
  uint32_t piece_bytes() const { return bytes * static_cast<uint32_t>(__builtin_popcount(mask)); }

  uint32_t mask, bytes;
  uint32_t first;               // lane of the mask
  uint64_t offsets[kWarpSize];  // from what the first lane accesses; 0 for lanes that are not in the mask
  uint64_t before, after;       // the farthest of them, down and up
  uint64_t low_bits;            // of all of them
  bool one_piece;               // neighbours in memory, in the order of the lanes, which are neighbours too
  bool distinct;                // no two lanes access the same
  // Lanes that access the same, by the first and the last of them.
  struct Place {
    uint8_t first, last;
  };
  int place_count;
  Place places[kWarpSize];
};

}  // namespace simulator::machine
