// Who touched a piece of memory last, to find races.
//
// Every warp has a stamp, a number that is new after each barrier. A cell remembers the stamps of the last write and of
// the last reads; two accesses are ordered if they come from one thread, or from one block in different barrier epochs.
#pragma once

#include <cstdint>
#include <vector>

namespace simulator::memory {

// State of a byte of global or shared memory: never written; written; destination of a copy that was not waited for;
// between two variables.
enum ByteState : uint8_t { kUninitialised = 0, kInitialised = 1, kPending = 2, kGap = 3 };

// An access: stamp << 32 | lane << 27 | place << 2 | flags. The place is the number of the instruction in its kernel.
// 0: none.
using Access = uint64_t;

struct Cell {
  Access write;
  Access read;
};

// Flags of writes: an atomic one. Flags of reads: more threads than one read, of one warp, block or launch.
constexpr Access kAtomic = 1;
constexpr Access kManyLanes = 1, kManyWarps = 2, kManyBlocks = 3;
constexpr Access kFlags = 3;
constexpr int kPlaceShift = 2, kLaneShift = 27, kStampShift = 32;
constexpr uint32_t kMaxPlace = (1u << (kLaneShift - kPlaceShift)) - 1;
constexpr uint32_t kMaxStamp = UINT32_MAX;

constexpr Access access_of(uint32_t stamp, uint32_t lane, uint32_t place) {
  return Access(stamp) << kStampShift | lane << kLaneShift | place << kPlaceShift;
}
// Less than any access of the stamp or of a later one, and more than those of earlier stamps.
constexpr Access first_of(uint32_t stamp) { return Access(stamp) << kStampShift; }
constexpr uint32_t stamp_of(Access access) { return static_cast<uint32_t>(access >> kStampShift); }
constexpr uint32_t lane_of(Access access) { return access >> kLaneShift & 31; }
constexpr uint32_t place_of(Access access) { return access >> kPlaceShift & kMaxPlace; }
// Whether one thread made both, between the same two barriers.
constexpr bool same_thread(Access a, Access b) { return (a ^ b) >> kLaneShift == 0; }

// What a stamp stands for.
struct Segment {
  uint64_t block;
  uint32_t warp;
  uint32_t barrier_epoch;
};

// The stamps of one device. Those before `first` belong to launches that are over.
struct Stamps {
  uint32_t first = 1;
  std::vector<Segment> segments;  // of the stamps from `first` on
  uint32_t next() const { return first + static_cast<uint32_t>(segments.size()); }
  const Segment& operator[](uint32_t stamp) const { return segments[stamp - first]; }
  void begin_launch() {
    first = next();
    segments.clear();
  }
  // As at the very beginning; all cells have to be cleared with it.
  void restart() {
    first = 1;
    segments.clear();
  }
  uint32_t take(const Segment& segment) {
    segments.push_back(segment);
    return next() - 1;
  }
};

}  // namespace simulator::memory
