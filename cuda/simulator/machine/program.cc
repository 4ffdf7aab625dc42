#include <algorithm>
#include <cstring>

#include "machine/code.h"
#include "machine/launch.h"

namespace simulator::machine {

static bool has_address(const ptx::Variable& variable) {
  return variable.space != ptx::Space::shared && variable.bytes;
}

Binary::Binary(ptx::Module module) : module_(std::move(module)) {
  if (std::none_of(module_.variables.begin(), module_.variables.end(), has_address))
    codes_ = codes(std::vector<uint64_t>(module_.variables.size()));
}

std::shared_ptr<const std::vector<Code>> Binary::codes(const std::vector<uint64_t>& addresses) const {
  if (codes_) return codes_;
  auto codes = std::make_shared<std::vector<Code>>();
  for (const ptx::Kernel& kernel : module_.kernels) codes->push_back(make_code(module_, kernel, addresses));
  return codes;
}

Program::Program(ptx::Module module, memory::DeviceMemory& memory)
    : Program(std::make_shared<const Binary>(std::move(module)), memory) {}

Program::Program(std::shared_ptr<const Binary> binary, memory::DeviceMemory& memory)
    : binary_(std::move(binary)), memory_(memory) {
  const ptx::Module& module = this->module();
  for (const ptx::Variable& variable : module.variables) {
    uint64_t address = 0;
    if (has_address(variable)) {
      address = memory_.allocate(variable.bytes, variable.name);
      if (!address) throw memory::AddressError("no memory is left for variable " + variable.name);
    }
    addresses_.push_back(address);
  }
  for (size_t i = 0; i < addresses_.size(); i++) {
    const ptx::Variable& variable = module.variables[i];
    if (!addresses_[i]) continue;
    std::vector<std::byte> content = variable.initial;
    content.resize(variable.bytes);
    for (const ptx::Variable::Reference& reference : variable.references) {
      const uint64_t target = address(reference.variable);
      if (!target) throw ptx::ParseError(module.name + ": unknown variable " + reference.variable);
      const uint64_t value = target + reference.addend;
      std::memcpy(content.data() + reference.offset, &value, sizeof value);
    }
    memory_.write(addresses_[i], content.data(), content.size());
    memory_.find(addresses_[i])->read_only = variable.space == ptx::Space::constant;
  }
  codes_ = binary_->codes(addresses_);
}

Program::~Program() {
  for (const uint64_t address : addresses_)
    if (address) memory_.release(address);
}

uint64_t Program::address(const std::string& variable) const {
  for (size_t i = 0; i < addresses_.size(); i++)
    if (module().variables[i].name == variable) return addresses_[i];
  return 0;
}

const Code* Program::code(const std::string& kernel) const {
  for (const Code& code : *codes_)
    if (code.kernel->name == kernel) return &code;
  return nullptr;
}

}  // namespace simulator::machine
