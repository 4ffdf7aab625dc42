// Makes functions over the 32 lanes of a warp of functions of one lane.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "machine/lanes/numbers.h"
#include "ptx/functions.h"

// Lanes do not depend on each other, even where the destination is a source.
#if defined(__clang__)
#define FOR_LANES _Pragma("clang loop vectorize(assume_safety)") for (int lane = 0; lane < 32; lane++)
#else
#define FOR_LANES _Pragma("GCC ivdep") for (int lane = 0; lane < 32; lane++)
#endif

namespace simulator::machine {

using ptx::Function;
using ptx::FunctionClass;
using ptx::LaneFunction;

// The rows of the table while it is built.
class Table {
 public:
  struct Row {
    std::string name, operands;
    Function function;
  };
  // The modifiers "{ftz}" stand for both spellings, with and without. Returns the row to amend it.
  void add(const std::string& name, const std::string& operands, LaneFunction run,
           FunctionClass kind = FunctionClass::integer, int operations = 0, bool approximate = false,
           LaneFunction second = nullptr);
  void add_compare(const std::string& name, const std::string& operands, ptx::CompareFunction compare);
  std::vector<Row>& rows() { return rows_; }

 private:
  std::vector<Row> rows_;
};

template <typename T>
inline const T* lanes_of(const void* pointer) {
  return static_cast<const T*>(pointer);
}
template <typename T>
inline T* lanes_of(void* pointer) {
  return static_cast<T*>(pointer);
}

// What an instruction writes of a result: of float32 every NaN is the same one, whatever the operands were (PTX ISA,
// "Floating-Point Instructions").
template <typename T>
inline T written(T result) {
  return result;
}
inline float written(float result) { return result == result ? result : float_of(kNanF32); }

template <typename Op, typename Signature>
struct OverLanes;
template <typename Op, typename D, typename A>
struct OverLanes<Op, D (*)(A)> {
  static void run(void* d, const void* a, const void*, const void*, const void*, void*) {
    FOR_LANES lanes_of<D>(d)[lane] = written(Op()(lanes_of<A>(a)[lane]));
  }
};
template <typename Op, typename D, typename A, typename B>
struct OverLanes<Op, D (*)(A, B)> {
  static void run(void* d, const void* a, const void* b, const void*, const void*, void*) {
    FOR_LANES lanes_of<D>(d)[lane] = written(Op()(lanes_of<A>(a)[lane], lanes_of<B>(b)[lane]));
  }
};
template <typename Op, typename D, typename A, typename B, typename C>
struct OverLanes<Op, D (*)(A, B, C)> {
  static void run(void* d, const void* a, const void* b, const void* c, const void*, void*) {
    FOR_LANES lanes_of<D>(d)[lane] = written(Op()(lanes_of<A>(a)[lane], lanes_of<B>(b)[lane], lanes_of<C>(c)[lane]));
  }
};
template <typename Op, typename D, typename A, typename B, typename C, typename E>
struct OverLanes<Op, D (*)(A, B, C, E)> {
  static void run(void* d, const void* a, const void* b, const void* c, const void* e, void*) {
    FOR_LANES lanes_of<D>(d)[lane] =
        written(Op()(lanes_of<A>(a)[lane], lanes_of<B>(b)[lane], lanes_of<C>(c)[lane], lanes_of<E>(e)[lane]));
  }
};

// A lambda of one lane as a function of all: its parameters are the types of the registers' lanes.
template <typename Op>
constexpr LaneFunction over_lanes(Op) {
  return &OverLanes<Op, decltype(+Op())>::run;
}

void add_integers(Table& table);
void add_bits(Table& table);
void add_carries(Table& table);
void add_floats(Table& table);
void add_rounded(Table& table);
void add_halves(Table& table);
void add_special_functions(Table& table);
void add_conversions(Table& table);
void add_comparisons(Table& table);

}  // namespace simulator::machine
