#include "ptx/lexer.h"

#include <cctype>

#include "ptx/module.h"

namespace simulator::ptx {
namespace {

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '%' || c == '$' || c == '.';
}
bool continues_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.'; }

}  // namespace

std::vector<Token> tokens_of(std::string_view text, const std::string& name) {
  std::vector<Token> tokens;
  int line = 1;
  size_t at = 0;
  const auto refuse = [&](const std::string& what) {
    throw ParseError(name + ":" + std::to_string(line) + ": " + what);
  };
  while (at < text.size() && text[at] != '\0') {
    const char c = text[at];
    const size_t start = at;
    if (c == '\n') line++;
    if (std::isspace(static_cast<unsigned char>(c))) {
      at++;
    } else if (text.substr(at, 2) == "//") {
      while (at < text.size() && text[at] != '\n') at++;
    } else if (text.substr(at, 2) == "/*") {
      const size_t close = text.find("*/", at + 2);
      if (close == std::string_view::npos) refuse("a comment does not end");
      for (; at < close + 2; at++)
        if (text[at] == '\n') line++;
    } else if (c == '"') {
      at++;
      while (at < text.size() && text[at] != '"' && text[at] != '\n') at++;
      if (at >= text.size() || text[at] != '"') refuse("a string does not end");
      at++;
      tokens.push_back({Token::Kind::string, text.substr(start + 1, at - start - 2), line});
    } else if (starts_name(c)) {
      at++;
      // "::" joins words, as in .L1::no_allocate; a single colon ends a label.
      while (at < text.size() && (continues_name(text[at]) || text.substr(at, 2) == "::"))
        at += text[at] == ':' ? 2 : 1;
      tokens.push_back({Token::Kind::name, text.substr(start, at - start), line});
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      while (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '.')) at++;
      tokens.push_back({Token::Kind::number, text.substr(start, at - start), line});
    } else if (std::string_view("{}[]()<>,;:@!|+-=").find(c) != std::string_view::npos) {
      at++;
      tokens.push_back({Token::Kind::mark, text.substr(start, 1), line});
    } else {
      refuse(std::string("unknown character '") + c + "'");
    }
  }
  tokens.push_back({Token::Kind::end, {}, line});
  return tokens;
}

}  // namespace simulator::ptx
