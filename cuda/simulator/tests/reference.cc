#include "tests/reference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <sstream>

namespace simulator::tests {
namespace {

#if defined(__x86_64__)
using Real = __float128;
#else
using Real = long double;  // binary128 too
#endif
static_assert(sizeof(Real) == 16);
using Wide = __int128;
using Bits128 = unsigned __int128;

struct Type {
  char kind = 'u';  // u, s, b, f (of any width), g (bf16), p
  int bits = 32;
  bool pair = false;
  bool is_float() const { return kind == 'f' || kind == 'g'; }
};

std::optional<Type> type_of(std::string name) {
  Type type;
  if (name == "pred") return Type{'p', 1, false};
  if (name.size() > 2 && name.substr(name.size() - 2) == "x2") {
    type.pair = true;
    name.resize(name.size() - 2);
  }
  if (name == "bf16") {
    type.kind = 'g';
    type.bits = 16;
    return type;
  }
  if (name.size() < 2 || name.find_first_not_of("0123456789", 1) != std::string::npos) return {};
  type.kind = name[0];
  type.bits = std::stoi(name.substr(1));
  if (std::string("usbf").find(type.kind) == std::string::npos) return {};
  return type;
}

std::vector<std::string> words_of(const std::string& mnemonic) {
  std::vector<std::string> words;
  std::istringstream text(mnemonic);
  for (std::string word; std::getline(text, word, '.');) words.push_back(word);
  return words;
}

// --- Numbers with a fraction ---

struct Format {
  int precision, least_exponent, greatest_exponent;  // exponents of units in the last place and of the first bit
};
Format format_of(const Type& type) {
  if (type.kind == 'g') return {8, -133, 127};
  if (type.bits == 16) return {11, -24, 15};
  if (type.bits == 32) return {24, -149, 127};
  return {53, -1074, 1023};
}

bool is_nan(Real value) { return value != value; }
bool is_negative(Real value) { return std::bit_cast<Bits128>(value) >> 127 & 1; }
Real magnitude_of(Real value) { return is_negative(value) ? -value : value; }
Real power_of_two(int exponent) { return std::bit_cast<Real>(Bits128(exponent + 16383) << 112); }
bool is_infinite(Real value) { return magnitude_of(value) > power_of_two(16000); }
// Of the first bit.
int exponent_of(Real value) { return int(std::bit_cast<Bits128>(value) >> 112 & 0x7fff) - 16383; }

enum class Mode { nearest, zero, down, up };

Real whole(Real value, Mode mode) {
  if (is_nan(value) || is_infinite(value) || exponent_of(value) >= 112) return value;
  const Wide toward_zero = static_cast<Wide>(value);
  const Real rest = value - toward_zero;
  Wide result = toward_zero;
  if (mode == Mode::nearest) {
    const Real distance = magnitude_of(rest);
    if (distance > Real(0.5) || (distance == Real(0.5) && (toward_zero & 1))) result += rest > 0 ? 1 : -1;
  } else if (mode == Mode::down && rest < 0) {
    result--;
  } else if (mode == Mode::up && rest > 0) {
    result++;
  }
  const Real positive = magnitude_of(static_cast<Real>(result));
  return is_negative(value) ? -positive : positive;
}

Real rounded(Real value, const Type& type, Mode mode) {
  if (is_nan(value) || is_infinite(value) || value == 0) return value;
  const Format format = format_of(type);
  const int unit = std::max(exponent_of(value) - format.precision + 1, format.least_exponent);
  const Real result = whole(value * power_of_two(-unit), mode) * power_of_two(unit);
  const Real greatest =
      (power_of_two(format.precision) - 1) * power_of_two(format.greatest_exponent - format.precision + 1);
  if (magnitude_of(result) <= greatest) return result;
  const bool outward = mode == Mode::nearest || mode == (is_negative(value) ? Mode::down : Mode::up);
  const Real limit = outward ? power_of_two(16383) * 2 : greatest;
  return is_negative(value) ? -limit : limit;
}

uint64_t encoded(Real value, const Type& type) {
  const Format format = format_of(type);
  const uint64_t sign = is_negative(value) ? uint64_t(1) << (type.bits - 1) : 0;
  const int fraction_bits = format.precision - 1;
  const uint64_t infinity = (uint64_t(2) * format.greatest_exponent + 1) << fraction_bits;
  if (is_nan(value)) return infinity | uint64_t(1) << (fraction_bits - 1);
  if (is_infinite(value)) return sign | infinity;
  const Real magnitude = magnitude_of(value);
  const int least_normal = format.least_exponent + fraction_bits;
  if (magnitude < power_of_two(least_normal)) return sign | uint64_t(magnitude * power_of_two(-format.least_exponent));
  const int exponent = exponent_of(magnitude);
  const uint64_t fraction =
      uint64_t(magnitude * power_of_two(fraction_bits - exponent)) & ((uint64_t(1) << fraction_bits) - 1);
  return sign | uint64_t(exponent + format.greatest_exponent) << fraction_bits | fraction;
}

Real decoded(uint64_t bits, const Type& type) {
  const Format format = format_of(type);
  const int fraction_bits = format.precision - 1;
  const uint64_t fraction = bits & ((uint64_t(1) << fraction_bits) - 1);
  const int exponent = int(bits >> fraction_bits & (2 * format.greatest_exponent + 1));
  Real magnitude;
  if (exponent == 2 * format.greatest_exponent + 1)
    magnitude = fraction ? Real(NAN) : Real(INFINITY);
  else if (exponent == 0)
    magnitude = Real(fraction) * power_of_two(format.least_exponent);
  else
    magnitude = Real(fraction + (uint64_t(1) << fraction_bits)) *
                power_of_two(exponent - format.greatest_exponent - fraction_bits);
  return bits >> (type.bits - 1) & 1 ? -magnitude : magnitude;
}

Real flushed(Real value, const Type& type) {
  const Format format = format_of(type);
  const Real least = power_of_two(format.least_exponent + format.precision - 1);
  if (is_nan(value) || magnitude_of(value) >= least) return value;
  return is_negative(value) ? -Real(0) : Real(0);
}

// By Newton's method from a float64 of 53 good bits.
Real square_root(Real value) {
  if (is_nan(value) || value == 0 || is_infinite(value)) return is_negative(value) && value != 0 ? Real(NAN) : value;
  if (is_negative(value)) return Real(NAN);
  int exponent = exponent_of(value);
  exponent -= exponent & 1;
  const Real scaled = value * power_of_two(-exponent);
  Real root = std::sqrt(static_cast<double>(scaled));
  for (int i = 0; i < 2; i++) root = (root + scaled / root) / 2;
  return root * power_of_two(exponent / 2);
}

// The sum; if binary128 does not hold it, its last bit is odd, so that rounding it once more to a shorter format goes
// as for the exact sum (Boldo and Melquiond 2008).
Real sum_of(Real a, Real b) {
  const Real sum = a + b;
  if (is_nan(sum) || is_infinite(sum)) return sum;
  const Real part = sum - a, rest = (a - (sum - part)) + (b - part);
  Bits128 bits = std::bit_cast<Bits128>(sum);
  if (rest != 0 && !(bits & 1)) bits += is_negative(rest) == is_negative(sum) ? 1 : -1;
  return std::bit_cast<Real>(bits);
}

// --- Integers ---

uint64_t low_bits(Wide value, int bits) {
  return static_cast<uint64_t>(value) & (bits == 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1);
}
Wide integer_of(uint64_t bits, const Type& type) {
  const uint64_t low = low_bits(bits, type.bits);
  if (type.kind == 's' && (low >> (type.bits - 1) & 1)) return Wide(low) - (Wide(1) << type.bits);
  return Wide(low);
}
Wide least_of(const Type& type) { return type.kind == 's' ? -(Wide(1) << (type.bits - 1)) : 0; }
Wide greatest_of(const Type& type) { return (Wide(1) << (type.kind == 's' ? type.bits - 1 : type.bits)) - 1; }

bool has(const std::vector<std::string>& words, const char* word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Mode mode_of(const std::vector<std::string>& words) {
  for (const auto& [names, mode] :
       {std::pair{std::pair{"rz", "rzi"}, Mode::zero}, {{"rm", "rmi"}, Mode::down}, {{"rp", "rpi"}, Mode::up}})
    if (has(words, names.first) || has(words, names.second)) return mode;
  return Mode::nearest;
}

// A register of 16 bits holds integers of 8 bits extended by their sign.
uint64_t in_register(Wide value, const Type& type) {
  if (type.bits == 8) return low_bits(integer_of(low_bits(value, 8), type), 16);
  return low_bits(value, type.bits);
}

Expected number(Real value, const Type& type) {
  return {encoded(value, type), is_nan(value), type.kind, type.bits, false};
}

// --- Families ---

std::optional<Expected> convert(const std::vector<std::string>& words, const std::vector<uint64_t>& sources) {
  if (words.back() == "of_lower_half") return {};
  const std::optional<Type> from = type_of(words.back()), to = type_of(words[words.size() - 2]);
  if (!from || !to) return {};  // tf32
  const Mode mode = mode_of(words);
  const bool saturates = has(words, "sat"), flushes = has(words, "ftz"), relu = has(words, "relu");
  const auto clamped = [&](Wide value) { return in_register(std::clamp(value, least_of(*to), greatest_of(*to)), *to); };
  if (!from->is_float() && !to->is_float()) {
    const Wide value = integer_of(sources[0], *from);
    return Expected{saturates ? clamped(value) : in_register(value, *to)};
  }
  if (!from->is_float()) return number(rounded(integer_of(sources[0], *from), *to, mode), *to);
  const auto source = [&](uint64_t bits) {
    const Real value = decoded(bits, *from);
    return flushes && from->bits == 32 ? flushed(value, *from) : value;
  };
  const Real value = source(sources[0]);
  if (!to->is_float()) {
    if (is_nan(value))
      return Expected{from->bits != 64 && to->bits != 64 ? 0 : in_register(Wide(1) << (to->bits - 1), *to)};
    const Real integral = whole(value, mode);
    if (magnitude_of(integral) > power_of_two(70))
      return Expected{clamped(is_negative(integral) ? least_of(*to) : greatest_of(*to))};
    return Expected{clamped(static_cast<Wide>(integral))};
  }
  const auto narrowed = [&](Real value) {
    const bool to_whole = words[1].size() == 3 && words[1][0] == 'r' && words[1][2] == 'i';
    Real result = to_whole ? whole(value, mode) : rounded(value, Type{to->kind, to->bits, false}, mode);
    if (flushes && to->bits == 32) result = flushed(result, *to);
    if (saturates) result = result > 0 ? (result < 1 ? result : Real(1)) : Real(0);
    if (relu && value < 0) result = 0;
    return result;
  };
  if (!to->pair) return number(narrowed(value), *to);
  const Type half{to->kind, 16, false};
  const uint64_t upper = encoded(narrowed(value), half), lower = encoded(narrowed(source(sources[1])), half);
  return Expected{upper << 16 | lower, true, to->kind, 16, true};
}

std::optional<Expected> compare(const std::vector<std::string>& words, const std::vector<uint64_t>& sources) {
  const Type type = *type_of(words.back());
  const std::string& name = words[1];
  bool less, equal, unordered = false;
  if (type.is_float()) {
    Real a = decoded(sources[0], type), b = decoded(sources[1], type);
    if (has(words, "ftz")) a = flushed(a, type), b = flushed(b, type);
    unordered = is_nan(a) || is_nan(b);
    less = a < b;
    equal = a == b;
  } else {
    const Wide a = integer_of(sources[0], type), b = integer_of(sources[1], type);
    less = a < b;
    equal = a == b;
  }
  if (name == "num") return Expected{!unordered};
  if (name == "nan") return Expected{unordered};
  if (unordered) return Expected{name.size() == 3};  // equ, neu, ltu, …
  const std::string base = name.substr(0, 2);
  return Expected{base == "eq"                   ? equal
                  : base == "ne"                 ? !equal
                  : base == "lt" || base == "lo" ? less
                  : base == "le" || base == "ls" ? less || equal
                  : base == "gt" || base == "hi" ? !less && !equal
                                                 : !less};
}

std::optional<Expected> integers(const std::vector<std::string>& words, const Type& type,
                                 const std::vector<uint64_t>& sources) {
  const std::string& head = words[0];
  const bool wide = has(words, "wide"), high = has(words, "hi"), saturates = has(words, "sat");
  const int bits = type.bits;
  const Wide a = integer_of(sources[0], type), b = sources.size() > 1 ? integer_of(sources[1], type) : 0;
  const auto result = [&](Wide value) {
    if (saturates) return Expected{low_bits(std::clamp(value, least_of(type), greatest_of(type)), bits)};
    return Expected{low_bits(value, wide ? 2 * bits : bits)};
  };
  // Of 64 bits with 64 a product does not fit for unsigned ones; its halves do.
  const auto product = [&]() -> Wide {
    if (!high) return static_cast<Wide>(static_cast<Bits128>(a) * static_cast<Bits128>(b));
    if (type.kind == 'u') return static_cast<Wide>(static_cast<Bits128>(a) * static_cast<Bits128>(b) >> bits);
    return a * b >> bits;
  };
  if (head == "add") return result(a + b);
  if (head == "sub") return result(a - b);
  if (head == "mul") return result(product());
  if (head == "mad") {
    const Type sum{type.kind, wide ? 2 * bits : bits, false};
    return result(
        static_cast<Wide>(static_cast<Bits128>(product()) + static_cast<Bits128>(integer_of(sources[2], sum))));
  }
  if (head == "min") return result(std::min(a, b));
  if (head == "max") return result(std::max(a, b));
  if (head == "neg") return result(-a);
  if (head == "abs") return result(a < 0 ? -a : a);
  // What a division by zero gives is not specified.
  if (head == "div") return b == 0 ? std::optional<Expected>() : result(a / b);
  if (head == "rem") return b == 0 ? std::optional<Expected>() : result(a % b);
  if (head == "sad") return result((a < b ? b - a : a - b) + integer_of(sources[2], type));
  const Wide unsigned_a = low_bits(sources[0], bits), unsigned_b = sources.size() > 1 ? low_bits(sources[1], bits) : 0;
  if (head == "and") return result(unsigned_a & unsigned_b);
  if (head == "or") return result(unsigned_a | unsigned_b);
  if (head == "xor") return result(unsigned_a ^ unsigned_b);
  if (head == "not") return result(~unsigned_a);
  if (head == "cnot") return result(unsigned_a == 0);
  if (head == "mov") return result(unsigned_a);
  if (head == "shl" || head == "shr") {
    const uint32_t count = std::min<uint32_t>(static_cast<uint32_t>(sources[1]), static_cast<uint32_t>(bits));
    return result(head == "shl" ? unsigned_a << count : a >> count);
  }
  if (head == "popc") return Expected{static_cast<uint64_t>(std::popcount(static_cast<uint64_t>(unsigned_a)))};
  if (head == "clz" || head == "brev" || head == "bfind") {
    const uint64_t value = static_cast<uint64_t>(type.kind == 's' && a < 0 ? low_bits(~a, bits) : unsigned_a);
    int first = -1;
    uint64_t reversed = 0;
    for (int i = 0; i < bits; i++) {
      if (value >> i & 1) first = i;
      reversed |= (value >> i & 1) << (bits - 1 - i);
    }
    if (head == "brev") return Expected{reversed};
    if (head == "clz") return Expected{static_cast<uint64_t>(bits - 1 - first)};
    if (first < 0) return Expected{0xffffffff};
    return Expected{static_cast<uint64_t>(has(words, "shiftamt") ? bits - 1 - first : first)};
  }
  return {};
}

std::optional<Expected> floats(const std::vector<std::string>& words, const Type& type,
                               const std::vector<uint64_t>& sources) {
  const std::string& head = words[0];
  if (has(words, "approx") || has(words, "full")) return {};
  const bool flushes = has(words, "ftz"), nan_wins = has(words, "NaN");
  Real x[3] = {};
  for (size_t i = 0; i < sources.size(); i++)
    x[i] = flushes ? flushed(decoded(sources[i], type), type) : decoded(sources[i], type);
  const uint64_t sign = uint64_t(1) << (type.bits - 1), all = sign | (sign - 1);
  if (head == "testp") {
    const Format format = format_of(type);
    const bool finite = !is_nan(x[0]) && !is_infinite(x[0]);
    const bool small = magnitude_of(x[0]) < power_of_two(format.least_exponent + format.precision - 1);
    const std::string& test = words[1];
    return Expected{test == "finite"       ? finite
                    : test == "infinite"   ? is_infinite(x[0])
                    : test == "number"     ? !is_nan(x[0])
                    : test == "notanumber" ? is_nan(x[0])
                    : test == "normal"     ? finite && !small
                                           : small && x[0] != 0};
  }
  if (head == "mov") return Expected{sources[0] & all};
  if (head == "neg" || head == "abs") {
    const uint64_t bits = flushes ? encoded(x[0], type) : sources[0];
    return Expected{head == "neg" ? (bits ^ sign) & all : bits & ~sign & all, is_nan(x[0]), type.kind, type.bits,
                    false};
  }
  if (head == "copysign") return Expected{(sources[0] & sign) | (sources[1] & ~sign & all)};
  Real exact = 0;
  if (head == "add")
    exact = sum_of(x[0], x[1]);
  else if (head == "sub")
    exact = sum_of(x[0], -x[1]);
  else if (head == "mul")
    exact = x[0] * x[1];
  else if (head == "div")
    exact = x[0] / x[1];
  else if (head == "rcp")
    exact = 1 / x[0];
  else if (head == "sqrt")
    exact = square_root(x[0]);
  else if (head == "fma" || head == "mad")
    exact = sum_of(x[0] * x[1], x[2]);
  else if (head == "min" || head == "max") {
    const Real a = x[0], b = x[1];
    const bool first_less = a < b || (a == b && is_negative(a));
    exact = is_nan(a) || is_nan(b)          ? (nan_wins || (is_nan(a) && is_nan(b)) ? Real(NAN)
                                               : is_nan(a)                          ? b
                                                                                    : a)
            : first_less == (head == "min") ? a
                                            : b;
  } else
    return {};
  // An exact zero of terms of either sign is negative where all is rounded down.
  const Mode mode = mode_of(words);
  const bool sums = head == "add" || head == "sub" || head == "fma" || head == "mad";
  if (sums && exact == 0 && mode == Mode::down) {
    const Real left = head == "fma" || head == "mad" ? x[0] * x[1] : x[0];
    const Real right = head == "fma" || head == "mad" ? x[2] : head == "sub" ? -x[1] : x[1];
    if (is_negative(left) || is_negative(right)) exact = -Real(0);
  }
  Real result = rounded(exact, type, mode);
  if (flushes) result = flushed(result, type);
  if (has(words, "sat")) result = result > 0 ? (result < 1 ? result : Real(1)) : Real(0);
  if (has(words, "relu") && exact < 0) result = 0;
  return number(result, type);
}

}  // namespace

std::optional<Expected> expected_of(const std::string& mnemonic, const std::vector<uint64_t>& sources) {
  const std::vector<std::string> words = words_of(mnemonic);
  if (words[0] == "cvt") return convert(words, sources);
  if (words[0] == "setp") return compare(words, sources);
  const std::optional<Type> type = type_of(words.back());
  if (!type || has(words, "cc") || words[0].back() == 'c') return {};
  if (words[0] == "slct") {
    const Type selector = *type;
    const bool negative = selector.is_float()
                              ? decoded(sources[2], selector) < 0 || is_nan(decoded(sources[2], selector))
                              : integer_of(sources[2], selector) < 0;
    return Expected{low_bits(sources[negative ? 1 : 0], type_of(words[1])->bits)};
  }
  if (type->kind == 'p') {
    const bool a = sources[0] & 1, b = sources.size() > 1 && (sources[1] & 1);
    return Expected{words[0] == "and"   ? a && b
                    : words[0] == "or"  ? a || b
                    : words[0] == "xor" ? a != b
                    : words[0] == "not" ? !a
                                        : a};
  }
  if (!type->is_float()) return integers(words, *type, sources);
  if (!type->pair) return floats(words, *type, sources);
  const Type half{type->kind, 16, false};
  std::vector<uint64_t> upper, lower;
  for (const uint64_t bits : sources) upper.push_back(bits >> 16 & 0xffff), lower.push_back(bits & 0xffff);
  const std::optional<Expected> high = floats(words, half, upper), low = floats(words, half, lower);
  if (!high) return {};
  return Expected{high->bits << 16 | low->bits, true, type->kind, 16, true};
}

bool agrees(const Expected& expected, uint64_t bits) {
  if (bits == expected.bits || !expected.any_nan) return bits == expected.bits;
  const Type type{expected.format, expected.format_bits, false};
  const auto alike = [&](uint64_t got, uint64_t wanted) {
    return got == wanted || (is_nan(decoded(got, type)) && is_nan(decoded(wanted, type)));
  };
  if (!expected.pairs) return alike(bits, expected.bits);
  return bits >> 32 == 0 && alike(bits >> 16, expected.bits >> 16) && alike(bits & 0xffff, expected.bits & 0xffff);
}

std::vector<uint64_t> samples_of(const std::string& name) {
  const Type type = *type_of(name);
  if (type.kind == 'p') return {0, 1};
  std::vector<uint64_t> samples;
  if (!type.is_float()) {
    for (const int64_t value : {0, 1, 2, 3, 7, 31, 33, 100, -1, -2, -7, -100, 0x5a5a, 0x7fff, 0x8000})
      samples.push_back(low_bits(value, type.bits));
    const uint64_t sign = uint64_t(1) << (type.bits - 1);
    for (const uint64_t value : {sign - 1, sign, sign + 1, sign - 2, sign | sign >> 3})
      samples.push_back(low_bits(value, type.bits));
    return samples;
  }
  const Type single{type.kind, type.pair ? 16 : type.bits, false};
  const Format format = format_of(single);
  const Real tiny = power_of_two(format.least_exponent);
  const Real greatest =
      (power_of_two(format.precision) - 1) * power_of_two(format.greatest_exponent - format.precision + 1);
  for (const Real value :
       {Real(0),     -Real(0),       Real(1),         Real(-1),    Real(0.5),     Real(1.5),    Real(2.5),
        Real(-2.5),  Real(-0.75),    Real(3),         Real(1) / 3, Real(-10) / 7, Real(100.25), Real(-127.5),
        Real(255.5), Real(40000),    Real(-70000),    tiny,        -tiny * 3,     Real(3e9),    Real(-5e18),
        greatest,    Real(INFINITY), -Real(INFINITY), Real(NAN)})
    samples.push_back(encoded(rounded(value, single, Mode::nearest), single));
  if (type.pair)
    for (size_t i = 0; i < samples.size(); i++)
      samples[i] = samples[i] << 16 | (samples[(i * 7 + 3) % samples.size()] & 0xffff);
  return samples;
}

uint64_t bits_of_number(double value, const std::string& name) {
  const Type type = *type_of(name);
  return encoded(rounded(value, type, Mode::nearest), type);
}
double number_of_bits(uint64_t bits, const std::string& name) {
  const Type type = *type_of(name);
  return static_cast<double>(decoded(low_bits(static_cast<Wide>(bits), type.bits), type));
}

std::vector<std::string> source_types_of(const std::string& mnemonic, size_t sources) {
  const std::vector<std::string> words = words_of(mnemonic);
  const std::string& last = words.back();
  std::vector<std::string> types(sources, last);
  if (words[0] == "shl" || words[0] == "shr") types[1] = "u32";
  if (words[0] == "slct") types[0] = types[1] = words[1];
  if (words[0] == "mad" && has(words, "wide")) types[2] = last.substr(0, 1) + std::to_string(2 * type_of(last)->bits);
  return types;
}

}  // namespace simulator::tests
