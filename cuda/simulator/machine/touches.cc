// Touches of all lanes of an access at once. Nearly all of them are in order, and what they touch is alike: untouched
// since the launch or the barrier before, or last read by one warp. Those are loops that the compiler vectorises. The
// rest goes to checks.cc lane by lane; what is found and what is remembered are the same.
#include <cstring>
#include <type_traits>

#include "machine/execution.h"

namespace simulator::machine {
namespace {

using memory::Access;
using memory::Cell;

static_assert(memory::kUninitialised == 0 && memory::kInitialised == 1);

// Bits that are set where bytes are not initialised; before a write they may also be what nobody wrote.
template <typename Word>
Word unready(const uint8_t* state, bool write) {
  constexpr Word kReady = static_cast<Word>(0x0101010101010101u);
  Word word;
  std::memcpy(&word, state, sizeof word);
  return write ? word & ~kReady : word ^ kReady;
}

template <typename Word>
bool places_are_ready(const uint8_t* state, const LaneShape& shape, bool write) {
  Word bad = 0;
  for (int i = 0; i < shape.place_count; i++) {
    const uint8_t* place = state + shape.offsets[shape.places[i].first];
    for (uint32_t byte = 0; byte < shape.bytes; byte += sizeof(Word)) bad |= unready<Word>(place + byte, write);
  }
  return bad == 0;
}

bool piece_is_ready(const uint8_t* state, size_t bytes, bool write) {
  uint8_t bad = 0;
  const uint8_t relevant = write ? 0xfe : 0xff;
  for (size_t i = 0; i < bytes; i++) bad |= (state[i] ^ memory::kInitialised) & relevant;
  return bad == 0;
}

// `state`: of what the first lane accesses.
bool is_ready(const uint8_t* state, const LaneShape& shape, bool write) {
  if (shape.one_piece) return piece_is_ready(state, shape.piece_bytes(), write);
  switch (shape.bytes) {
    case 1:
      return places_are_ready<uint8_t>(state, shape, write);
    case 2:
      return places_are_ready<uint16_t>(state, shape, write);
    case 4:
      return places_are_ready<uint32_t>(state, shape, write);
    default:
      return places_are_ready<uint64_t>(state, shape, write);
  }
}

// The cells of an access, `per_lane` for each lane. A body gets a cell, the accesses of the first and the last lane
// that access it, and a flag for reads where these are not one.
template <typename PerLane>
struct OnePiece {
  Cell* cells;
  size_t count;
  Access base;  // of the first lane
  PerLane per_lane;

  template <typename Body>
  void each(Body body) const {
    size_t i = 0;
    const Access end = base + ((count / per_lane) << memory::kLaneShift);
    for (Access mine = base; mine != end; mine += Access(1) << memory::kLaneShift)
      for (int cell = 0; cell < per_lane; cell++) body(cells[i++], mine, mine, Access(0));
  }
};
template <>
template <typename Body>
void OnePiece<std::integral_constant<int, 1>>::each(Body body) const {
#pragma GCC ivdep
  for (size_t i = 0; i < count; i++) {
    const Access mine = base + (static_cast<Access>(i) << memory::kLaneShift);
    body(cells[i], mine, mine, Access(0));
  }
}
template <typename PerLane>
struct Places {
  Cell* cells;  // of the first lane
  const LaneShape& shape;
  Access base;  // of lane 0
  int shift;    // of the granules
  PerLane per_lane;

  template <typename Body>
  void each(Body body) const {
    for (int i = 0; i < shape.place_count; i++) {
      const auto [first, last] = shape.places[i];
      Cell* const here = cells + (static_cast<int64_t>(shape.offsets[first]) >> shift);
      const Access of_first = base + (static_cast<Access>(first) << memory::kLaneShift);
      const Access of_last = base + (static_cast<Access>(last) << memory::kLaneShift);
      const Access several = first == last ? 0 : memory::kManyLanes;
      for (int cell = 0; cell < per_lane; cell++) body(here[cell], of_first, of_last, several);
    }
  }
};

// Calls `use` with a number that the compiler knows if it is one of the usual ones.
template <typename Use>
bool with_constant(int number, Use use) {
  switch (number) {
    case 1:
      return use(std::integral_constant<int, 1>());
    case 2:
      return use(std::integral_constant<int, 2>());
    case 4:
      return use(std::integral_constant<int, 4>());
    default:
      return use(number);
  }
}

// What cells have in common.
struct Alike {
  bool written = false, read = false;  // some of them, since what orders accesses
  bool of_many_blocks;                 // all were read by several blocks
  bool one_stamp;                      // all were read last under one stamp, that of the sample
};

template <typename Cells>
Alike look_at(const Cells& cells, Access first, Access sample) {
  uint64_t written = 0, read = 0, stamps = 0, few = 0;
  cells.each([&](const Cell& cell, Access, Access, Access) {
    written |= cell.write >= first;
    read |= cell.read >= first;
    stamps |= (cell.read ^ sample) >> memory::kStampShift;
    few |= static_cast<uint64_t>(cell.read < first) | (~cell.read & memory::kManyBlocks);
  });
  return {written != 0, read != 0, few == 0, stamps == 0 && sample >= first};
}

// As Execution::joined, for reads that were last made at one distance.
template <typename Cells>
void join(const Cells& cells, Distance distance) {
  const auto each = [&](auto next) {
    cells.each([&](Cell& cell, Access mine, Access last, Access several) {
      const Access many = cell.read & memory::kFlags;
      cell.read = many == memory::kManyBlocks ? cell.read : next(cell.read, many, mine, last, several);
    });
  };
  switch (distance) {
    case Distance::other_block:
      return each([](Access, Access, Access mine, Access, Access) { return mine | memory::kManyBlocks; });
    case Distance::other_epoch:
      return each([](Access, Access, Access, Access last, Access several) { return last | several; });
    case Distance::other_warp:
      return each([](Access, Access, Access, Access last, Access) { return last | memory::kManyWarps; });
    case Distance::same_warp:
      return each([](Access, Access many, Access, Access last, Access several) {
        return last | (many == memory::kManyWarps ? many : several);
      });
    case Distance::same_turn:
      return each([](Access read, Access many, Access mine, Access last, Access several) {
        const bool again = !many && !several && memory::same_thread(read, mine);
        return again ? read : last | (many == memory::kManyWarps ? many : memory::kManyLanes);
      });
  }
}

// False if others touched some of the cells since what orders accesses.
template <typename Cells>
bool write_all(const Cells& cells, Access first) {
  uint64_t others = 0;
  cells.each([&](const Cell& cell, Access mine, Access, Access) {
    const uint64_t other_write = (cell.write ^ mine) >> memory::kLaneShift;
    const uint64_t other_read = (cell.read ^ mine) >> memory::kLaneShift | (cell.read & memory::kFlags);
    others |= (cell.write >= first ? other_write : 0) | (cell.read >= first ? other_read : 0);
  });
  if (others) return false;
  cells.each([](Cell& cell, Access mine, Access, Access) { cell = {mine, 0}; });
  return true;
}

}  // namespace

void Execution::touch_lanes(Warp& warp, const Region& region, Touch kind, const LaneShape& shape, uint64_t offset) {
  const bool write = kind == Touch::write;
  const auto each_lane = [&](auto body) {
    for_each_lane(shape.mask, [&](int lane) { body(lane, offset + shape.offsets[lane]); });
  };
  if ((!write && kind != Touch::read) || !is_ready(region.state + offset, shape, write))
    return each_lane([&](int lane, uint64_t at) { touch(warp, region, kind, lane, at, shape.bytes); });
  if (region.cells && !touch_alike(warp, region, write, shape, offset))
    each_lane([&](int lane, uint64_t at) { check_race(warp, region, kind, lane, at, shape.bytes); });
  if (write) set_state(region, memory::kInitialised, shape, offset);
}

void Execution::set_state(const Region& region, memory::ByteState state, const LaneShape& shape, uint64_t offset) {
  uint8_t* const first = region.state + offset;
  if (shape.one_piece)
    std::memset(first, state, shape.piece_bytes());
  else
    for_each_lane(shape.mask, [&](int lane) { std::memset(first + shape.offsets[lane], state, shape.bytes); });
}

// False if the cells are not alike; then nothing was remembered.
bool Execution::touch_alike(const Warp& warp, const Region& region, bool write, const LaneShape& shape,
                            uint64_t offset) {
  if (write && !shape.distinct) return false;
  Cell* const cells = region.cells + (offset >> region.shift);
  const auto touch_all = [&](const auto& all) {
    if (write) return write_all(all, region.first);
    const Access sample = cells->read;
    const Alike alike = look_at(all, region.first, sample);
    if (alike.written) return false;
    if (alike.of_many_blocks) return true;
    if (!alike.read)
      all.each([](Cell& cell, Access, Access last, Access several) { cell.read = last | several; });
    else if (alike.one_stamp)
      join(all, distance(warp, sample));
    else
      return false;
    return true;
  };
  const uint32_t pc = warp.fragments[warp.current].pc;
  return with_constant(static_cast<int>(shape.bytes >> region.shift), [&](auto per_lane) {
    if (!shape.one_piece)
      return touch_all(
          Places<decltype(per_lane)>{cells, shape, memory::access_of(warp.stamp, 0, pc), region.shift, per_lane});
    return touch_all(OnePiece<decltype(per_lane)>{cells, shape.piece_bytes() >> region.shift,
                                                  memory::access_of(warp.stamp, shape.first, pc), per_lane});
  });
}

}  // namespace simulator::machine
