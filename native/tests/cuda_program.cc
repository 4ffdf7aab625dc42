#include "tests/cuda_program.h"

#include <cstring>

#include "tests/kernel_outputs.h"

namespace diffuse::testing {

namespace {

Tensor tensor_of(const std::vector<int64_t>& shape, DType dtype, int64_t row_stride) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.rank = static_cast<int>(shape.size());
  for (size_t i = 0; i < shape.size(); i++) tensor.shape[i] = shape[i];
  tensor.row_stride = row_stride ? row_stride : shape.back();
  return tensor;
}

}  // namespace

PlannedTensor ProgramBuilder::arena(std::vector<int64_t> shape, DType dtype, int64_t row_stride) {
  constexpr size_t kAlignment = 64;
  const Tensor tensor = tensor_of(shape, dtype, row_stride);
  const PlannedTensor planned{PlannedTensor::kArena, spec.arena_bytes, tensor};
  const size_t bytes = static_cast<size_t>(rows(tensor) * tensor.row_stride) * 4;
  spec.arena_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return planned;
}

PlannedTensor ProgramBuilder::buffer(std::shared_ptr<Memory> memory, std::vector<int64_t> shape, DType dtype) {
  spec.buffers.push_back(std::move(memory));
  return {static_cast<int>(spec.buffers.size()) - 1, 0, tensor_of(shape, dtype, 0)};
}

void ProgramBuilder::call(const std::string& kernel, std::vector<PlannedTensor> tensors,
                          std::vector<PlannedAttribute> attributes) {
  spec.calls.push_back({index_of(kernel), kernel + " of the test", std::move(tensors), std::move(attributes)});
}

std::vector<float> first_output(const Run& run) {
  std::vector<float> values(run.outputs.at(0).size() / sizeof(float));
  std::memcpy(values.data(), run.outputs[0].data(), run.outputs[0].size());
  return values;
}

std::vector<float> read_floats(const Memory& memory) {
  std::vector<float> values(memory.bytes() / sizeof(float));
  memory.device().download(values.data(), memory.data(), values.size() * sizeof(float));
  return values;
}

TrainingProgram::TrainingProgram(const std::shared_ptr<Device>& device) {
  constexpr int64_t N = kSamples, C = kChannels, P = kPixels, kParameters = N * P * P * C;
  ProgramBuilder builder;
  builder.spec.scalar_count = 4;
  const auto scalar = ProgramBuilder::scalar;
  const PlannedTensor noise = builder.arena({N, P, P, C}), scaled = builder.arena({N, P, P, C}, DType::f32, C + 7),
                      activated = builder.arena({N, P, P, C}),
                      normalised = builder.arena({N, P, P, C}, DType::f32, C + 4);
  const PlannedTensor mean = builder.arena({N, 2}), rstd = builder.arena({N, 2}), gamma = builder.arena({C}),
                      beta = builder.arena({C}), norm = builder.arena({1});
  builder.call("random_normal", {noise}, {value(1), value(2), value(3), scalar(0), value(0)});
  builder.call("scale", {scaled, noise}, {scalar(1)});
  builder.call("silu_forward", {activated, scaled});
  builder.call("fill", {mean}, {value(0.25)});
  builder.call("fill", {rstd}, {value(1.5)});
  builder.call("fill", {gamma}, {value(0.75)});
  builder.call("fill", {beta}, {value(-0.5)});
  builder.call("normalise_forward", {normalised, activated, mean, rstd, gamma, beta}, {scalar(3)});
  PlannedTensor gradient = activated;
  gradient.tensor = {nullptr, DType::f32, 1, {kParameters}, kParameters};
  builder.call("gradient_norm", {norm, gradient});
  std::vector<PlannedTensor> tensors;
  for (int i = 0; i < 4; i++) {
    state_.push_back(std::make_shared<Memory>(device, kParameters * sizeof(float)));
    tensors.push_back(builder.buffer(state_.back(), {kParameters}));
  }
  tensors.push_back(gradient);
  tensors.push_back(norm);
  builder.call("adamw_ema", std::move(tensors),
               {scalar(2), value(0.9), value(0.99), value(1e-8), value(0.01), value(0.5), value(0.5), value(1),
                value(0.9), value(1)});
  builder.spec.outputs.push_back(normalised);
  program_ = std::make_unique<Program>(device, std::move(builder.spec));
}

std::vector<float> TrainingProgram::run(const Scalars& scalars, bool profile, bool check_finite) {
  Run run;
  run.scalars = {scalars.step, scalars.factor, scalars.learning_rate, scalars.silu};
  run.profile = profile;
  run.check_finite = check_finite;
  program_->check(run);
  program_->execute(run);
  check(run.call_milliseconds.size() == (profile ? calls() : 0), "a profile has a time for each call");
  return first_output(run);
}

std::vector<float> TrainingProgram::state() const {
  std::vector<float> all;
  for (const auto& memory : state_)
    for (float number : read_floats(*memory)) all.push_back(number);
  return all;
}

}  // namespace diffuse::testing
