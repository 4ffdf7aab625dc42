#include <cstdio>
#include <fstream>
#include <sstream>

#include "machine/launch.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    std::ifstream file(argv[i]);
    std::stringstream text;
    text << file.rdbuf();
    try {
      simulator::memory::DeviceMemory memory(size_t(1) << 34);
      simulator::machine::Program program(simulator::ptx::parse(text.str(), argv[i]), memory);
      for (const auto& kernel : program.module().kernels)
        std::printf("%s: %zu shared, %zu local, %d registers\n", kernel.name.c_str(), kernel.shared_bytes,
                    kernel.local_bytes, kernel.registers);
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
    }
  }
}
