#include "engine/signature.h"

namespace diffuse {

namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> names;
  std::string name;
  for (char c : list + ",") {
    if (c == ',') {
      if (!name.empty()) names.push_back(name);
      name.clear();
    } else if (c != ' ') {
      name += c;
    }
  }
  return names;
}

TensorSpec parse_tensor(const std::string& text) {
  TensorSpec spec;
  size_t colon = text.find(':');
  for (char c : text.substr(0, colon)) {
    if (c == '!')
      spec.output = true;
    else if (c == '?')
      spec.optional = true;
    else
      spec.name += c;
  }
  if (colon == std::string::npos) return spec;
  std::string dtype = text.substr(colon + 1);
  spec.any_dtype = dtype == "any";
  spec.image = dtype == "image";
  if (dtype == "u8") spec.dtype = DType::u8;
  if (dtype == "i32") spec.dtype = DType::i32;
  return spec;
}

Signature parse(const char* kernel, int flags, const char* text) {
  Signature signature;
  signature.kernel = kernel;
  signature.text = text;
  signature.uninterruptible = flags != 0;
  size_t semicolon = signature.text.find(';');
  for (const auto& tensor : split(signature.text.substr(0, semicolon)))
    signature.tensors.push_back(parse_tensor(tensor));
  signature.attributes = split(signature.text.substr(semicolon + 1));
  return signature;
}

}  // namespace

const std::vector<Signature>& signatures() {
  enum { UNINTERRUPTIBLE = 1 };
  static const std::vector<Signature> list = {
#define KERNEL(name, flags, signature) parse(#name, flags, signature),
#include "ops/kernels.def"
#undef KERNEL
  };
  return list;
}

}  // namespace diffuse
