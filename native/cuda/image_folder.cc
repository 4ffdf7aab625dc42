#include "cuda/image_folder.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace diffuse::cuda {

namespace {

// The library that holds this function: the addon.
std::string library_path() {
  Dl_info place{};
  return dladdr(reinterpret_cast<void*>(&library_path), &place) != 0 && place.dli_fname ? place.dli_fname : "";
}

std::string folder_path() {
  const char* named = std::getenv("DIFFUSE_CUDA_IMAGES");
  if (named && *named) return named;
  return (std::filesystem::path(library_path()).parent_path() / "cuda").string();
}

std::string format_of(const std::string& folder) {
  std::error_code none;
  std::string format;
  for (const auto& file : std::filesystem::directory_iterator(folder, none)) {
    if (file.path().extension() == ".fatbin") return "fatbin";
    if (file.path().extension() == ".ptx") format = "ptx";
  }
  return format;
}

void read_facts(ImageFolder& folder) {
  std::ifstream file(folder.path + "/images.txt");
  for (std::string key, value; file >> key && std::getline(file >> std::ws, value);) {
    if (key == "build") folder.build = value;
    if (key == "hash") folder.hash = value;
    if (key == "targets") folder.targets = value;
    if (key == "compiler") folder.compiler = value;
  }
}

std::string reason_against(const ImageFolder& folder) {
  if (folder.format.empty())
    return "the CUDA kernels have not been compiled: " + folder.path +
           " holds none (in a checkout pnpm build:cuda makes them, with nvcc; prebuilt packages carry them)";
  if (folder.build != kBuildId)
    return "the CUDA kernels in " + folder.path + " are of " +
           (folder.build.empty() ? "an unknown build" : "build " + folder.build) + " and the addon " + library_path() +
           " is of build " + kBuildId +
           ", so it would launch them wrongly (in a checkout pnpm build:cuda builds both anew; of packages, take one "
           "version)";
  return "";
}

}  // namespace

ImageFolder find_images() {
  ImageFolder folder;
  folder.path = folder_path();
  folder.format = format_of(folder.path);
  read_facts(folder);
  folder.reason = reason_against(folder);
  return folder;
}

}  // namespace diffuse::cuda
