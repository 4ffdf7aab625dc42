// The device's memory and the ways to it and back.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <numeric>
#include <thread>

#include "cpu/cpu_device.h"
#include "engine/error.h"
#include "tests/cuda_devices.h"
#include "tests/harness.h"
#include "tests/operand.h"

namespace diffuse::testing {
namespace {

// Copies travel in chunks of this size.
constexpr size_t kChunkBytes = size_t{4} << 20;

std::vector<std::byte> noise_bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  Noise noise(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(256 * noise.next());
  return bytes;
}

std::vector<std::byte> download(const Memory& memory, size_t offset, size_t count, const FileOrder* order = nullptr) {
  std::vector<std::byte> bytes(count);
  memory.device().download(bytes.data(), memory.data() + offset, count, order);
  return bytes;
}

// An open file that is gone when it is closed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::vector<std::byte>& bytes) : file_(std::tmpfile()) {
    check(file_ && std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size() && std::fflush(file_) == 0,
          "cannot write a temporary file");
  }
  ~TemporaryFile() { std::fclose(file_); }
  int descriptor() const { return fileno(file_); }

 private:
  FILE* file_;
};

}  // namespace

TEST(cuda_memory_is_zeroed) {
  for (size_t bytes : {size_t{1}, size_t{64}, size_t{1000003}}) {
    std::byte* before = nullptr;
    for (int attempt = 0; attempt < 2; attempt++) {
      const Memory memory(shared_gpu(0), bytes);
      before = memory.data();
      check(reinterpret_cast<uintptr_t>(before) % 64 == 0, "memory is aligned to 64 bytes");
      for (std::byte byte : download(memory, 0, bytes)) check(byte == std::byte{0}, "memory is not zero");
      memory.device().upload(memory.data(), noise_bytes(bytes).data(), bytes);
    }
  }
}

TEST(cuda_copies_bring_back_what_was_sent) {
  for (size_t bytes : {size_t{1}, size_t{4099}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1, 3 * kChunkBytes + 5}) {
    const Memory memory(shared_gpu(0), bytes + 7);
    const std::vector<std::byte> sent = noise_bytes(bytes);
    memory.device().upload(memory.data() + 3, sent.data(), bytes);
    check(download(memory, 3, bytes) == sent, text("%zu bytes came back changed", bytes));
    check(download(memory, 0, 3) == std::vector<std::byte>(3) &&
              download(memory, bytes + 3, 4) == std::vector<std::byte>(4),
          text("%zu bytes reached beyond their place", bytes));
  }
}

TEST(cuda_copies_reorder_weights_as_the_cpu_does) {
  const auto cpu = open_cpu_device(1, "", false);
  for (const FileOrder order : {FileOrder{1, 1, 1}, {9, 5, 37}, {1, 7, 16}, {4, 3, 15}, {9, 130, 1200}}) {
    const size_t bytes = order.count() * sizeof(float);
    const std::vector<std::byte> file = noise_bytes(bytes);
    const Memory expected(cpu, bytes), actual(shared_gpu(0), bytes), from_file(shared_gpu(0), bytes);
    cpu->upload(expected.data(), file.data(), bytes, &order);
    actual.device().upload(actual.data(), file.data(), bytes, &order);
    check(download(actual, 0, bytes) == download(expected, 0, bytes), "weights arrive in another order");
    check(download(actual, 0, bytes, &order) == file, "weights come back in another order");
    std::vector<std::byte> longer(11);
    longer.insert(longer.end(), file.begin(), file.end());
    const TemporaryFile temporary(longer);
    from_file.device().upload_file(from_file.data(), temporary.descriptor(), 11, bytes, &order);
    check(download(from_file, 0, bytes) == download(expected, 0, bytes), "weights of a file arrive in another order");
    from_file.device().upload_file(from_file.data(), temporary.descriptor(), 11, bytes, nullptr);
    check(download(from_file, 0, bytes) == file, "bytes of a file arrive changed");
  }
}

TEST(cuda_uploads_of_files_that_are_too_short_fail) {
  const Memory memory(shared_gpu(0), 100);
  const TemporaryFile file(noise_bytes(50));
  try {
    memory.device().upload_file(memory.data(), file.descriptor(), 10, 100, nullptr);
  } catch (const Error& error) {
    check(error.code == "ERR_CHECKPOINT" && error.message.find("byte 50") != std::string::npos, error.message);
    memory.device().upload_file(memory.data(), file.descriptor(), 10, 40, nullptr);
    return;
  }
  failed("a file of 50 bytes was read to byte 110");
}

TEST(cuda_says_when_the_gpu_has_no_memory_left) {
  const auto device = shared_gpu(0);
  for (int attempt = 0; attempt < 2; attempt++) {
    try {
      const Memory memory(device, size_t{1} << 50);
      failed("a GPU has a pebibyte");
    } catch (const Error& error) {
      check(error.code == "ERR_OUT_OF_MEMORY", error.code + ": " + error.message);
      check(error.message.find("cuda:0 has no 1073741824 MiB of memory left") != std::string::npos, error.message);
    }
    const Memory memory(device, 100);
    check(download(memory, 0, 100) == std::vector<std::byte>(100), "the device cannot be used afterwards");
  }
}

TEST(cuda_memory_is_allocated_and_released_by_several_threads) {
  const auto device = shared_gpu(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++)
    threads.emplace_back([&] {
      for (size_t bytes = 1; bytes < 20; bytes++) const Memory memory(device, bytes * 1000);
    });
  const Memory memory(device, 1000);
  for (int i = 0; i < 20; i++) {
    const std::vector<std::byte> sent = noise_bytes(1000);
    device->upload(memory.data(), sent.data(), sent.size());
    check(download(memory, 0, 1000) == sent, "bytes came back changed");
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(cuda_devices_say_what_they_are) {
  const auto device = shared_gpu(0);
  check(device->name().rfind("cuda:0 ", 0) == 0 && device->name().find("(sm_") != std::string::npos, device->name());
  check(device->threads() > 0, "a GPU has multiprocessors");
}

}  // namespace diffuse::testing
