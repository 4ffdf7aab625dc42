// Modules: directives, variables and kernels. PTX ISA, "Directives".
#include <algorithm>
#include <bit>

#include "ptx/kernel_parser.h"

namespace simulator::ptx {
namespace {

class ModuleParser {
 public:
  ModuleParser(const std::string& text, const std::string& name) : scanner_(tokens_of(text, name), name) {
    module_.name = name;
    size_t start = 0;
    while (start <= text.size()) {
      const size_t end = std::min(text.find('\n', start), text.size());
      const size_t word = std::min(text.find_first_not_of(" \t", start), end);
      source_.push_back(text.substr(word, end - word));
      start = end + 1;
    }
  }

  Module parse() {
    while (!scanner_.at_end()) directive();
    return std::move(module_);
  }

 private:
  void directive();
  void section();
  void kernel();
  void thread_counts(uint32_t (&counts)[3]);

  Scanner scanner_;
  Module module_;
  std::shared_ptr<std::vector<std::string>> files_ = std::make_shared<std::vector<std::string>>();
  std::vector<std::string> source_;
};

void ModuleParser::section() {
  scanner_.expect_name("the name of a section");
  scanner_.expect("{");
  while (!scanner_.accept("}")) {
    if (scanner_.at_end()) scanner_.refuse("a section does not end");
    scanner_.next();
  }
}

void ModuleParser::directive() {
  const int line = scanner_.line();
  const std::string word(scanner_.next().text);
  if (word == ".version") {
    const std::string version(scanner_.next().text);
    const size_t dot = version.find('.');
    if (dot == std::string::npos) scanner_.refuse_at(line, "unknown version " + version);
    module_.version = std::stoi(version.substr(0, dot)) * 10 + std::stoi(version.substr(dot + 1));
  } else if (word == ".target") {
    module_.target = scanner_.expect_name("a target");
    if (scanner_.accept(",")) scanner_.expect("debug");
  } else if (word == ".address_size") {
    if (scanner_.expect_integer("a size") != 64) scanner_.refuse_at(line, "addresses must have 64 bits");
  } else if (word == ".file") {
    const size_t index = scanner_.expect_integer("the number of a file");
    files_->resize(std::max(files_->size(), index + 1));
    (*files_)[index] = scanner_.next().text;
    while (scanner_.accept(",")) scanner_.expect_integer("a number");
  } else if (word == ".section") {
    section();
  } else if (word == ".visible" || word == ".weak" || word == ".extern" || word == ".common") {
    if (scanner_.peek().is(".func"))
      scanner_.refuse_at(line, "function " + std::string(scanner_.peek(1).text) + ": functions are not supported");
  } else if (word == ".entry") {
    kernel();
  } else if (word == ".global" || word == ".const" || word == ".shared") {
    const Space space = word == ".global" ? Space::global : word == ".const" ? Space::constant : Space::shared;
    do {
      module_.variables.push_back(parse_variable(scanner_, space));
    } while (scanner_.accept(","));
    scanner_.expect(";");
  } else if (word == ".func") {
    scanner_.refuse_at(line, "functions are not supported: everything must be inlined");
  } else {
    scanner_.refuse_at(line, "unknown directive " + word);
  }
}

void ModuleParser::thread_counts(uint32_t (&counts)[3]) {
  std::fill(counts, counts + 3, 1);
  for (int i = 0; i < 3; i++) {
    counts[i] = static_cast<uint32_t>(scanner_.expect_integer("a count of threads"));
    if (!scanner_.accept(",")) break;
  }
}

void ModuleParser::kernel() {
  Kernel kernel;
  kernel.name = scanner_.expect_name("the name of a kernel");
  if (scanner_.accept("(") && !scanner_.accept(")")) {
    do {
      kernel.parameters.push_back(parse_parameter(scanner_, kernel.parameter_bytes));
    } while (scanner_.accept(","));
    scanner_.expect(")");
  }
  while (!scanner_.peek().is("{")) {
    const std::string word = scanner_.expect_name("a directive");
    if (word == ".maxntid")
      thread_counts(kernel.max_threads);
    else if (word == ".reqntid")
      thread_counts(kernel.required_threads);
    else if (word == ".minnctapersm" || word == ".maxnctapersm" || word == ".maxnreg")
      scanner_.expect_integer("a count");
    else
      scanner_.refuse("unknown directive " + word + " of kernel " + kernel.name);
  }
  KernelParser(scanner_, module_, kernel, files_, source_).parse();
  module_.kernels.push_back(std::move(kernel));
}

size_t aligned(size_t offset, size_t alignment) { return (offset + alignment - 1) / alignment * alignment; }

}  // namespace

Parameter parse_parameter(Scanner& scanner, size_t& bytes) {
  Parameter parameter;
  scanner.expect(".param");
  size_t alignment = 0;
  if (scanner.accept(".align")) alignment = scanner.expect_integer("an alignment");
  const Type type = type_of(scanner.expect_name("a type").substr(1));
  if (type == Type::none || type == Type::pred) scanner.refuse("unknown type of a parameter");
  if (scanner.accept(".ptr")) {
    for (const char* space : {".global", ".shared", ".local", ".const"}) scanner.accept(space);
    if (scanner.accept(".align")) scanner.expect_integer("an alignment");
  }
  parameter.name = scanner.expect_name("the name of a parameter");
  size_t count = 1;
  if (scanner.accept("[")) {
    count = scanner.expect_integer("a count");
    scanner.expect("]");
  }
  parameter.alignment = alignment ? alignment : size_of(type);
  parameter.bytes = count * size_of(type);
  parameter.offset = aligned(bytes, parameter.alignment);
  bytes = parameter.offset + parameter.bytes;
  return parameter;
}

Variable parse_variable(Scanner& scanner, Space space) {
  Variable variable;
  variable.space = space;
  size_t alignment = 0;
  if (scanner.accept(".align")) alignment = scanner.expect_integer("an alignment");
  const std::string type_name = scanner.expect_name("a type");
  const Type type = type_name[0] == '.' ? type_of(type_name.substr(1)) : Type::none;
  if (type == Type::none || type == Type::pred) scanner.refuse("unknown type " + type_name + " of a variable");
  const size_t element = size_of(type);
  variable.name = scanner.expect_name("the name of a variable");
  variable.alignment = alignment ? alignment : element;
  size_t count = 1;
  while (scanner.accept("[")) {
    count *= scanner.peek().is("]") ? 0 : scanner.expect_integer("a count of elements");
    scanner.expect("]");
  }
  variable.bytes = count * element;
  if (!scanner.accept("=")) return variable;
  if (space != Space::global && space != Space::constant) scanner.refuse("only .global and .const have initial values");
  const auto value = [&] {
    const size_t offset = variable.initial.size();
    variable.initial.resize(offset + element);
    if (scanner.peek().kind == Token::Kind::name) {
      const bool generic = scanner.accept("generic");
      if (generic) scanner.expect("(");
      const std::string name = scanner.expect_name("a variable");
      if (generic) scanner.expect(")");
      if (element != 8) scanner.refuse("an address has 64 bits");
      variable.references.push_back({offset, name, scanner.accept("+") ? scanner.expect_integer("an offset") : 0});
      return;
    }
    const bool negative = scanner.accept("-");
    uint64_t bits = 0;
    if (!literal_bits(scanner.peek().text, negative, type == Type::f32 || type == Type::f64, static_cast<int>(element),
                      bits))
      scanner.refuse("unknown initial value " + std::string(scanner.peek().text));
    scanner.next();
    for (size_t i = 0; i < element; i++) variable.initial[offset + i] = static_cast<std::byte>(bits >> (8 * i));
  };
  if (scanner.accept("{")) {
    if (!scanner.accept("}")) {
      do {
        value();
      } while (scanner.accept(","));
      scanner.expect("}");
    }
  } else {
    value();
  }
  if (count == 0) variable.bytes = variable.initial.size();
  if (variable.initial.size() > variable.bytes) scanner.refuse("more initial values than " + variable.name + " holds");
  return variable;
}

Module parse(const std::string& text, const std::string& name) { return ModuleParser(text, name).parse(); }

}  // namespace simulator::ptx
