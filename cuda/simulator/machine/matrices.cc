// mma, ldmatrix, stmatrix: PTX ISA, "Warp-level matrix instructions".
#include <cstring>

#include "machine/execution.h"
#include "machine/lanes/numbers.h"

namespace simulator::machine {
namespace {

constexpr int kRows = 16, kColumns = 8;

// The one or two elements of each lane's register.
struct Elements {
  alignas(64) float first[kWarpSize], second[kWarpSize];
};

Elements elements_of(const uint32_t* bits, ptx::Type type) {
  Elements elements;
  switch (type) {
    case ptx::Type::tf32:
      for (int lane = 0; lane < kWarpSize; lane++) elements.first[lane] = from_tf32(bits[lane]);
      break;
    case ptx::Type::bf16:
      for (int lane = 0; lane < kWarpSize; lane++) {
        elements.first[lane] = float_of(bits[lane] << 16);
        elements.second[lane] = float_of(bits[lane] & 0xffff0000);
      }
      break;
    default:
      for (int lane = 0; lane < kWarpSize; lane++) {
        elements.first[lane] = from_f16(bits[lane] & 0xffff);
        elements.second[lane] = from_f16(bits[lane] >> 16);
      }
      break;
  }
  return elements;
}

}  // namespace

// A lane's group is lane / 4, its place in the group lane % 4. 16-bit types: register i of a holds row group + 8 (i %
// 2), columns 2 place + 8 (i / 2) and the next; register i of b rows 2 place + 8 i and the next of column group. tf32:
// register i of a holds row group + 8 (i % 2), column place + 4 (i / 2); register i of b row place + 4 i. Sums:
// register i holds row group + 8 (i / 2), column 2 place + i % 2.
void Execution::matrix_multiply(Warp& warp, const Instruction& instruction) {
  const Slot* slots = code_.lists.data() + instruction.list;
  const bool tf32 = instruction.type == ptx::Type::tf32;
  const int depth = instruction.count;
  const int a_registers = tf32 ? depth / 2 : depth / 4, b_registers = a_registers / 2;
  const int sums = instruction.flag ? 2 : 4;
  const Slot *d = slots, *a = d + sums, *b = a + a_registers, *c = b + b_registers;
  alignas(64) float left[kRows][16], right[16][kColumns], result[kRows][kColumns] = {};
  for (int i = 0; i < a_registers; i++) {
    const Elements elements = elements_of(words(warp, a[i]), instruction.type);
    for (int lane = 0; lane < kWarpSize; lane++) {
      float* row = left[lane / 4 + 8 * (i % 2)];
      const int place = lane % 4;
      if (tf32) {
        row[place + 4 * (i / 2)] = elements.first[lane];
      } else {
        row[2 * place + 8 * (i / 2)] = elements.first[lane];
        row[2 * place + 8 * (i / 2) + 1] = elements.second[lane];
      }
    }
  }
  for (int i = 0; i < b_registers; i++) {
    const Elements elements = elements_of(words(warp, b[i]), instruction.type);
    for (int lane = 0; lane < kWarpSize; lane++) {
      const int column = lane / 4, place = lane % 4;
      if (tf32) {
        right[place + 4 * i][column] = elements.first[lane];
      } else {
        right[2 * place + 8 * i][column] = elements.first[lane];
        right[2 * place + 8 * i + 1][column] = elements.second[lane];
      }
    }
  }
  for (int row = 0; row < kRows; row++)
    for (int k = 0; k < depth; k++)
      for (int column = 0; column < kColumns; column++) result[row][column] += left[row][k] * right[k][column];
  const auto noisy = [&](float value) {
    const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffff;
    if (!launch_.noise || magnitude < 0x00800010 || magnitude > 0x7f7ffff0) return value;
    return float_of(bits + static_cast<uint32_t>(random_.below(5)) - 2);
  };
  // All sources are read by now but c, whose registers may be those of d.
  if (instruction.flag) {
    for (int i = 0; i < 2; i++) {
      const uint32_t* before = words(warp, c[i]);
      uint32_t* after = words(warp, d[i]);
      for (int lane = 0; lane < kWarpSize; lane++) {
        const float* row = result[lane / 4 + 8 * i] + 2 * (lane % 4);
        after[lane] = to_f16(from_f16(before[lane] & 0xffff) + row[0]) | to_f16(from_f16(before[lane] >> 16) + row[1])
                                                                             << 16;
      }
    }
    return;
  }
  float out[4][kWarpSize];
  for (int i = 0; i < 4; i++) {
    const float* before = reinterpret_cast<const float*>(words(warp, c[i]));
    for (int lane = 0; lane < kWarpSize; lane++)
      out[i][lane] = noisy(before[lane] + result[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2]);
  }
  for (int i = 0; i < 4; i++) std::memcpy(words(warp, d[i]), out[i], sizeof out[i]);
}

// Lanes 8 i … 8 i + 7 give the addresses of the rows of matrix i. A lane holds two neighbours of row lane / 4;
// transposed, of column lane / 4.
void Execution::matrix_move(Warp& warp, const Instruction& instruction) {
  const bool store = instruction.opcode == ptx::Opcode::matrix_store;
  const int rows = 8 * instruction.count;
  const uint32_t mask = rows == kWarpSize ? kAllLanes : (1u << rows) - 1;
  uint64_t where[kWarpSize];
  addresses(warp, instruction, 0, where);
  const LaneShape& shape = shape_of(warp, mask, where, 16);
  check_alignment(warp, shape, where);
  if (!traffic_.empty()) note_shared(warp, mask, where, 16, store);
  const Region shared = shared_region(*warp.block);
  uint16_t elements[kWarpSize][8];
  const auto visit = [&](auto element) {
    for (int i = 0; i < instruction.count; i++) {
      uint32_t* lanes = words(warp, code_.lists[instruction.list + i]);
      for (int lane = 0; lane < kWarpSize; lane++) {
        const int major = lane / 4, minor = 2 * (lane % 4);
        if (instruction.flag)
          element(lanes[lane], elements[8 * i + minor][major], elements[8 * i + minor + 1][major]);
        else
          element(lanes[lane], elements[8 * i + major][minor], elements[8 * i + major][minor + 1]);
      }
    }
  };
  if (store)
    visit([](uint32_t& lane, uint16_t& low, uint16_t& high) {
      low = static_cast<uint16_t>(lane);
      high = static_cast<uint16_t>(lane >> 16);
    });
  if (!shape.lies_in(shared.bytes, where[0]))
    for (int row = 0; row < rows; row++) region_of(warp, ptx::Space::shared, where[row], 16, row);
  if (checks_) touch_lanes(warp, shared, store ? Touch::write : Touch::read, shape, where[0]);
  for (int row = 0; row < rows; row++) {
    if (store)
      std::memcpy(shared.data + where[row], elements[row], 16);
    else
      std::memcpy(elements[row], shared.data + where[row], 16);
  }
  if (!store)
    visit([](uint32_t& lane, uint16_t& low, uint16_t& high) { lane = low | static_cast<uint32_t>(high) << 16; });
}

}  // namespace simulator::machine
