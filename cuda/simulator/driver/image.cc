#include "driver/image.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "driver/refusal.h"

namespace simulator::driver {

// The layout of fat binaries as nvcc writes them, which NVIDIA does not document: a header, then entries, each with a
// header of its own.
struct FatbinHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // of what follows
};
struct FatbinEntry {
  uint16_t kind, unknown;
  uint32_t header_bytes;
  uint64_t bytes;
  uint32_t compressed_bytes, unknown_offset;
  uint16_t minor, major;
  uint32_t architecture;  // 80: sm_80 or compute_80
};
constexpr uint32_t kFatbinMagic = 0xba55ed50;
constexpr uint16_t kPtxEntry = 1;

static std::string ptx_of_fatbin(const char* image, const Profile& profile) {
  FatbinHeader header;
  std::memcpy(&header, image, sizeof header);
  const char* const end = image + header.header_bytes + header.bytes;
  const uint32_t device = static_cast<uint32_t>(profile.major * 10 + profile.minor);
  std::string best;
  uint32_t best_architecture = 0;
  bool compressed = false, newer = false;
  for (const char* at = image + header.header_bytes; at + sizeof(FatbinEntry) <= end;) {
    FatbinEntry entry;
    std::memcpy(&entry, at, sizeof entry);
    const char* content = at + entry.header_bytes;
    if (content + entry.bytes > end) refuse(CUDA_ERROR_INVALID_IMAGE, "the fat binary is cut short");
    if (entry.kind == kPtxEntry && entry.architecture > device) {
      newer = true;
    } else if (entry.kind == kPtxEntry && entry.compressed_bytes) {
      compressed = true;
    } else if (entry.kind == kPtxEntry && entry.architecture > best_architecture) {
      best.assign(content, strnlen(content, entry.bytes));
      best_architecture = entry.architecture;
    }
    at = content + entry.bytes;
  }
  if (!best.empty()) return best;
  if (compressed)
    refuse(CUDA_ERROR_INVALID_IMAGE,
           "the PTX of the fat binary is compressed; the simulator reads what nvcc --no-compress makes, or PTX");
  refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, "the fat binary holds no PTX%s; the simulator runs no machine code",
         newer ? " for this device" : "");
}

std::string ptx_of_image(const void* image, const Profile& profile) {
  const char* text = static_cast<const char*>(image);
  uint32_t magic;
  std::memcpy(&magic, text, sizeof magic);
  if (magic == kFatbinMagic) return ptx_of_fatbin(text, profile);
  if (std::memcmp(text, "\177ELF", 4) == 0)
    refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, "the simulator runs PTX, no machine code");
  if (!std::strstr(text, ".version")) refuse(CUDA_ERROR_INVALID_IMAGE, "the image is neither PTX nor a fat binary");
  return text;
}

// The newest PTX that a driver of a version of CUDA reads; 12020 is CUDA 12.2.
static int newest_ptx(int driver_version) {
  const int major = driver_version / 1000, minor = driver_version % 1000 / 10;
  if (major <= 11) return 70 + minor;
  if (major == 12) return 80 + (minor < 6 ? minor : minor - 1);
  return 90 + minor;
}

void check_target(int version, const std::string& target, int driver_version, const Profile& profile) {
  const int newest = newest_ptx(driver_version);
  if (version > newest)
    refuse(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "PTX %d.%d; this driver reads up to %d.%d", version / 10, version % 10,
           newest / 10, newest % 10);
  const int device = profile.major * 10 + profile.minor;
  char* suffix = nullptr;
  const long wanted = target.size() > 3 ? std::strtol(target.c_str() + 3, &suffix, 10) : 0;
  if (wanted == 0) refuse(CUDA_ERROR_INVALID_PTX, "the target is \"%s\"", target.c_str());
  // sm_90a runs on 9.0 alone, sm_100f on devices of its family.
  const bool runs = *suffix == 'a'   ? wanted == device
                    : *suffix == 'f' ? wanted / 10 == device / 10 && wanted <= device
                                     : wanted <= device;
  if (!runs) refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, "the PTX is for %s, the device is sm_%d", target.c_str(), device);
}

}  // namespace simulator::driver
