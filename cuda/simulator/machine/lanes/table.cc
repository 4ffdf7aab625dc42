#include <memory>
#include <unordered_map>

#include "machine/lanes/lanes.h"

namespace simulator::machine {

void Table::add(const std::string& name, const std::string& operands, LaneFunction run, FunctionClass kind,
                int operations, bool approximate, LaneFunction second) {
  const size_t open = name.find('{');
  if (open != std::string::npos) {
    const size_t close = name.find('}', open);
    const std::string before = name.substr(0, open), inside = name.substr(open + 1, close - open - 1);
    const std::string after = name.substr(close + 1);
    add(before + after, operands, run, kind, operations, approximate, second);
    add(before + "." + inside + after, operands, run, kind, operations, approximate, second);
    return;
  }
  Function function{};
  function.run = run;
  function.second = second;
  function.kind = kind;
  function.operations = static_cast<uint8_t>(operations);
  function.approximate = approximate;
  rows_.push_back({name, operands, function});
}

void Table::add_compare(const std::string& name, const std::string& operands, ptx::CompareFunction compare) {
  Function function{};
  function.compare = compare;
  rows_.push_back({name, operands, function});
}

}  // namespace simulator::machine

namespace simulator::ptx {

namespace {

struct Rows {
  machine::Table table;
  std::unordered_map<std::string_view, const Function*> by_name;
  Rows() {
    machine::add_integers(table);
    machine::add_bits(table);
    machine::add_carries(table);
    machine::add_floats(table);
    machine::add_rounded(table);
    machine::add_halves(table);
    machine::add_special_functions(table);
    machine::add_conversions(table);
    machine::add_comparisons(table);
    for (auto& row : table.rows()) {
      row.function.name = row.name.c_str();
      row.function.operands = row.operands.c_str();
      by_name.emplace(row.name, &row.function);
    }
  }
};

Rows& rows() {
  static Rows rows;
  return rows;
}

}  // namespace

const Function* find_function(std::string_view mnemonic) {
  const auto found = rows().by_name.find(mnemonic);
  return found == rows().by_name.end() ? nullptr : found->second;
}

std::vector<const Function*> all_functions() {
  std::vector<const Function*> result;
  for (const auto& [name, function] : rows().by_name) result.push_back(function);
  return result;
}

}  // namespace simulator::ptx
