// A compiled program: a flat list of kernel calls over one arena and some longer-lived buffers.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/device.h"
#include "engine/signature.h"

namespace diffuse {

// A tensor whose memory is not yet known. buffer: index into ProgramSpec::buffers, kArena or kAbsent.
struct PlannedTensor {
  static constexpr int kArena = -1, kAbsent = -2;
  int buffer = kAbsent;
  size_t byte_offset = 0;
  Tensor tensor;
};

// An attribute is constant, or taken from the run's scalars.
struct PlannedAttribute {
  double value = 0;
  int slot = -1;
};

struct PlannedCall {
  int kernel = 0;
  std::string name;
  std::vector<PlannedTensor> tensors;
  std::vector<PlannedAttribute> attributes;
};

struct ProgramSpec {
  size_t arena_bytes = 0;
  int scalar_count = 0;
  std::vector<std::shared_ptr<Memory>> buffers;
  std::vector<PlannedCall> calls;
  std::vector<PlannedTensor> inputs;   // contiguous, filled before the first call
  std::vector<PlannedTensor> outputs;  // may be strided, read after the last call
};

// One execution: what it is given, what it returns, and how to stop it.
struct Run {
  std::vector<double> scalars;
  std::vector<std::vector<std::byte>> inputs;
  bool check_finite = false;
  bool profile = false;
  std::atomic<bool> cancelled{false};

  std::vector<std::vector<std::byte>> outputs;
  std::vector<double> call_milliseconds;  // with profile
};

// How a call will be computed: in words, empty where there is one way only, and what it passes to itself.
struct CallPlan {
  std::string words;
  size_t scratch_bytes;
};

class Program {
 public:
  // Checks everything that the description claims: kernels, tensors inside their memory, shapes (by each kernel's
  // prepare). Allocates nothing. Throws Error.
  Program(std::shared_ptr<Device> device, ProgramSpec spec);

  size_t arena_bytes() const { return spec_.arena_bytes; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  const std::vector<PlannedCall>& calls() const { return spec_.calls; }
  const std::vector<CallPlan>& plans() const { return plans_; }
  Device& device() const { return *device_; }

  // Checks a run's scalars and inputs; throws ERR_ARGUMENT. Any thread.
  void check(const Run& run) const;
  // Executes; on the device's thread. Throws ERR_CANCELLED, ERR_NON_FINITE, or what a kernel throws. Devices that
  // record launch a program's second run and all later ones as one or two replays: such a run can be cancelled before
  // each of them only.
  void execute(Run& run);
  // Frees arena and scratch; a later run allocates them anew. On the device's thread.
  void trim();

 private:
  struct BoundCall {
    int kernel;
    std::vector<Tensor> tensors;
    size_t first_attribute;  // in attributes_
    bool varies;             // with the run's scalars
  };
  // Calls that are launched without a look at the flag that cancels.
  struct Part {
    size_t begin = 0, end = 0;
    bool recorded = false;  // has been tried
    std::unique_ptr<Recording> recording;
  };
  void check_tensor(const PlannedCall& call, const TensorSpec& spec, const PlannedTensor& tensor) const;
  static void check_images(const PlannedCall& call, const Signature& signature);
  void bind();
  Tensor bind(const PlannedTensor& planned) const;
  void fill(const Run& run);
  void execute_calls(Run& run);
  void execute_part(Part& part, Run& run, bool committed, Stopwatch* stopwatch);
  bool replay(Part& part);
  Call call(size_t index) const;
  void read_outputs(Run& run) const;
  // The rows of a tensor, a few at a time: body(bytes without gaps).
  void each_row_block(const Tensor& tensor, const std::function<void(const std::byte*, size_t)>& body) const;
  void require_finite(const PlannedCall& planned, const BoundCall& call) const;

  std::shared_ptr<Device> device_;
  ProgramSpec spec_;
  size_t scratch_bytes_ = 0;
  std::unique_ptr<Memory> arena_, scratch_;
  std::vector<BoundCall> calls_;
  std::vector<double> attributes_;             // of all calls
  std::vector<std::pair<size_t, int>> slots_;  // index into attributes_, scalar
  // Before the first call that changes lasting state, and from there on.
  std::array<Part, 2> parts_;
  bool ran_ = false;  // since memory was bound
  std::vector<CallPlan> plans_;
};

}  // namespace diffuse
