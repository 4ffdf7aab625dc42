// What streams and graphs do: kernels, copies, fills, calls of the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "driver/cuda.h"
#include "machine/launch.h"

namespace simulator::driver {

struct Context;
struct Function;

// A range of host memory.
struct HostRange {
  const std::byte* begin = nullptr;
  size_t bytes = 0;
  bool overlaps(const HostRange& other) const {
    return bytes && other.bytes && begin < other.begin + other.bytes && other.begin < begin + bytes;
  }
};

// One node of a graph, or what one call asks of a stream.
class Work {
 public:
  virtual ~Work() = default;
  virtual CUgraphNodeType kind() const = 0;
  // Does it, and returns how many microseconds that is reckoned to take. Throws Fault.
  virtual double run(Context& context) const = 0;
  // Host memory that is read and written when it runs.
  virtual HostRange reads() const { return {}; }
  virtual HostRange writes() const { return {}; }
  // Fills what it writes on the host with what nobody mistakes for a result.
  virtual void poison() const {}
  // Null if a graph's node may become `next` without a new instantiation; otherwise why it may not.
  virtual const char* refuses_update(const Work& next) const { return kind() == next.kind() ? nullptr : "the type"; }
};

// Where a copy begins: in the host's memory or the device's.
struct Place {
  std::byte* host = nullptr;
  uint64_t device = 0;
  size_t pitch = 0;  // from row to row
};

class CopyWork : public Work {
 public:
  CopyWork(Place to, Place from, size_t width, size_t rows) : to_(to), from_(from), width_(width), rows_(rows) {}
  CUgraphNodeType kind() const override { return CU_GRAPH_NODE_TYPE_MEMCPY; }
  double run(Context& context) const override;
  HostRange reads() const override { return range(from_); }
  HostRange writes() const override { return range(to_); }
  void poison() const override;
  const char* refuses_update(const Work& next) const override;
  // Pageable memory is taken when the call is made.
  void stage();
  // Pinned memory is read later: remembers what it holds now.
  void remember();

 private:
  HostRange range(const Place& place) const {
    return place.host ? HostRange{place.host, place.pitch * (rows_ - 1) + width_} : HostRange{};
  }
  uint64_t hash() const;
  Place to_, from_;
  size_t width_, rows_;
  std::vector<std::byte> staged_;
  bool remembered_ = false;
  uint64_t hash_ = 0;
};

class FillWork : public Work {
 public:
  FillWork(uint64_t address, uint32_t pattern, size_t pattern_bytes, size_t count)
      : address_(address), pattern_(pattern), pattern_bytes_(pattern_bytes), count_(count) {}
  CUgraphNodeType kind() const override { return CU_GRAPH_NODE_TYPE_MEMSET; }
  double run(Context& context) const override;

 private:
  uint64_t address_;
  uint32_t pattern_;
  size_t pattern_bytes_, count_;
};

class KernelWork : public Work {
 public:
  KernelWork(std::shared_ptr<Function> function, machine::Launch launch)
      : function_(std::move(function)), launch_(std::move(launch)) {}
  CUgraphNodeType kind() const override { return CU_GRAPH_NODE_TYPE_KERNEL; }
  double run(Context& context) const override;

 private:
  std::shared_ptr<Function> function_;
  machine::Launch launch_;
};

class HostWork : public Work {
 public:
  HostWork(CUhostFn function, void* data) : function_(function), data_(data) {}
  CUgraphNodeType kind() const override { return CU_GRAPH_NODE_TYPE_HOST; }
  double run(Context& context) const override;

 private:
  CUhostFn function_;
  void* data_;
};

// A point to wait at or for.
class EmptyWork : public Work {
 public:
  CUgraphNodeType kind() const override { return CU_GRAPH_NODE_TYPE_EMPTY; }
  double run(Context&) const override { return 0; }
};

// Memory that is allocated and freed in the order of a stream; freed here.
class FreeWork : public Work {
 public:
  explicit FreeWork(uint64_t address) : address_(address) {}
  CUgraphNodeType kind() const override { return CU_GRAPH_NODE_TYPE_MEM_FREE; }
  double run(Context& context) const override;

 private:
  uint64_t address_;
};

// Works and what each of them comes after.
struct Node {
  std::shared_ptr<const Work> work;
  std::vector<size_t> after;
};
using Plan = std::vector<Node>;

}  // namespace simulator::driver
