// What users are told whose driver or GPU cannot be used. The tests of simulated drivers need the simulator.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cuda/image_folder.h"
#include "tests/cuda_scenarios.h"
#include "tests/harness.h"

namespace diffuse::testing {
namespace {

using Environment = std::map<std::string, std::string>;

// Opening says so, and so does the list of devices, which never fails.
void expect_refusal(const Environment& environment, const std::string& reason) {
  const std::string opened = scenario("open", environment), listed = scenario("report", environment);
  check(opened.find("open: ERR_DEVICE ") != std::string::npos && opened.find(reason) != std::string::npos,
        "opening said: " + opened);
  check(listed.find(reason) != std::string::npos, "the list said: " + listed);
}

}  // namespace

TEST(cuda_says_that_there_is_no_driver) {
  expect_refusal({{"DIFFUSE_CUDA_DRIVER", "/nowhere/libcuda.so.1"}},
                 "no NVIDIA driver was found: /nowhere/libcuda.so.1");
}

TEST(cuda_says_that_a_library_is_no_driver) {
  expect_refusal({{"DIFFUSE_CUDA_DRIVER", "libm.so.6"}}, "libm.so.6 is no NVIDIA driver: it lacks cuDriverGetVersion");
}

TEST(cuda_says_that_the_driver_is_too_old) {
  expect_refusal({{"CUDA_SIMULATOR_DRIVER_VERSION", "12080"}},
                 "the NVIDIA driver supports CUDA 12.8; an R580 driver (CUDA 13.0) or newer is needed");
}

TEST(cuda_says_that_there_is_no_gpu) {
  expect_refusal({{"CUDA_SIMULATOR_DEVICES", "none"}}, "the NVIDIA driver finds no GPU");
}

TEST(cuda_refuses_gpus_of_turing) {
  expect_refusal({{"CUDA_SIMULATOR_DEVICES", "t4"}}, "has compute capability 7.5; 8.0 or newer is needed");
  const std::string both = scenario("report", {{"CUDA_SIMULATOR_DEVICES", "t4,a100"}});
  check(both.find("cuda:1 NVIDIA A100") != std::string::npos && both.find("refusal ''") != std::string::npos, both);
}

TEST(cuda_says_that_kernels_are_missing) {
  expect_refusal({{"DIFFUSE_CUDA_IMAGES", "/nowhere"}}, "the CUDA kernels have not been compiled: /nowhere holds none");
}

TEST(cuda_refuses_kernels_of_another_build) {
  namespace files = std::filesystem;
  const cuda::ImageFolder given = cuda::find_images();
  const files::path folder = files::temp_directory_path() / ("diffuse-images-" + std::to_string(getpid()));
  files::create_directory(folder);
  const auto refusal = [&](const std::string& told) {
    expect_refusal({{"DIFFUSE_CUDA_IMAGES", folder.string()}}, told);
  };
  for (const auto& file : files::directory_iterator(given.path))
    if (file.path().filename() != "images.txt") files::create_symlink(file.path(), folder / file.path().filename());
  refusal("the CUDA kernels in " + folder.string() + " are of an unknown build and the addon");
  std::ofstream(folder / "images.txt") << "build 0123456789abcdef\n";
  refusal("the CUDA kernels in " + folder.string() + " are of build 0123456789abcdef and the addon");
  std::ofstream(folder / "images.txt") << "build " << cuda::kBuildId << "\n";
  const std::string opened = scenario("open", {{"DIFFUSE_CUDA_IMAGES", folder.string()}});
  check(opened.find("open: cuda:0 ") != std::string::npos, opened);
  files::remove_all(folder);
}

}  // namespace diffuse::testing
