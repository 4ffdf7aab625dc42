// The compiled kernels, loaded image by image.
#pragma once

#include <map>
#include <string>

#include "cuda/context.h"

namespace diffuse::cuda {

// An entry of an image.
struct Entry {
  FunctionHandle function = nullptr;
  size_t shared_bytes = 0;  // dynamic, as much as has been opted in
};

// Used on the executor's thread only.
class Images {
 public:
  // Throws ERR_DEVICE where they cannot be used.
  explicit Images(const Context& context);

  // Loads the image when it is first asked for. Throws ERR_DEVICE naming the file.
  Entry& entry(const std::string& image, const std::string& name);

 private:
  struct Image {
    std::string file;
    Owned<ModuleHandle> module;
    std::map<std::string, Entry> entries;
  };
  Image load(const std::string& name) const;

  const Context& context_;
  std::string folder_;
  std::map<std::string, Image> images_;
};

}  // namespace diffuse::cuda
