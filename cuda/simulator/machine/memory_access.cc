// Loads, stores and addresses.
#include <cstring>

#include "machine/execution.h"

namespace simulator::machine {

using ptx::Space;
using report::Kind;

void Execution::addresses(const Warp& warp, const Instruction& instruction, int which,
                          uint64_t (&result)[kWarpSize]) const {
  const void* base = at(warp, instruction.bases[which]);
  const uint64_t offset = static_cast<uint64_t>(instruction.offsets[which]);
  if (instruction.wide_address[which]) {
    const uint64_t* lanes = static_cast<const uint64_t*>(base);
    for (int lane = 0; lane < kWarpSize; lane++) result[lane] = lanes[lane] + offset;
  } else {
    const uint32_t* lanes = static_cast<const uint32_t*>(base);
    for (int lane = 0; lane < kWarpSize; lane++) result[lane] = lanes[lane] + offset;
  }
}

const LaneShape& Execution::shape_of(const Warp& warp, uint32_t mask, const uint64_t (&at)[kWarpSize], uint32_t bytes,
                                     int which) {
  std::unique_ptr<LaneShape>& last = shapes_[which][warp.fragments[warp.current].pc];
  if (!last || !last->fits(mask, at)) last = std::make_unique<LaneShape>(mask, bytes, at);
  return *last;
}

Space Execution::resolve(const Instruction& instruction, uint32_t& mask, uint64_t (&at)[kWarpSize]) const {
  if (instruction.space == Space::constant) return Space::global;
  if (instruction.space != Space::generic) return instruction.space;
  const auto window_of = [](uint64_t address) {
    if (address - kSharedWindow < kWindowBytes) return Space::shared;
    if (address - kLocalWindow < kWindowBytes) return Space::local;
    if (address - kParameterWindow < kWindowBytes) return Space::parameter;
    return Space::global;
  };
  const Space space = window_of(at[__builtin_ctz(mask)]);
  for_each_lane(mask, [&](int lane) {
    if (window_of(at[lane]) != space) mask &= ~(1u << lane);
  });
  const uint64_t start = space == Space::shared      ? kSharedWindow
                         : space == Space::local     ? kLocalWindow
                         : space == Space::parameter ? kParameterWindow
                                                     : 0;
  for_each_lane(mask, [&](int lane) { at[lane] -= start; });
  return space;
}

void Execution::check_alignment(Warp& warp, const LaneShape& shape, const uint64_t (&at)[kWarpSize]) {
  if (shape.aligned(at[shape.first])) return;
  for_each_lane(shape.mask, [&](int lane) {
    if (at[lane] & (shape.bytes - 1))
      fail(Kind::misaligned,
           "address " + std::to_string(at[lane]) + " is no multiple of " + std::to_string(shape.bytes), warp, lane);
  });
}

Region Execution::shared_region(Block& block) const {
  Region region;
  region.data = block.shared.data();
  region.state = block.state.data();
  region.cells = block.cells.data();
  region.bytes = block.shared.size();
  region.shift = code_.shared_shift;
  region.first = block.epoch_first;
  region.space = Space::shared;
  return region;
}

// The region that holds an address, all of its bytes.
Region Execution::region_of(Warp& warp, Space space, uint64_t address, uint32_t bytes, int lane) {
  Region region;
  if (space == Space::shared) {
    region = shared_region(*warp.block);
    if (address > region.bytes || bytes > region.bytes - address)
      fail(Kind::out_of_bounds,
           "shared address " + std::to_string(address) + " beyond " + std::to_string(region.bytes) + " bytes", warp,
           lane);
    return region;
  }
  if (space == Space::local || space == Space::parameter) {
    const bool local = space == Space::local;
    const size_t first = lane * code_.kernel->local_bytes;
    region.data = local ? warp.local.data() + first : const_cast<std::byte*>(launch_.parameters.data());
    region.state = local ? warp.local_state.data() + first : nullptr;
    region.bytes = local ? code_.kernel->local_bytes : launch_.parameters.size();
    region.space = space;
    region.read_only = !local;
    if (address > region.bytes || bytes > region.bytes - address)
      fail(Kind::out_of_bounds,
           std::string(local ? "local" : "parameter") + " address " + std::to_string(address) + " beyond " +
               std::to_string(region.bytes) + " bytes",
           warp, lane);
    return region;
  }
  memory::Allocation*& last = last_found_[warp.fragment().pc];
  if (!last || address - last->address >= last->bytes) last = memory_.find(address);
  const auto describe = [&](const std::string& what) {
    std::string text = std::to_string(bytes) + " bytes at address " + std::to_string(address) + what;
    if (last)
      text += " (offset " + std::to_string(address - last->address) + " of an allocation of " +
              std::to_string(last->bytes) + " bytes" + (last->name.empty() ? "" : ", " + last->name) + ")";
    return text;
  };
  if (!last) fail(Kind::out_of_bounds, describe(" lie in no allocation"), warp, lane);
  if (last->freed) fail(Kind::use_after_free, describe(" lie in memory that was freed"), warp, lane);
  const uint64_t offset = address - last->address;
  if (offset > last->bytes || bytes > last->bytes - offset)
    fail(Kind::out_of_bounds, describe(" lie outside"), warp, lane);
  region.data = last->data;
  region.state = last->state;
  region.cells = last->cells;
  region.address = last->address;
  region.bytes = last->bytes;
  region.shift = code_.global_shift;
  region.first = launch_first_;
  region.read_only = last->read_only;
  return region;
}

namespace {

using Places = std::byte* [kWarpSize];

// Elements of type E between memory and registers whose lanes are of type L. Signed ones are extended to
// `register_mask`.
template <typename E, typename L>
void load_lanes(void* registers, const Places& places, size_t offset, uint32_t mask, L register_mask) {
  L* lanes = static_cast<L*>(registers);
  const auto move = [&](int lane) {
    E value;
    std::memcpy(&value, places[lane] + offset, sizeof value);
    lanes[lane] = static_cast<L>(value) & register_mask;
  };
  if (mask != kAllLanes) return for_each_lane(mask, move);
  for (int lane = 0; lane < kWarpSize; lane++) move(lane);
}
template <typename E, typename L>
void store_lanes(const void* registers, const Places& places, size_t offset, uint32_t mask) {
  const L* lanes = static_cast<const L*>(registers);
  const auto move = [&](int lane) {
    const E value = static_cast<E>(lanes[lane]);
    std::memcpy(places[lane] + offset, &value, sizeof value);
  };
  if (mask != kAllLanes) return for_each_lane(mask, move);
  for (int lane = 0; lane < kWarpSize; lane++) move(lane);
}

template <typename E>
void move_lanes(bool store, bool wide, void* registers, const Places& places, size_t offset, uint32_t mask,
                uint32_t register_mask) {
  if (store && wide)
    store_lanes<E, uint64_t>(registers, places, offset, mask);
  else if (store)
    store_lanes<E, uint32_t>(registers, places, offset, mask);
  else if (wide)
    load_lanes<E, uint64_t>(registers, places, offset, mask, ~uint64_t(0));
  else
    load_lanes<E, uint32_t>(registers, places, offset, mask, register_mask);
}

}  // namespace

void Execution::access(Warp& warp, const Instruction& instruction, Space space, uint32_t mask,
                       uint64_t (&at_)[kWarpSize]) {
  const bool is_store = instruction.opcode == ptx::Opcode::store;
  const uint32_t element = instruction.bytes, bytes = element * instruction.count;
  const LaneShape& shape = shape_of(warp, mask, at_, bytes);
  check_alignment(warp, shape, at_);
  if (!traffic_.empty()) {
    if (space == Space::global) note_global(warp, mask, at_, bytes, is_store);
    if (space == Space::shared) note_shared(warp, mask, at_, bytes, is_store);
    if (space == Space::local) traffic_[warp.fragment().pc].local_bytes += uint64_t(__builtin_popcount(mask)) * bytes;
  }
  const bool shadowed = checks_ && space != Space::parameter;
  const Touch kind = is_store ? (instruction.strong ? Touch::atomic : Touch::write)
                              : (instruction.strong ? Touch::strong_read : Touch::read);
  Places places;
  const auto find = [&](int lane) {
    const Region region = region_of(warp, space, at_[lane], bytes, lane);
    if (is_store && region.read_only) fail(Kind::read_only, "a write to constant memory", warp, lane);
    return region;
  };
  Region region = find(static_cast<int>(shape.first));
  const uint64_t first_offset = at_[shape.first] - region.address;
  if (space != Space::local && shape.lies_in(region.bytes, first_offset)) {
    if (shadowed) touch_lanes(warp, region, kind, shape, first_offset);
    for (int lane = 0; lane < kWarpSize; lane++) places[lane] = region.data + first_offset + shape.offsets[lane];
  } else {
    for_each_lane(mask, [&](int lane) {
      region = find(lane);
      const uint64_t offset = at_[lane] - region.address;
      if (shadowed) touch(warp, region, kind, lane, offset, bytes);
      places[lane] = region.data + offset;
    });
  }
  const bool wide = instruction.second_storage == Storage::lanes64;
  // A register of 16 bits lies zero-extended in 32, even if what is loaded has a sign.
  const uint32_t register_mask = instruction.short_registers ? 0xffff : UINT32_MAX;
  const bool with_sign = ptx::is_signed(instruction.type) && !is_store;
  for (int i = 0; i < instruction.count; i++) {
    const auto move = [&](auto sample) {
      move_lanes<decltype(sample)>(is_store, wide, at(warp, instruction.sources[i]), places, i * element, mask,
                                   register_mask);
    };
    switch (element) {
      case 1:
        with_sign ? move(int8_t()) : move(uint8_t());
        break;
      case 2:
        with_sign ? move(int16_t()) : move(uint16_t());
        break;
      case 4:
        with_sign ? move(int32_t()) : move(uint32_t());
        break;
      default:
        move(uint64_t());
        break;
    }
  }
}

void Execution::load(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint64_t at[kWarpSize];
  addresses(warp, instruction, 0, at);
  for (uint32_t rest = mask; rest;) {
    uint32_t lanes = rest;
    const Space space = resolve(instruction, lanes, at);
    access(warp, instruction, space, lanes, at);
    rest &= ~lanes;
  }
}

void Execution::store(Warp& warp, const Instruction& instruction, uint32_t mask) { load(warp, instruction, mask); }

void Execution::convert_address(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint64_t start = instruction.space == Space::shared      ? kSharedWindow
                         : instruction.space == Space::local     ? kLocalWindow
                         : instruction.space == Space::parameter ? kParameterWindow
                                                                 : 0;
  const uint64_t* from = static_cast<const uint64_t*>(at(warp, instruction.sources[0]));
  uint64_t* to = static_cast<uint64_t*>(at(warp, instruction.destination));
  for_each_lane(mask, [&](int lane) { to[lane] = instruction.flag ? from[lane] - start : from[lane] + start; });
}

void Execution::is_space(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint64_t* from = static_cast<const uint64_t*>(at(warp, instruction.sources[0]));
  uint32_t result = 0;
  for_each_lane(mask, [&](int lane) {
    const auto in = [&](uint64_t window) { return from[lane] - window < kWindowBytes; };
    const bool elsewhere = in(kSharedWindow) || in(kLocalWindow) || in(kParameterWindow);
    const bool holds = instruction.space == Space::shared      ? in(kSharedWindow)
                       : instruction.space == Space::local     ? in(kLocalWindow)
                       : instruction.space == Space::parameter ? in(kParameterWindow)
                                                               : !elsewhere;
    result |= uint32_t(holds) << lane;
  });
  uint32_t& to = *words(warp, instruction.destination);
  to = (to & ~mask) | result;
}

}  // namespace simulator::machine
