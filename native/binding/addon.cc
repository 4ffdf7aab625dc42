// The addon's exports: openDevice, cudaDevices, kernels, isas, and the classes Device, Buffer and Program.
// packages/core/src/native/bindings.ts declares them for TypeScript.

#include <napi.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <set>
#include <vector>

#include "binding/closing_devices.h"
#include "binding/convert.h"
#include "cpu/cpu_device.h"
#include "cpu/dispatch.h"
#include "cuda/cuda_device.h"
#include "cuda/devices.h"

namespace diffuse::binding {

namespace {

// Raised whenever the meaning of the exports changes; addon.ts refuses another number.
constexpr int kAbi = 7;

[[noreturn]] void disposed(const char* what) { throw Error("ERR_DISPOSED", std::string(what) + " has been disposed"); }

class BufferHandle : public Napi::ObjectWrap<BufferHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Buffer",
        {InstanceMethod("read", &BufferHandle::read), InstanceMethod("write", &BufferHandle::write),
         InstanceMethod("writeFile", &BufferHandle::write_file), InstanceMethod("dispose", &BufferHandle::dispose)});
  }
  explicit BufferHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BufferHandle>(info) {}

  void adopt(Napi::Env env, std::shared_ptr<Device> device, std::shared_ptr<Memory> memory) {
    device_ = std::move(device);
    memory_ = std::move(memory);
    Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(memory_->bytes()));
  }
  std::shared_ptr<Memory> memory() const {
    if (!memory_) disposed("this buffer");
    return memory_;
  }
  void Finalize(Napi::Env env) override { drop(env); }

 private:
  void drop(Napi::Env env) {
    if (!memory_) return;
    Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<int64_t>(memory_->bytes()));
    memory_.reset();
    device_.reset();
  }
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    drop(info.Env());
    return info.Env().Undefined();
  }
  // (byteOffset, byteLength, order?) → Promise<ArrayBuffer>
  Napi::Value read(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      auto memory = this->memory();
      auto [offset, size] = range_of(info[0], info[1].ToNumber().DoubleValue(), *memory);
      auto order = order_of(info[2], size / sizeof(float));
      auto bytes = std::make_shared<std::vector<std::byte>>(size);
      return run_async(
          info.Env(), *device_,
          [memory, offset = offset, bytes, order, device = device_] {
            device->download(bytes->data(), memory->data() + offset, bytes->size(), order ? &*order : nullptr);
          },
          [bytes](Napi::Env env) -> Napi::Value { return array_buffer(env, bytes->data(), bytes->size()); });
    });
  }
  // (byteOffset, data, order?) → Promise<void>
  Napi::Value write(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      auto memory = this->memory();
      Bytes given = bytes_of(info[1], "data");
      auto [offset, size] = range_of(info[0], static_cast<double>(given.size), *memory);
      auto order = order_of(info[2], size / sizeof(float));
      auto bytes = std::make_shared<std::vector<std::byte>>(given.data, given.data + size);
      return run_async(
          info.Env(), *device_,
          [memory, offset = offset, bytes, order, device = device_] {
            device->upload(memory->data() + offset, bytes->data(), bytes->size(), order ? &*order : nullptr);
          },
          [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
    });
  }
  // (byteOffset, fileDescriptor, position, byteLength, order?) → Promise<void>
  Napi::Value write_file(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      auto memory = this->memory();
      auto [offset, size] = range_of(info[0], info[3].ToNumber().DoubleValue(), *memory);
      int file = info[1].ToNumber().Int32Value();
      auto position = static_cast<size_t>(info[2].ToNumber().Int64Value());
      auto order = order_of(info[4], size / sizeof(float));
      return run_async(
          info.Env(), *device_,
          [memory, offset = offset, size = size, file, position, order, device = device_] {
            device->upload_file(memory->data() + offset, file, position, size, order ? &*order : nullptr);
          },
          [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
    });
  }
  static std::pair<size_t, size_t> range_of(const Napi::Value& begin, double size, const Memory& memory) {
    double offset = begin.ToNumber().DoubleValue();
    if (!(offset >= 0 && size >= 0 && offset + size <= static_cast<double>(memory.bytes())))
      throw Error("ERR_SHAPE", "the place reaches outside the buffer of " + std::to_string(memory.bytes()) + " bytes");
    return {static_cast<size_t>(offset), static_cast<size_t>(size)};
  }

  std::shared_ptr<Device> device_;
  std::shared_ptr<Memory> memory_;
};

class ProgramHandle : public Napi::ObjectWrap<ProgramHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Program",
        {InstanceMethod("run", &ProgramHandle::run), InstanceMethod("cancel", &ProgramHandle::cancel),
         InstanceMethod("dispose", &ProgramHandle::dispose), InstanceMethod("plans", &ProgramHandle::plans),
         InstanceAccessor("scratchBytes", &ProgramHandle::scratch_bytes, nullptr)});
  }
  explicit ProgramHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramHandle>(info) {}
  void adopt(std::shared_ptr<Device> device, std::shared_ptr<Program> program) {
    device_ = std::move(device);
    program_ = std::move(program);
  }
  void Finalize(Napi::Env) override { drop(); }

 private:
  // The arena is released on the device's thread, after the runs that were begun.
  void drop() {
    if (!program_) return;
    device_->executor().submit([program = std::move(program_)] { program->trim(); });
    program_.reset();
    device_.reset();
  }
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    drop();
    return info.Env().Undefined();
  }
  Napi::Value scratch_bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), program_ ? static_cast<double>(program_->scratch_bytes()) : 0);
  }

  // () → { words, scratchBytes }[]
  Napi::Value plans(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!program_) disposed("this program");
      auto list = Napi::Array::New(info.Env());
      for (const auto& plan : program_->plans()) {
        auto object = Napi::Object::New(info.Env());
        object.Set("words", plan.words);
        object.Set("scratchBytes", static_cast<double>(plan.scratch_bytes));
        list.Set(list.Length(), object);
      }
      return list;
    });
  }

  // (scalars: Float64Array, inputs: TypedArray[], { checkFinite, profile, id }) → Promise<{ outputs, callMilliseconds?
  // }>
  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!program_) disposed("this program");
      auto run = std::make_shared<Run>();
      Bytes scalars = bytes_of(info[0], "scalars");
      run->scalars.resize(scalars.size / sizeof(double));
      if (scalars.size) std::memcpy(run->scalars.data(), scalars.data, run->scalars.size() * sizeof(double));
      auto inputs = info[1].As<Napi::Array>();
      for (uint32_t i = 0; i < inputs.Length(); i++) {
        Bytes input = bytes_of(inputs.Get(i), "input");
        run->inputs.emplace_back(input.data, input.data + input.size);
      }
      auto options = info[2].As<Napi::Object>();
      run->check_finite = options.Get("checkFinite").ToBoolean();
      run->profile = options.Get("profile").ToBoolean();
      program_->check(*run);
      {
        std::lock_guard lock(*mutex_);
        runs_->insert(run);
      }
      return run_async(
          info.Env(), *device_,
          [program = program_, run, runs = runs_, mutex = mutex_] {
            struct Leave {
              std::function<void()> leave;
              ~Leave() { leave(); }
            } leave{[&] {
              std::lock_guard lock(*mutex);
              runs->erase(run);
            }};
            program->execute(*run);
          },
          [run](Napi::Env env) -> Napi::Value {
            auto result = Napi::Object::New(env);
            auto outputs = Napi::Array::New(env, run->outputs.size());
            for (uint32_t i = 0; i < run->outputs.size(); i++)
              outputs.Set(i, array_buffer(env, run->outputs[i].data(), run->outputs[i].size()));
            result.Set("outputs", outputs);
            auto times = Napi::Float64Array::New(env, run->call_milliseconds.size());
            std::copy(run->call_milliseconds.begin(), run->call_milliseconds.end(), times.Data());
            result.Set("callMilliseconds", times);
            return result;
          });
    });
  }
  // Stops every run of this program that has been asked for so far.
  Napi::Value cancel(const Napi::CallbackInfo& info) {
    std::lock_guard lock(*mutex_);
    for (const auto& run : *runs_) run->cancelled.store(true, std::memory_order_relaxed);
    return info.Env().Undefined();
  }

  std::shared_ptr<Device> device_;
  std::shared_ptr<Program> program_;
  std::shared_ptr<std::set<std::shared_ptr<Run>>> runs_ = std::make_shared<std::set<std::shared_ptr<Run>>>();
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
};

struct Classes {
  Napi::FunctionReference buffer, program, device;
};

class DeviceHandle : public Napi::ObjectWrap<DeviceHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Device",
        {InstanceMethod("availableBytes", &DeviceHandle::available_bytes),
         InstanceMethod("allocate", &DeviceHandle::allocate), InstanceMethod("compile", &DeviceHandle::compile),
         InstanceMethod("dispose", &DeviceHandle::dispose), InstanceAccessor("name", &DeviceHandle::name, nullptr),
         InstanceAccessor("threads", &DeviceHandle::threads, nullptr)});
  }
  explicit DeviceHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceHandle>(info) {}
  void adopt(std::shared_ptr<Device> device) { device_ = std::move(device); }
  void Finalize(Napi::Env) override { drop(); }

 private:
  void drop() {
    if (device_) let_go(std::move(device_));
  }
  Device& device() const {
    if (!device_) disposed("this device");
    return *device_;
  }
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    drop();
    return info.Env().Undefined();
  }
  Napi::Value name(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value { return Napi::String::New(info.Env(), device().name()); });
  }
  Napi::Value threads(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value { return Napi::Number::New(info.Env(), device().threads()); });
  }
  // () → bytes, or undefined where the device has no memory of its own
  Napi::Value available_bytes(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const std::optional<size_t> bytes = device().available_bytes();
      return bytes ? Napi::Number::New(info.Env(), static_cast<double>(*bytes)) : info.Env().Undefined();
    });
  }
  // (bytes) → Buffer, zeroed
  Napi::Value allocate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      device();
      double bytes = info[0].ToNumber().DoubleValue();
      if (!(bytes >= 1 && bytes <= 9007199254740991.0)) throw Error("ERR_ARGUMENT", "a buffer has at least one byte");
      auto memory = std::make_shared<Memory>(device_, static_cast<size_t>(bytes));
      auto object = info.Env().GetInstanceData<Classes>()->buffer.New({});
      BufferHandle::Unwrap(object)->adopt(info.Env(), device_, std::move(memory));
      return object;
    });
  }
  // (description, buffers: Buffer[]) → Program
  Napi::Value compile(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      device();
      std::vector<std::shared_ptr<Memory>> buffers;
      auto list = info[1].As<Napi::Array>();
      for (uint32_t i = 0; i < list.Length(); i++) {
        auto memory = BufferHandle::Unwrap(list.Get(i).As<Napi::Object>())->memory();
        if (&memory->device() != device_.get()) throw Error("ERR_DEVICE", "a buffer belongs to another device");
        buffers.push_back(std::move(memory));
      }
      auto program = std::make_shared<Program>(device_, decode_program(info[0].As<Napi::Object>(), buffers));
      auto object = info.Env().GetInstanceData<Classes>()->program.New({});
      ProgramHandle::Unwrap(object)->adopt(device_, std::move(program));
      return object;
    });
  }

  std::shared_ptr<Device> device_;
};

std::shared_ptr<Device> open_kind(const Napi::Object& options) {
  std::string kind = options.Get("kind").ToString();
  if (kind == "cpu")
    return open_cpu_device(options.Get("threads").ToNumber().Int32Value(), options.Get("isa").ToString(),
                           options.Get("direct").ToBoolean());
  if (kind == "cuda")
    return open_cuda_device(
        {options.Get("ordinal").ToNumber().Int32Value(), options.Get("tf32").ToBoolean(), cpu_kernels("portable")});
  throw Error("ERR_DEVICE", "there is no '" + kind + "' backend; there are cpu and cuda");
}

// ({ kind: "cpu", threads, isa, direct } or { kind: "cuda", ordinal, tf32 }) → Device
Napi::Value open_device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto device = open_kind(info[0].As<Napi::Object>());
    auto object = info.Env().GetInstanceData<Classes>()->device.New({});
    DeviceHandle::Unwrap(object)->adopt(std::move(device));
    return object;
  });
}

// () → { driver, reason, build, devices: { ordinal, name, computeCapability, memoryBytes, multiprocessors, reason }[],
//        images: { folder, format, build, hash, targets, compiler } }
Napi::Value cuda_devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const cuda::GpuReport report = cuda::report_gpus();
    auto result = Napi::Object::New(env), list = Napi::Object(Napi::Array::New(env));
    for (const cuda::Gpu& gpu : report.gpus) {
      auto device = Napi::Object::New(env);
      device.Set("ordinal", gpu.ordinal);
      device.Set("name", gpu.name);
      device.Set("computeCapability", std::to_string(gpu.limits.major) + "." + std::to_string(gpu.limits.minor));
      device.Set("memoryBytes", static_cast<double>(gpu.memory_bytes));
      device.Set("multiprocessors", gpu.limits.multiprocessors);
      device.Set("reason", gpu.refusal);
      list.Set(static_cast<uint32_t>(gpu.ordinal), device);
    }
    result.Set("driver", report.driver_version);
    result.Set("reason", report.reason);
    result.Set("devices", list);
    result.Set("build", cuda::kBuildId);
    auto images = Napi::Object::New(env);
    images.Set("folder", report.images.path);
    images.Set("format", report.images.format);
    images.Set("build", report.images.build);
    images.Set("hash", report.images.hash);
    images.Set("targets", report.images.targets);
    images.Set("compiler", report.images.compiler);
    result.Set("images", images);
    return result;
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* classes = new Classes{Napi::Persistent(BufferHandle::define(env)), Napi::Persistent(ProgramHandle::define(env)),
                              Napi::Persistent(DeviceHandle::define(env))};
  env.SetInstanceData(classes);
  exports.Set("abi", kAbi);
  exports.Set("openDevice", Napi::Function::New(env, open_device, "openDevice"));
  exports.Set("cudaDevices", Napi::Function::New(env, cuda_devices, "cudaDevices"));
  auto kernels = Napi::Object::New(env);
  for (const auto& signature : signatures()) kernels.Set(signature.kernel, signature.text);
  exports.Set("kernels", kernels);
  auto isas = Napi::Array::New(env);
  for (const auto& isa : supported_isas()) isas.Set(isas.Length(), isa);
  exports.Set("isas", isas);
  return exports;
}

}  // namespace

NODE_API_MODULE(diffuse_native, init)

}  // namespace diffuse::binding
