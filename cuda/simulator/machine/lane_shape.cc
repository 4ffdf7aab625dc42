#include "machine/lane_shape.h"

#include <algorithm>

namespace simulator::machine {

LaneShape::LaneShape(uint32_t mask, uint32_t bytes, const uint64_t (&addresses)[kWarpSize])
    : mask(mask), bytes(bytes), first(static_cast<uint32_t>(__builtin_ctz(mask))), offsets{} {
  before = after = low_bits = 0;
  place_count = 0;
  const uint32_t run = mask >> first;
  one_piece = !(run & (run + 1));
  for_each_lane(mask, [&](int lane) {
    const uint64_t offset = offsets[lane] = addresses[lane] - addresses[first];
    low_bits |= offset;
    if (static_cast<int64_t>(offset) < 0)
      before = std::max(before, -offset);
    else
      after = std::max(after, offset);
    one_piece &= offset == uint64_t(bytes) * (static_cast<uint32_t>(lane) - first);
    Place* const known =
        std::find_if(places, places + place_count, [&](Place place) { return offsets[place.first] == offset; });
    if (known == places + place_count) places[place_count++].first = static_cast<uint8_t>(lane);
    known->last = static_cast<uint8_t>(lane);
  });
  distinct = place_count == __builtin_popcount(mask);
}

bool LaneShape::fits(uint32_t other_mask, const uint64_t (&addresses)[kWarpSize]) const {
  const uint64_t start = addresses[first];
  uint64_t differs = 0;
  if (mask == kAllLanes) {
    for (int lane = 0; lane < kWarpSize; lane++) differs |= (addresses[lane] - start) ^ offsets[lane];
  } else {
    for (int lane = 0; lane < kWarpSize; lane++)
      differs |= mask >> lane & 1 ? (addresses[lane] - start) ^ offsets[lane] : 0;
  }
  return mask == other_mask && !differs;
}

}  // namespace simulator::machine
