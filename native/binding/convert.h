// Between JavaScript values and the engine's types. Only native/binding knows Node-API.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/program.h"

namespace diffuse::binding {

// An Error object with the property `code`; packages/core/src/native/addon.ts makes a DiffuseError of it.
Napi::Value to_javascript(Napi::Env env, const Error& error);

// Runs `body`; whatever C++ throws becomes a JavaScript exception.
Napi::Value guarded(Napi::Env env, const std::function<Napi::Value()>& body);

// Submits `work` to the device's thread and returns a promise of what `result` then makes on the JavaScript thread.
// The event loop stays alive until the promise is settled.
Napi::Promise run_async(Napi::Env env, Device& device, std::function<void()> work,
                        std::function<Napi::Value(Napi::Env)> result);

// A new ArrayBuffer with a copy of the bytes.
Napi::ArrayBuffer array_buffer(Napi::Env env, const void* data, size_t bytes);

// The bytes of an ArrayBuffer view. Throws ERR_ARGUMENT.
struct Bytes {
  const std::byte* data;
  size_t size;
};
Bytes bytes_of(const Napi::Value& value, const char* what);

// { taps, inputs, outputs } whose product is the number of elements, or undefined. Throws ERR_SHAPE.
std::optional<FileOrder> order_of(const Napi::Value& value, size_t elements);

// The program description that packages/core/src/graph/program.ts encodes.
ProgramSpec decode_program(const Napi::Object& description, const std::vector<std::shared_ptr<Memory>>& buffers);

}  // namespace diffuse::binding
