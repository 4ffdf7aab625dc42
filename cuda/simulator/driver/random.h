// Random numbers that are the same with every standard library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simulator::driver {

// SplitMix64 (Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t bits = state_ += 0x9e3779b97f4a7c15;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return bits ^ bits >> 31;
  }
  // Of 0 to count - 1.
  size_t below(size_t count) { return next() % count; }

 private:
  uint64_t state_;
};

}  // namespace simulator::driver
