#include "engine/program.h"

#include <algorithm>
#include <chrono>
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
  for (auto& planned : spec_.calls) {
    if (planned.kernel < 0 || planned.kernel >= static_cast<int>(signatures().size()))
      throw Error("ERR_ARGUMENT", "call '" + planned.name + "' names no kernel");
    const Signature& signature = signatures()[planned.kernel];
    if (planned.tensors.size() != signature.tensors.size() || planned.attributes.size() != signature.attributes.size())
      throw Error("ERR_ARGUMENT", planned.name + ": the number of tensors or attributes does not fit " +
                                      signature.kernel + "(" + signature.text + ")");
    BoundCall call{planned.kernel, signature.uninterruptible, {}, {}, {}};
    check_images(planned, signature);
    for (size_t i = 0; i < planned.tensors.size(); i++) {
      check_tensor(planned, signature.tensors[i], planned.tensors[i]);
      Tensor tensor = planned.tensors[i].tensor;
      // prepare() learns from this pointer whether an optional tensor is there; it never follows it.
      tensor.data = planned.tensors[i].buffer == PlannedTensor::kAbsent ? nullptr : &tensor;
      call.tensors.push_back(tensor);
    }
    for (size_t i = 0; i < planned.attributes.size(); i++) {
      const auto& attribute = planned.attributes[i];
      call.attributes.push_back(attribute.value);
      if (attribute.slot >= spec_.scalar_count) throw Error("ERR_ARGUMENT", planned.name + ": no such scalar");
      if (attribute.slot >= 0) call.slots.emplace_back(static_cast<int>(i), attribute.slot);
    }
    char plan[kPlanText] = "";
    Call view{call.tensors.data(), call.attributes.data(), nullptr, nullptr, false, plan};
    try {
      scratch_bytes_ = std::max(scratch_bytes_, device_->prepare(call.kernel, view));
    } catch (Error& error) {
      throw Error(error.code, planned.name + ": " + error.message);
    }
    calls_.push_back(std::move(call));
    plans_.emplace_back(plan);
  }
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
  arena_ = std::make_unique<Memory>(device_, std::max<size_t>(spec_.arena_bytes, 64));
  scratch_ = std::make_unique<Memory>(device_, std::max<size_t>(scratch_bytes_, 64));
  for (size_t c = 0; c < calls_.size(); c++)
    for (size_t i = 0; i < calls_[c].tensors.size(); i++) calls_[c].tensors[i] = bind(spec_.calls[c].tensors[i]);
}

void Program::trim() {
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

void Program::execute(Run& run) {
  using Clock = std::chrono::steady_clock;
  if (!arena_) bind();
  for (size_t i = 0; i < run.inputs.size(); i++)
    device_->upload(static_cast<std::byte*>(bind(spec_.inputs[i]).data), run.inputs[i].data(), run.inputs[i].size());
  const auto cancelled = [&] { return run.cancelled.load(std::memory_order_relaxed); };
  // Once lasting state has begun to change the run is carried through: a step has either happened or it has not.
  bool committed = false;
  for (size_t c = 0; c < calls_.size(); c++) {
    if (!committed && cancelled()) throw Error("ERR_CANCELLED", "the run was cancelled");
    committed |= calls_[c].uninterruptible;
    BoundCall& bound = calls_[c];
    for (auto [attribute, slot] : bound.slots) bound.attributes[attribute] = run.scalars[slot];
    Call call{bound.tensors.data(), bound.attributes.data(), scratch_->data(), nullptr, false, nullptr};
    auto begin = Clock::now();
    try {
      device_->launch(bound.kernel, call, committed ? nullptr : &run.cancelled);
    } catch (Error& error) {
      throw Error(error.code, spec_.calls[c].name + ": " + error.message);
    }
    if (run.profile)
      run.call_milliseconds.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    if (run.check_finite) require_finite(spec_.calls[c], bound);
  }
  // The last kernel may have seen the flag and stopped halfway.
  if (!committed && cancelled()) throw Error("ERR_CANCELLED", "the run was cancelled");
  for (const auto& planned : spec_.outputs) {
    Tensor t = bind(planned);
    const size_t size = element_size(t.dtype), row = channels(t) * size;
    std::vector<std::byte> bytes(rows(t) * row);
    const auto* from = static_cast<const std::byte*>(t.data);
    if (is_contiguous(t)) {
      device_->download(bytes.data(), from, bytes.size());
    } else {
      for (int64_t r = 0; r < rows(t); r++)
        device_->download(bytes.data() + r * row, from + r * t.row_stride * size, row);
    }
    run.outputs.push_back(std::move(bytes));
  }
}

void Program::require_finite(const PlannedCall& planned, const BoundCall& call) const {
  const Signature& signature = signatures()[call.kernel];
  for (size_t i = 0; i < call.tensors.size(); i++) {
    const Tensor& t = call.tensors[i];
    if (!signature.tensors[i].output || !t.data || (t.dtype != DType::f32 && t.dtype != DType::bf16)) continue;
    const size_t size = element_size(t.dtype);
    std::vector<std::byte> row(channels(t) * size);
    for (int64_t r = 0; r < rows(t); r++) {
      device_->download(row.data(), static_cast<const std::byte*>(t.data) + r * t.row_stride * size, row.size());
      for (size_t at = 0; at < row.size(); at += size) {
        // A bf16 is the upper half of a float32, which is little-endian here.
        float value = 0;
        std::memcpy(reinterpret_cast<std::byte*>(&value) + sizeof value - size, row.data() + at, size);
        if (!std::isfinite(value))
          throw Error("ERR_NON_FINITE", planned.name + " (" + signature.tensors[i].name + ") holds " +
                                            (std::isnan(value) ? "NaN" : "an infinity"));
      }
    }
  }
}

}  // namespace diffuse
