// Whole programs on the GPU: plain, recorded, profiled, cancelled, and with data that kernels refuse.
#include "tests/cuda_program.h"

#include <cmath>
#include <cstring>

#include "cpu/cpu_device.h"
#include "engine/error.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"
#include "tests/kernel_outputs.h"

namespace diffuse::testing {
namespace {

using Scalars = TrainingProgram::Scalars;

// The last but one would launch another kernel: what was recorded does not fit.
constexpr Scalars kSteps[] = {{1, 0.5, 0.1, 0},  {2, 0.25, 0.1, 0}, {3, 1.5, 0.01, 0},
                              {4, -1, 0.001, 0}, {5, 2, 0.01, 1},   {6, 0.125, 0.01, 0}};

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, const char* what) {
  check(actual.size() == expected.size(), std::string(what) + " has another size");
  for (size_t i = 0; i < actual.size(); i++)
    check(std::fabs(actual[i] - expected[i]) <= 1e-5 * std::fmax(1, std::fabs(expected[i])),
          std::string(what) + text("[%zu] is %g, not %g", i, actual[i], expected[i]));
}

// The message of what `body` fails with.
template <typename Body>
Error error_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  failed("nothing failed");
}

}  // namespace

TEST(cuda_programs_compute_what_they_do_on_the_cpu) {
  TrainingProgram program(shared_gpu(0)), reference(open_cpu_device(1, "portable", false));
  for (const Scalars& scalars : kSteps) {
    expect_near(program.run(scalars), reference.run(scalars), "the output");
    expect_near(program.state(), reference.state(), "the state");
  }
}

TEST(cuda_programs_compute_the_same_bits_recorded_and_call_by_call) {
  TrainingProgram recorded(shared_gpu(0)), plain(shared_gpu(0)), trimmed(shared_gpu(0));
  for (const Scalars& scalars : kSteps) {
    // A profile is taken call by call.
    const std::vector<float> output = plain.run(scalars, true);
    check(recorded.run(scalars) == output, "a recorded run has another output");
    check(recorded.state() == plain.state(), "a recorded run leaves another state");
    trimmed.program().trim();
    check(trimmed.run(scalars) == output && trimmed.run(scalars, false, true) == output, "memory was bound anew");
  }
}

TEST(cuda_programs_are_replayed_from_their_second_run_on) {
  const Simulator simulator;
  if (!simulator) {
    std::printf("        not tested: calls of a GPU's driver are not counted\n");
    return;
  }
  TrainingProgram program(shared_gpu(0));
  const auto calls_of = [&](const Scalars& scalars) {
    const uint64_t before = simulator.calls();
    program.run(scalars);
    return simulator.calls() - before;
  };
  const uint64_t plain = calls_of(kSteps[0]);
  calls_of(kSteps[1]);
  for (int step : {2, 3, 5}) {
    const uint64_t replayed = calls_of(kSteps[step]);
    check(replayed + program.calls() <= plain, text("%d calls of the driver, %d when launched call by call",
                                                    static_cast<int>(replayed), static_cast<int>(plain)));
  }
  check(calls_of(kSteps[4]) > plain - program.calls(), "other launches were replayed");
}

TEST(cuda_recordings_read_attributes_anew_and_refuse_other_launches) {
  const auto device = shared_gpu(0);
  const Memory memory(device, 400);
  Tensor image{memory.data(), DType::f32, 2, {10, 10}, 10};
  double factor = 3;
  const Call call{&image, &factor, nullptr, nullptr};
  Call first = call;
  device->launch(index_of("fill"), first, nullptr);  // loads its image
  const auto recording = device->record({{index_of("fill"), call, true}}, &factor, 1);
  check(recording != nullptr, "the device does not record");
  for (double next : {5.0, -2.0}) {
    factor = next;
    check(recording->replay(), "the recording was not launched");
    device->synchronise();
    for (float number : read_floats(memory))
      check(number == static_cast<float>(next), "an attribute was not read anew");
  }
  image = {memory.data(), DType::f32, 2, {5, 10}, 10};
  check(!recording->replay(), "a recording of other launches was launched");
}

TEST(cuda_programs_that_were_cancelled_compute_nothing) {
  TrainingProgram program(shared_gpu(0));
  const std::vector<float> output = program.run(kSteps[0]), state = program.state();
  Run run;
  run.scalars = {9, 9, 9, 0};
  run.cancelled = true;
  check(error_of([&] { program.program().execute(run); }).code == "ERR_CANCELLED", "a cancelled run came to its end");
  check(program.state() == state, "a cancelled run changed the state");
  check(program.run({1, 0.5, 0, 0}) == output, "the program cannot be run afterwards");
}

TEST(cuda_programs_find_numbers_that_are_not_finite) {
  TrainingProgram program(shared_gpu(0));
  const Error error = error_of([&] { program.run({1, INFINITY, 0.1, 0}, false, true); });
  check(error.code == "ERR_NON_FINITE" && error.message.find("scale of the test (y) holds") == 0, error.message);
}

TEST(cuda_kernels_refuse_data_before_lasting_state_changes) {
  const auto device = shared_gpu(0);
  constexpr int64_t kClasses = 4, kRows = 3, kWidth = 5;
  auto table = std::make_shared<Memory>(device, kClasses * kWidth * sizeof(float));
  ProgramBuilder builder;
  const PlannedTensor weights = builder.buffer(table, {kClasses, kWidth});
  const PlannedTensor rows = builder.arena({kRows, kWidth}), index = builder.arena({kRows}, DType::i32),
                      gradient = builder.arena({kClasses, kWidth}), norm = builder.arena({1});
  const auto flat = [](PlannedTensor tensor) {
    tensor.tensor.rank = 1;
    tensor.tensor.shape[0] = tensor.tensor.row_stride = kClasses * kWidth;
    return tensor;
  };
  const PlannedTensor first = builder.arena({kClasses * kWidth}), second = builder.arena({kClasses * kWidth});
  builder.call("embedding_forward", {rows, weights, index});
  builder.call("embedding_backward", {gradient, rows, index});
  builder.call("fill", {gradient}, {value(1)});
  builder.call("gradient_norm", {norm, flat(gradient)});
  builder.call("adamw_ema", {flat(weights), first, second, ProgramBuilder::absent(), flat(gradient), norm},
               {value(0.1), value(0.9), value(0.99), value(1e-8), value(0), value(0.1), value(0.01), value(0), value(0),
                value(1)});
  builder.spec.inputs.push_back(index);
  Program program(device, std::move(builder.spec));
  const auto run_with = [&](std::vector<int32_t> indices) {
    Run run;
    const auto* bytes = reinterpret_cast<const std::byte*>(indices.data());
    run.inputs.emplace_back(bytes, bytes + indices.size() * sizeof(int32_t));
    program.execute(run);
  };
  for (int attempt = 0; attempt < 3; attempt++) {
    run_with({0, 3, 1});
    const std::vector<float> before = read_floats(*table);
    const Error error = error_of([&] { run_with({0, 1, 4}); });
    check(error.code == "ERR_ARGUMENT" && error.message.find("embedding_forward: index 4 ") != std::string::npos &&
              error.message.find("classes 0 to 3") != std::string::npos,
          error.code + ": " + error.message);
    check(read_floats(*table) == before, "a step with refused data changed the weights");
  }
}

TEST(cuda_devices_compute_side_by_side) {
  const auto other = shared_gpu(1);
  if (!other) {
    std::printf("        not tested: there is one GPU only\n");
    return;
  }
  TrainingProgram here(shared_gpu(0)), there(other);
  for (const Scalars& scalars : kSteps) {
    check(here.run(scalars) == there.run(scalars), "two GPUs compute other bits");
    check(here.state() == there.state(), "two GPUs leave another state");
  }
}

}  // namespace diffuse::testing
