#include "ptx/scanner.h"

#include <bit>
#include <charconv>
#include <cstdlib>

namespace simulator::ptx {
namespace {

bool integer_bits(std::string_view text, uint64_t& value) {
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 2 && text[0] == '0' && (text[1] == 'b' || text[1] == 'B')) {
    base = 2;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  if (text.size() > 1 && (text.back() == 'U' || text.back() == 'u')) text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

bool Scanner::accept(std::string_view text) {
  if (!peek().is(text)) return false;
  next();
  return true;
}

void Scanner::expect(std::string_view text) {
  if (!accept(text)) refuse("expected '" + std::string(text) + "' before '" + std::string(peek().text) + "'");
}

std::string Scanner::expect_name(const char* what) {
  if (peek().kind != Token::Kind::name)
    refuse(std::string("expected ") + what + " before '" + std::string(peek().text) + "'");
  return std::string(next().text);
}

int64_t Scanner::expect_integer(const char* what) {
  const bool negative = accept("-");
  uint64_t value = 0;
  if (peek().kind != Token::Kind::number || !integer_bits(peek().text, value))
    refuse(std::string("expected ") + what + " before '" + std::string(peek().text) + "'");
  next();
  return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

void Scanner::refuse_at(int line, const std::string& what) const {
  throw ParseError(name_ + ":" + std::to_string(line) + ": " + what);
}

bool literal_bits(std::string_view text, bool negative, bool is_float, int bytes, uint64_t& bits) {
  double real = 0;
  bool is_real = false;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F' || text[1] == 'd' || text[1] == 'D')) {
    const bool single = text[1] == 'f' || text[1] == 'F';
    text.remove_prefix(2);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
    if (error != std::errc() || end != text.data() + text.size()) return false;
    const bool fits = bytes == (single ? 4 : 8);
    if (fits && !negative) return true;
    real = single ? std::bit_cast<float>(static_cast<uint32_t>(bits)) : std::bit_cast<double>(bits);
    is_real = true;
  } else if (text.find('.') != std::string_view::npos) {
    real = std::strtod(std::string(text).c_str(), nullptr);
    is_real = true;
  } else if (!integer_bits(text, bits)) {
    return false;
  }
  if (is_real) {
    if (negative) real = -real;
    if (bytes == 4)
      bits = std::bit_cast<uint32_t>(static_cast<float>(real));
    else if (bytes == 8)
      bits = std::bit_cast<uint64_t>(real);
    else
      return false;
    return true;
  }
  if (is_float) return false;
  if (negative) bits = -bits;
  if (bytes < 8) bits &= (uint64_t(1) << (8 * bytes)) - 1;
  return true;
}

}  // namespace simulator::ptx
