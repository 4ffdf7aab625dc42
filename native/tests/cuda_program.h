// Programs of a few kernels, built by hand.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "engine/program.h"

namespace diffuse::testing {

class ProgramBuilder {
 public:
  // A tensor in the arena; row_stride 0 means no gaps.
  PlannedTensor arena(std::vector<int64_t> shape, DType dtype = DType::f32, int64_t row_stride = 0);
  PlannedTensor buffer(std::shared_ptr<Memory> memory, std::vector<int64_t> shape, DType dtype = DType::f32);
  static PlannedTensor absent() { return {}; }
  static PlannedAttribute scalar(int index) { return {0, index}; }
  void call(const std::string& kernel, std::vector<PlannedTensor> tensors,
            std::vector<PlannedAttribute> attributes = {});

  ProgramSpec spec;
};

inline PlannedAttribute value(double number) { return {number, -1}; }

// The first output of a run, as float32.
std::vector<float> first_output(const Run& run);
std::vector<float> read_floats(const Memory& memory);

// A small training step: noise, some ops between images, the gradient's norm and AdamW with an average of the weights.
// Scalars: step, factor, learning rate, whether a normalisation is followed by SiLU (which the host's side looks at).
class TrainingProgram {
 public:
  static constexpr int64_t kSamples = 3, kChannels = 20, kPixels = 5;
  explicit TrainingProgram(const std::shared_ptr<Device>& device);

  struct Scalars {
    double step, factor, learning_rate, silu;
  };
  // Returns the output, whose rows have gaps in the arena.
  std::vector<float> run(const Scalars& scalars, bool profile = false, bool check_finite = false);
  // Parameter, moments and average.
  std::vector<float> state() const;
  Program& program() { return *program_; }
  size_t calls() const { return program_->calls().size(); }

 private:
  std::vector<std::shared_ptr<Memory>> state_;
  std::unique_ptr<Program> program_;
};

}  // namespace diffuse::testing
