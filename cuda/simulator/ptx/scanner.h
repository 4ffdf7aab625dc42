// Walks over tokens, with errors that name the place.
#pragma once

#include <string>
#include <vector>

#include "ptx/body.h"
#include "ptx/lexer.h"

namespace simulator::ptx {

class Scanner {
 public:
  Scanner(std::vector<Token> tokens, std::string name) : tokens_(std::move(tokens)), name_(std::move(name)) {}

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_.back(); }
  bool accept(std::string_view text);
  void expect(std::string_view text);
  std::string expect_name(const char* what);
  int64_t expect_integer(const char* what);
  int line() const { return peek().line; }
  bool at_end() const { return peek().kind == Token::Kind::end; }

  [[noreturn]] void refuse(const std::string& what) const { refuse_at(line(), what); }
  [[noreturn]] void refuse_at(int line, const std::string& what) const;

 private:
  std::vector<Token> tokens_;
  std::string name_;
  size_t at_ = 0;
};

// The bits of a literal as an operand of `bytes` bytes: an integer, "0f3F800000", "0d...", or a decimal fraction. False
// if it is none of these.
bool literal_bits(std::string_view text, bool negative, bool is_float, int bytes, uint64_t& bits);

}  // namespace simulator::ptx
