// Where the compiled kernels lie: files NAME.fatbin, or NAME.ptx, and images.txt, which says what they are.
#pragma once

#include <string>

namespace diffuse::cuda {

// The build of the launches in this library, which images must be of (scripts/lib/cuda-build-id.mjs).
extern const char* const kBuildId;

// A folder of images, before any of them is loaded.
struct ImageFolder {
  std::string path;
  std::string format;  // "fatbin" (machine code and PTX) or "ptx"; empty where there are none
  // Of images.txt: the build that they are for, a hash of them, what they hold code for ("sm_80 ... compute_80"), what
  // compiled them; empty where it does not say.
  std::string build, hash, targets, compiler;
  std::string reason;  // why they cannot be used; empty where they can
};
// The folder that DIFFUSE_CUDA_IMAGES names, else the folder beside the addon. Never throws.
ImageFolder find_images();

}  // namespace diffuse::cuda
