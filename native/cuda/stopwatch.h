// The time that the GPU takes for each call of a program, by events on the stream.
#pragma once

#include <vector>

#include "cuda/context.h"

namespace diffuse::cuda {

class EventStopwatch {
 public:
  EventStopwatch(const Context& context, size_t calls);
  void start();
  void stop();
  std::vector<double> milliseconds() const;

 private:
  const Context& context_;
  std::vector<Owned<EventHandle>> events_;  // before and after each call
  size_t recorded_ = 0;
};

}  // namespace diffuse::cuda
