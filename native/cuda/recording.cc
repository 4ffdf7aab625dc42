#include "cuda/recording.h"

#include <algorithm>
#include <cstring>

#include "cuda/table.h"

namespace diffuse::cuda {

GraphRecording::GraphRecording(LaunchResources& resources, std::vector<RecordedCall> calls, const double* attributes,
                               size_t count)
    : resources_(resources),
      calls_(std::move(calls)),
      attributes_(attributes),
      count_(count),
      host_attributes_(resources.context.pinned_memory(std::max<size_t>(count, 1) * sizeof(double))),
      device_attributes_(resources.context.device_memory(std::max<size_t>(count, 1) * sizeof(double))) {
  for (const RecordedCall& call : calls_)
    if (call.varies) fingerprints_.push_back(fingerprint(call));
  capture();
}

const double* GraphRecording::device_attributes(const RecordedCall& call) const {
  return reinterpret_cast<const double*>(device_attributes_.get()) + (call.call.attributes - attributes_);
}

uint64_t GraphRecording::fingerprint(const RecordedCall& call) {
  LaunchFingerprint fingerprint(resources_, call.kernel, call.call, device_attributes(call));
  kernel(call.kernel).run(call.call, fingerprint);
  return fingerprint.value();
}

void GraphRecording::capture() {
  const Driver& driver = resources_.context.driver;
  const StreamHandle stream = resources_.context.stream();
  Owned<GraphHandle> captured;
  {
    std::lock_guard lock(resources_.context.capturing);
    driver.cuStreamBeginCapture(stream, kCaptureThreadLocal);
    GraphHandle graph = nullptr;
    try {
      for (const RecordedCall& call : calls_) {
        StreamLauncher launcher(resources_, call.kernel, call.call, device_attributes(call));
        kernel(call.kernel).run(call.call, launcher);
      }
      driver.cuStreamEndCapture(stream, &graph);
    } catch (...) {
      // The stream computes nothing until its capture has ended.
      if (driver.cuStreamEndCapture.result(stream, &graph) == 0) captured = {driver.cuGraphDestroy, graph};
      throw;
    }
    captured = {driver.cuGraphDestroy, graph};
  }
  GraphExecHandle executable = nullptr;
  driver.cuGraphInstantiate(&executable, captured.get(), 0);
  graph_ = {driver.cuGraphExecDestroy, executable};
}

bool GraphRecording::fits() {
  auto expected = fingerprints_.begin();
  return std::all_of(calls_.begin(), calls_.end(),
                     [&](const RecordedCall& call) { return !call.varies || fingerprint(call) == *expected++; });
}

void GraphRecording::launch() {
  const Context& context = resources_.context;
  if (count_ > 0) {
    // Every replay before has been waited for: a run ends by that.
    std::memcpy(host_attributes_.get(), attributes_, count_ * sizeof(double));
    context.driver.cuMemcpyHtoDAsync(device_attributes_.get(), host_attributes_.get(), count_ * sizeof(double),
                                     context.stream());
  }
  context.driver.cuGraphLaunch(graph_.get(), context.stream());
}

}  // namespace diffuse::cuda
