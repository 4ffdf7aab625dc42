// Calls captured as one CUDA graph: launched by the driver in one go, without the host's time for each of them.
#pragma once

#include <memory>
#include <vector>

#include "cuda/launch.h"
#include "engine/device.h"

namespace diffuse::cuda {

// A graph holds the arguments of its launches as they were; attributes are read from a block in device memory, which is
// written anew for each replay. A kernel's host side may look at attributes too: whether it would launch the same is
// asked of it before each replay.
class GraphRecording {
 public:
  // Captures; throws what a call throws, and ERR_DEVICE.
  GraphRecording(LaunchResources& resources, std::vector<RecordedCall> calls, const double* attributes, size_t count);

  // Whether the calls, with their attributes as they are, launch what was captured.
  bool fits();
  void launch();

 private:
  void capture();
  void run(const RecordedCall& call, CallLauncher& launcher) const;
  const double* device_attributes(const RecordedCall& call) const;
  uint64_t fingerprint(const RecordedCall& call);

  LaunchResources& resources_;
  std::vector<RecordedCall> calls_;
  const double* attributes_;
  size_t count_;
  Owned<void*> host_attributes_;
  Owned<DevicePointer> device_attributes_;
  std::vector<uint64_t> fingerprints_;  // of the calls that vary
  Owned<GraphExecHandle> graph_;
};

}  // namespace diffuse::cuda
