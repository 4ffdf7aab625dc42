#include "binding/convert.h"

#include <cmath>
#include <cstring>

namespace diffuse::binding {

Napi::Value to_javascript(Napi::Env env, const Error& error) {
  Napi::Error object = Napi::Error::New(env, error.message);
  object.Set("code", error.code);
  return object.Value();
}

Napi::Value guarded(Napi::Env env, const std::function<Napi::Value()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    throw Napi::Error(env, to_javascript(env, error));
  } catch (const std::bad_alloc&) {
    throw Napi::Error(env, to_javascript(env, Error("ERR_OUT_OF_MEMORY", "the process has no memory left")));
  }
}

namespace {

struct Pending {
  Napi::Promise::Deferred deferred;
  std::function<Napi::Value(Napi::Env)> result;
  std::unique_ptr<Error> error;
};

void settle(Napi::Env env, Napi::Function, Pending* pending) {
  std::unique_ptr<Pending> owner(pending);
  if (!env) return;  // the environment is going away: nobody waits any more
  // A worker that is being terminated refuses even a rejection; then there is nobody left to tell.
  try {
    Napi::HandleScope scope(env);
    if (pending->error) return pending->deferred.Reject(to_javascript(env, *pending->error));
    try {
      pending->deferred.Resolve(pending->result(env));
    } catch (const Napi::Error& error) {
      pending->deferred.Reject(error.Value());
    }
  } catch (const Napi::Error&) {
  }
}

}  // namespace

Napi::Promise run_async(Napi::Env env, Device& device, std::function<void()> work,
                        std::function<Napi::Value(Napi::Env)> result) {
  auto deferred = Napi::Promise::Deferred::New(env);
  auto nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  auto channel = Napi::ThreadSafeFunction::New(env, nothing, "diffuse", 0, 1);
  auto* pending = new Pending{deferred, std::move(result), nullptr};
  device.executor().submit([channel, pending, work = std::move(work)]() mutable {
    try {
      work();
    } catch (const Error& error) {
      pending->error = std::make_unique<Error>(error);
    } catch (const std::exception& error) {
      pending->error = std::make_unique<Error>("ERR_NATIVE", error.what());
    }
    // Who has waited for the promise holds all that is left of the device, and can close it.
    work = nullptr;
    if (channel.BlockingCall(pending, settle) != napi_ok) delete pending;
    channel.Release();
  });
  return deferred.Promise();
}

Napi::ArrayBuffer array_buffer(Napi::Env env, const void* data, size_t bytes) {
  auto buffer = Napi::ArrayBuffer::New(env, bytes);
  std::memcpy(buffer.Data(), data, bytes);
  return buffer;
}

Bytes bytes_of(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray()) throw Error("ERR_ARGUMENT", std::string(what) + " must be a typed array");
  auto array = value.As<Napi::TypedArray>();
  const auto* data = static_cast<const std::byte*>(array.ArrayBuffer().Data());
  return {data ? data + array.ByteOffset() : nullptr, array.ByteLength()};
}

namespace {

// Reads the flat Float64Array of a program's description, number by number.
class Reader {
 public:
  explicit Reader(const Napi::Value& value) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
      throw Error("ERR_ARGUMENT", "the program's code must be a Float64Array");
    auto array = value.As<Napi::Float64Array>();
    next_ = array.Data();
    end_ = next_ + array.ElementLength();
  }
  bool done() const { return next_ == end_; }
  double number() {
    if (next_ == end_) throw Error("ERR_ARGUMENT", "the program's code ends too early");
    return *next_++;
  }
  int64_t integer() {
    double value = number();
    if (!(std::abs(value) <= 9007199254740991.0) || value != std::floor(value))
      throw Error("ERR_ARGUMENT", "the program's code holds a number that should be an integer");
    return static_cast<int64_t>(value);
  }
  int64_t count() {
    int64_t value = integer();
    if (value < 0 || value > end_ - next_) throw Error("ERR_ARGUMENT", "the program's code holds an impossible count");
    return value;
  }

 private:
  const double* next_;
  const double* end_;
};

PlannedTensor read_tensor(Reader& code) {
  PlannedTensor planned;
  planned.buffer = static_cast<int>(code.integer());
  int64_t byte_offset = code.integer();
  int64_t dtype = code.integer();
  int64_t rank = code.count();
  if (byte_offset < 0 || dtype < 0 || dtype > 3 || rank > kMaxRank)
    throw Error("ERR_ARGUMENT", "the program's code describes an impossible tensor");
  planned.byte_offset = static_cast<size_t>(byte_offset);
  planned.tensor.dtype = static_cast<DType>(dtype);
  planned.tensor.rank = static_cast<int>(rank);
  for (int64_t i = 0; i < rank; i++) planned.tensor.shape[i] = code.integer();
  planned.tensor.row_stride = code.integer();
  return planned;
}

}  // namespace

std::optional<FileOrder> order_of(const Napi::Value& value, size_t elements) {
  if (value.IsUndefined()) return std::nullopt;
  auto object = value.As<Napi::Object>();
  auto size = [&](const char* name) { return static_cast<size_t>(object.Get(name).ToNumber().Int64Value()); };
  FileOrder order{size("taps"), size("inputs"), size("outputs")};
  if (order.count() != elements)
    throw Error("ERR_SHAPE",
                "an order of " + std::to_string(order.count()) + " elements was given for " + std::to_string(elements));
  return order;
}

ProgramSpec decode_program(const Napi::Object& description, const std::vector<std::shared_ptr<Memory>>& buffers) {
  ProgramSpec spec;
  spec.buffers = buffers;
  spec.arena_bytes = static_cast<size_t>(description.Get("arenaBytes").ToNumber().Int64Value());
  spec.scalar_count = description.Get("scalarCount").ToNumber().Int32Value();
  auto names = description.Get("names").As<Napi::Array>();
  Reader code(description.Get("code"));
  int64_t inputs = code.count(), outputs = code.count();
  for (int64_t i = 0; i < inputs; i++) spec.inputs.push_back(read_tensor(code));
  for (int64_t i = 0; i < outputs; i++) spec.outputs.push_back(read_tensor(code));
  while (!code.done()) {
    PlannedCall call;
    call.name = names.Get(static_cast<uint32_t>(spec.calls.size())).ToString().Utf8Value();
    call.kernel = static_cast<int>(code.integer());
    int64_t tensors = code.count(), attributes = code.count();
    for (int64_t i = 0; i < tensors; i++) call.tensors.push_back(read_tensor(code));
    for (int64_t i = 0; i < attributes; i++) {
      PlannedAttribute attribute;
      attribute.value = code.number();
      attribute.slot = static_cast<int>(code.integer());
      call.attributes.push_back(attribute);
    }
    spec.calls.push_back(std::move(call));
  }
  return spec;
}

}  // namespace diffuse::binding
