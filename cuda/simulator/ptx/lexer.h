// Cuts PTX into words: names (with the dots of modifiers in them), numbers, strings and single marks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace simulator::ptx {

struct Token {
  enum class Kind : uint8_t { name, number, string, mark, end };
  Kind kind;
  std::string_view text;
  int line;
  bool is(std::string_view expected) const { return kind != Kind::string && text == expected; }
};

// Views into `text`; the last token is of kind end. Throws ParseError at characters PTX does not have.
std::vector<Token> tokens_of(std::string_view text, const std::string& name);

}  // namespace simulator::ptx
