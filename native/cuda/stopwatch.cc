#include "cuda/stopwatch.h"

namespace diffuse::cuda {

EventStopwatch::EventStopwatch(const Context& context, size_t calls) : context_(context) {
  for (size_t i = 0; i < 2 * calls; i++) events_.push_back(context.event(kEventDefault));
}

void EventStopwatch::start() { context_.driver.cuEventRecord(events_[recorded_++].get(), context_.stream()); }

void EventStopwatch::stop() { start(); }

std::vector<double> EventStopwatch::milliseconds() const {
  std::vector<double> list;
  if (recorded_ > 0) context_.driver.cuEventSynchronize(events_[recorded_ - 1].get());
  for (size_t i = 0; i + 1 < recorded_; i += 2) {
    float milliseconds = 0;
    context_.driver.cuEventElapsedTime(&milliseconds, events_[i].get(), events_[i + 1].get());
    list.push_back(milliseconds);
  }
  return list;
}

}  // namespace diffuse::cuda
