//===- Schedule.h - a family and its named integers -------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_PROGRAM_SCHEDULE_H
#define ATTUNE_COMPILER_PROGRAM_SCHEDULE_H

#include "compiler/support/Result.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {

/// How a kernel is made: a schedule family and its parameters by name. As a request, whatever is absent is
/// for the compiler to choose; in a kernel nothing is. Only the family knows what the parameters mean.
struct Schedule {
  std::string family; ///< empty: any
  /// In the order of the family's table, or as given where no family has ordered them.
  std::vector<std::pair<std::string, int>> values;

  bool empty() const { return family.empty() && values.empty(); }
  std::optional<int> get(std::string_view name) const;
  /// The parameter `name`, or `otherwise` where the schedule does not fix it.
  int value(std::string_view name, int otherwise = 0) const { return get(name).value_or(otherwise); }
  void set(std::string_view name, int value);

  /// Whether `other` has everything that this one fixes.
  bool agreesWith(const Schedule &other) const;

  /// "portable block_q=128 warps=4", the family where there is one, and back.
  std::string text() const;
  static Result<Schedule> parse(std::string_view text);
  /// The same without the family.
  std::string valuesText() const;
  /// "block_q 128, block_kv 64, stages 2, warps 4", for people.
  std::string words() const;

  /// The same family and the same values, in any order.
  bool operator==(const Schedule &other) const;
};

} // namespace attune

#endif // ATTUNE_COMPILER_PROGRAM_SCHEDULE_H
