#include "engine/program.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/error.h"

namespace diffuse {

namespace {

size_t element_size(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return 1;
    case DType::bf16:
      return 2;
    case DType::f32:
    case DType::i32:
      return 4;
  }
  return 4;
}

// Bytes from the first to just behind the last element of a view.
size_t extent(const Tensor& t) { return ((rows(t) - 1) * t.row_stride + channels(t)) * element_size(t.dtype); }

}  // namespace

Program::Program(std::shared_ptr<Device> device, ProgramSpec spec)
    : device_(std::move(device)), spec_(std::move(spec)) {
  size_t committing = spec_.calls.size();
  for (auto& planned : spec_.calls) {
    if (planned.kernel < 0 || planned.kernel >= static_cast<int>(signatures().size()))
      throw Error("ERR_ARGUMENT", "call '" + planned.name + "' names no kernel");
    const Signature& signature = signatures()[planned.kernel];
    if (planned.tensors.size() != signature.tensors.size() || planned.attributes.size() != signature.attributes.size())
      throw Error("ERR_ARGUMENT", planned.name + ": the number of tensors or attributes does not fit " +
                                      signature.kernel + "(" + signature.text + ")");
    BoundCall call{planned.kernel, {}, attributes_.size(), false};
    if (signature.uninterruptible) committing = std::min(committing, calls_.size());
    check_images(planned, signature);
    for (size_t i = 0; i < planned.tensors.size(); i++) {
      check_tensor(planned, signature.tensors[i], planned.tensors[i]);
      Tensor tensor = planned.tensors[i].tensor;
      // prepare() learns from this pointer whether an optional tensor is there; it never follows it.
      tensor.data = planned.tensors[i].buffer == PlannedTensor::kAbsent ? nullptr : &tensor;
      call.tensors.push_back(tensor);
    }
    for (const auto& attribute : planned.attributes) {
      if (attribute.slot >= spec_.scalar_count) throw Error("ERR_ARGUMENT", planned.name + ": no such scalar");
      if (attribute.slot >= 0) slots_.emplace_back(attributes_.size(), attribute.slot);
      call.varies |= attribute.slot >= 0;
      attributes_.push_back(attribute.value);
    }
    char plan[kPlanText] = "";
    Call view{call.tensors.data(), attributes_.data() + call.first_attribute, nullptr, nullptr, false, plan};
    size_t scratch_bytes = 0;
    try {
      scratch_bytes = device_->prepare(call.kernel, view);
    } catch (Error& error) {
      throw Error(error.code, planned.name + ": " + error.message);
    }
    calls_.push_back(std::move(call));
    plans_.push_back({plan, scratch_bytes});
    scratch_bytes_ = std::max(scratch_bytes_, scratch_bytes);
  }
  parts_[0].end = parts_[1].begin = committing;
  parts_[1].end = calls_.size();
  for (const auto* list : {&spec_.inputs, &spec_.outputs})
    for (const auto& tensor : *list)
      check_tensor(PlannedCall{0, "program", {}, {}},
                   TensorSpec{"input or output", false, false, true, false, DType::f32}, tensor);
}

// All images of a call have one element type, so that kernels are written once for either.
void Program::check_images(const PlannedCall& call, const Signature& signature) {
  const PlannedTensor* first = nullptr;
  for (size_t i = 0; i < call.tensors.size(); i++) {
    const PlannedTensor& tensor = call.tensors[i];
    if (!signature.tensors[i].image || tensor.buffer == PlannedTensor::kAbsent) continue;
    if (!first) first = &tensor;
    if (tensor.tensor.dtype != first->tensor.dtype)
      throw Error("ERR_DTYPE", call.name + ": tensor '" + signature.tensors[i].name +
                                   "' has another element type than the images before it");
  }
}

void Program::check_tensor(const PlannedCall& call, const TensorSpec& spec, const PlannedTensor& planned) const {
  const std::string what = call.name + ": tensor '" + spec.name + "'";
  if (planned.buffer == PlannedTensor::kAbsent) {
    if (!spec.optional) throw Error("ERR_ARGUMENT", what + " is missing");
    return;
  }
  const Tensor& t = planned.tensor;
  const bool fits =
      spec.any_dtype || (spec.image ? t.dtype == DType::f32 || t.dtype == DType::bf16 : t.dtype == spec.dtype);
  if (!fits) throw Error("ERR_DTYPE", what + " has the wrong element type");
  if (t.rank < 1 || t.rank > kMaxRank) throw Error("ERR_SHAPE", what + " has no valid rank");
  for (int i = 0; i < t.rank; i++)
    if (t.shape[i] < 1 || t.shape[i] > (int64_t{1} << 40))
      throw Error("ERR_SHAPE", what + " has an empty or huge dimension");
  if (t.row_stride < channels(t)) throw Error("ERR_SHAPE", what + " has overlapping rows");
  size_t available = planned.buffer == PlannedTensor::kArena ? spec_.arena_bytes
                     : planned.buffer < static_cast<int>(spec_.buffers.size()) && planned.buffer >= 0
                         ? spec_.buffers[planned.buffer]->bytes()
                         : 0;
  if (planned.byte_offset % element_size(t.dtype) || planned.byte_offset > available ||
      extent(t) > available - planned.byte_offset)
    throw Error("ERR_SHAPE", what + " reaches outside its memory");
}

Tensor Program::bind(const PlannedTensor& planned) const {
  Tensor tensor = planned.tensor;
  if (planned.buffer == PlannedTensor::kAbsent) {
    tensor.data = nullptr;
  } else {
    std::byte* base = planned.buffer == PlannedTensor::kArena ? arena_->data() : spec_.buffers[planned.buffer]->data();
    tensor.data = base + planned.byte_offset;
  }
  return tensor;
}

void Program::bind() {
  auto arena = std::make_unique<Memory>(device_, std::max<size_t>(spec_.arena_bytes, 64));
  scratch_ = std::make_unique<Memory>(device_, std::max<size_t>(scratch_bytes_, 64));
  arena_ = std::move(arena);  // last: a program that has an arena has both
  for (size_t c = 0; c < calls_.size(); c++)
    for (size_t i = 0; i < calls_[c].tensors.size(); i++) calls_[c].tensors[i] = bind(spec_.calls[c].tensors[i]);
}

void Program::trim() {
  for (Part& part : parts_) part = {part.begin, part.end, false, nullptr};
  ran_ = false;
  arena_.reset();
  scratch_.reset();
}

void Program::check(const Run& run) const {
  if (run.scalars.size() != static_cast<size_t>(spec_.scalar_count))
    throw Error("ERR_ARGUMENT", "the program takes " + std::to_string(spec_.scalar_count) + " scalars, got " +
                                    std::to_string(run.scalars.size()));
  if (run.inputs.size() != spec_.inputs.size())
    throw Error("ERR_ARGUMENT", "the program takes " + std::to_string(spec_.inputs.size()) + " inputs, got " +
                                    std::to_string(run.inputs.size()));
  for (size_t i = 0; i < run.inputs.size(); i++)
    if (run.inputs[i].size() != extent(spec_.inputs[i].tensor))
      throw Error("ERR_SHAPE", "input " + std::to_string(i) + " takes " +
                                   std::to_string(extent(spec_.inputs[i].tensor)) + " bytes, got " +
                                   std::to_string(run.inputs[i].size()));
}

Call Program::call(size_t index) const {
  const BoundCall& bound = calls_[index];
  return {bound.tensors.data(), attributes_.data() + bound.first_attribute, scratch_->data(), nullptr, false, nullptr};
}

void Program::execute(Run& run) {
  if (!arena_) bind();
  try {
    execute_calls(run);
  } catch (...) {
    device_->abandon();
    throw;
  }
  ran_ = true;
  read_outputs(run);
}

void Program::execute_calls(Run& run) {
  for (size_t i = 0; i < run.inputs.size(); i++)
    device_->upload(static_cast<std::byte*>(bind(spec_.inputs[i]).data), run.inputs[i].data(), run.inputs[i].size());
  for (auto [attribute, scalar] : slots_) attributes_[attribute] = run.scalars[static_cast<size_t>(scalar)];
  const auto stop_if_cancelled = [&] {
    if (run.cancelled.load(std::memory_order_relaxed)) throw Error("ERR_CANCELLED", "the run was cancelled");
  };
  std::unique_ptr<Stopwatch> stopwatch = run.profile ? device_->stopwatch(calls_.size()) : nullptr;
  stop_if_cancelled();
  execute_part(parts_[0], run, false, stopwatch.get());
  // Before lasting state begins to change, all that could still go wrong is known; then the run is carried through: a
  // step has either happened or it has not. The last kernel may have seen the flag and stopped halfway.
  device_->synchronise();
  stop_if_cancelled();
  if (parts_[1].begin < parts_[1].end) {
    execute_part(parts_[1], run, true, stopwatch.get());
    device_->synchronise();
  }
  if (stopwatch) run.call_milliseconds = stopwatch->milliseconds();
}

void Program::execute_part(Part& part, Run& run, bool committed, Stopwatch* stopwatch) {
  // The first run is launched call by call, since what devices load at the first launch cannot be recorded.
  if (ran_ && !run.profile && !run.check_finite && replay(part)) return;
  for (size_t c = part.begin; c < part.end; c++) {
    if (!committed && run.cancelled.load(std::memory_order_relaxed))
      throw Error("ERR_CANCELLED", "the run was cancelled");
    Call call = this->call(c);
    try {
      if (stopwatch) stopwatch->start();
      device_->launch(calls_[c].kernel, call, committed ? nullptr : &run.cancelled);
      if (stopwatch) stopwatch->stop();
    } catch (Error& error) {
      throw Error(error.code, spec_.calls[c].name + ": " + error.message);
    }
    if (run.check_finite) require_finite(spec_.calls[c], calls_[c]);
  }
}

bool Program::replay(Part& part) {
  if (!part.recorded && part.begin < part.end) {
    std::vector<RecordedCall> calls;
    for (size_t c = part.begin; c < part.end; c++) calls.push_back({calls_[c].kernel, call(c), calls_[c].varies});
    part.recorded = true;
    part.recording = device_->record(calls, attributes_.data(), attributes_.size());
  }
  return part.recording && part.recording->replay();
}

void Program::read_outputs(Run& run) const {
  for (const auto& planned : spec_.outputs) {
    std::vector<std::byte> bytes;
    each_row_block(bind(planned),
                   [&](const std::byte* from, size_t count) { bytes.insert(bytes.end(), from, from + count); });
    run.outputs.push_back(std::move(bytes));
  }
}

void Program::each_row_block(const Tensor& t, const std::function<void(const std::byte*, size_t)>& body) const {
  // Gaps between rows are copied too: every copy is a way to the device and back.
  constexpr size_t kBlockBytes = size_t{4} << 20;
  const size_t size = element_size(t.dtype), row = static_cast<size_t>(channels(t)) * size;
  const bool dense = is_contiguous(t);
  const size_t stride = dense ? row : static_cast<size_t>(t.row_stride) * size, count = static_cast<size_t>(rows(t));
  const size_t most = std::max<size_t>(kBlockBytes / stride, 1);
  std::vector<std::byte> block;
  for (size_t begin = 0; begin < count; begin += most) {
    const size_t some = std::min(most, count - begin);
    block.resize((some - 1) * stride + row);
    device_->download(block.data(), static_cast<const std::byte*>(t.data) + begin * stride, block.size());
    if (!dense)
      for (size_t r = 1; r < some; r++) std::memmove(block.data() + r * row, block.data() + r * stride, row);
    body(block.data(), some * row);
  }
}

void Program::require_finite(const PlannedCall& planned, const BoundCall& call) const {
  const Signature& signature = signatures()[call.kernel];
  for (size_t i = 0; i < call.tensors.size(); i++) {
    const Tensor& t = call.tensors[i];
    if (!signature.tensors[i].output || !t.data || (t.dtype != DType::f32 && t.dtype != DType::bf16)) continue;
    const size_t size = element_size(t.dtype);
    each_row_block(t, [&](const std::byte* bytes, size_t count) {
      for (size_t at = 0; at < count; at += size) {
        // A bf16 is the upper half of a float32, which is little-endian here.
        float value = 0;
        std::memcpy(reinterpret_cast<std::byte*>(&value) + sizeof value - size, bytes + at, size);
        if (!std::isfinite(value))
          throw Error("ERR_NON_FINITE", planned.name + " (" + signature.tensors[i].name + ") holds " +
                                            (std::isnan(value) ? "NaN" : "an infinity"));
      }
    });
  }
}

}  // namespace diffuse
