#include <cstring>

#include "machine/code.h"
#include "machine/launch.h"

namespace simulator::machine {

Program::Program(ptx::Module module, memory::DeviceMemory& memory) : module_(std::move(module)), memory_(memory) {
  for (const ptx::Variable& variable : module_.variables) {
    uint64_t address = 0;
    if (variable.space != ptx::Space::shared && variable.bytes) {
      address = memory_.allocate(variable.bytes, variable.name);
      if (!address) throw memory::AddressError("no memory is left for variable " + variable.name);
    }
    addresses_.push_back(address);
  }
  for (size_t i = 0; i < addresses_.size(); i++) {
    const ptx::Variable& variable = module_.variables[i];
    if (!addresses_[i]) continue;
    std::vector<std::byte> content = variable.initial;
    content.resize(variable.bytes);
    for (const ptx::Variable::Reference& reference : variable.references) {
      const uint64_t target = address(reference.variable);
      if (!target) throw ptx::ParseError(module_.name + ": unknown variable " + reference.variable);
      const uint64_t value = target + reference.addend;
      std::memcpy(content.data() + reference.offset, &value, sizeof value);
    }
    memory_.write(addresses_[i], content.data(), content.size());
    memory_.find(addresses_[i])->read_only = variable.space == ptx::Space::constant;
  }
  for (const ptx::Kernel& kernel : module_.kernels)
    codes_.push_back(std::make_unique<Code>(make_code(module_, kernel, addresses_)));
}

Program::~Program() {
  for (const uint64_t address : addresses_)
    if (address) memory_.release(address);
}

uint64_t Program::address(const std::string& variable) const {
  for (size_t i = 0; i < addresses_.size(); i++)
    if (module_.variables[i].name == variable) return addresses_[i];
  return 0;
}

const Code* Program::code(const std::string& kernel) const {
  for (const auto& code : codes_)
    if (code->kernel->name == kernel) return code.get();
  return nullptr;
}

}  // namespace simulator::machine
