#include "cuda/images.h"

#include <filesystem>
#include <fstream>

#include "cuda/image_folder.h"

namespace diffuse::cuda {

namespace {

constexpr size_t kLogBytes = 4096;

}  // namespace

Images::Images(const Context& context) : context_(context) {
  const ImageFolder found = find_images();
  if (!found.reason.empty()) throw Error("ERR_DEVICE", found.reason);
  folder_ = found.path;
}

Images::Image Images::load(const std::string& name) const {
  std::string file = folder_ + "/" + name + ".fatbin";
  if (!std::filesystem::exists(file)) file = folder_ + "/" + name + ".ptx";
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  std::string code(stream ? static_cast<size_t>(stream.tellg()) : 0, '\0');
  stream.seekg(0);
  stream.read(code.data(), static_cast<std::streamsize>(code.size()));
  if (!stream || code.empty())
    throw Error("ERR_DEVICE", "the CUDA kernels '" + name + "' cannot be read: neither " + name + ".fatbin nor " +
                                  name + ".ptx in " + folder_);
  char log[kLogBytes] = "";
  int options[] = {kJitErrorLog, kJitErrorLogBytes};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  ModuleHandle module = nullptr;
  const DriverResult result = context_.driver.cuModuleLoadDataEx.result(&module, code.c_str(), 2, options, values);
  if (result != 0)
    throw Error("ERR_DEVICE", "the CUDA kernels of " + file + " cannot be loaded on " + context_.gpu.name + " (" +
                                  context_.gpu.architecture() + "): " + context_.driver.describe(result) +
                                  (*log ? ": " + std::string(log) : ""));
  return {file, Owned<ModuleHandle>(context_.driver.cuModuleUnload, module), {}};
}

Entry& Images::entry(const std::string& image_name, const std::string& name) {
  auto image = images_.find(image_name);
  if (image == images_.end()) image = images_.emplace(image_name, load(image_name)).first;
  auto entry = image->second.entries.find(name);
  if (entry != image->second.entries.end()) return entry->second;
  FunctionHandle function = nullptr;
  const DriverResult result =
      context_.driver.cuModuleGetFunction.result(&function, image->second.module.get(), name.c_str());
  if (result != 0)
    throw Error("ERR_DEVICE", image->second.file + " has no kernel " + name + ": " + context_.driver.describe(result));
  return image->second.entries.emplace(name, Entry{function, 0}).first->second;
}

}  // namespace diffuse::cuda
