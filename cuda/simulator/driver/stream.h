// Streams: queues whose operations wait until something synchronises, or until chance lets them run.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "driver/work.h"

namespace simulator::driver {

struct Context;
struct Graph;

// A point in a stream.
struct Mark {
  bool passed = false;
  double microseconds = 0;  // of the device's reckoned clock
};

// A plan on its way through a stream.
struct Operation {
  std::shared_ptr<const Plan> plan;
  std::vector<std::shared_ptr<Mark>> after;
  std::shared_ptr<Mark> mark = std::make_shared<Mark>();
  std::vector<bool> done;  // of each node of the plan
  size_t left = 0;

  bool may_begin() const;
  // The nodes whose predecessors are done.
  std::vector<size_t> ready() const;
};

// What streams record instead of doing it.
struct Capture {
  uint64_t id;
  CUstreamCaptureMode mode;
  std::thread::id thread;
  const struct Stream* origin;
  std::shared_ptr<Graph> graph;
  bool invalid = false;
};

struct Stream {
  Context* context = nullptr;
  unsigned flags = CU_STREAM_DEFAULT;
  int priority = 0;
  std::deque<std::shared_ptr<Operation>> queue;
  std::shared_ptr<Mark> last;  // of the operation that was queued last
  bool busy = false;           // its first operation is calling the host
  bool destroyed = false;      // what is queued is still done

  std::shared_ptr<Capture> capture;
  std::set<size_t> frontier;  // the nodes that what is captured next comes after

  bool blocking() const { return !(flags & CU_STREAM_NON_BLOCKING); }
};

struct Event {
  Context* context = nullptr;
  unsigned flags = CU_EVENT_DEFAULT;
  std::shared_ptr<Mark> mark;  // null until it is recorded
  // Set when it was recorded last in a stream that captured.
  std::shared_ptr<Capture> capture;
  std::set<size_t> frontier;
};

}  // namespace simulator::driver
