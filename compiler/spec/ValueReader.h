//===- ValueReader.h - typed values out of JSON and flags -------*- C++ -*-===//
//
// What readers of a spec's parts share: a JSON value becomes a number, a word or a switch, or an error that
// names its place, says what was expected and what was got, and collects beside the others.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_VALUEREADER_H
#define ATTUNE_COMPILER_SPEC_VALUEREADER_H

#include "compiler/spec/Json.h"
#include "compiler/spec/SpecReader.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

class ValueReader {
public:
  /// Who wrote the text: a person, who is shown lines and columns, or a program, whose spec became text here.
  enum class Origin { Person, Program };

  void error(const json::Value &at, std::string message);
  /// Errors inside a string, at their places there; `key` is the field's.
  void errorsInside(const json::Value &at, std::string_view key, const std::vector<Diagnostic> &inside);
  /// "expected EXPECTED, got VALUE (nearest: NEAREST)".
  void mismatch(const json::Value &at, const std::string &expected, const std::string &nearest = "");

  // Nothing, and an error, where the value is not such a one.
  std::optional<int64_t> integer(const json::Value &value, int64_t least, int64_t most, int64_t step = 1);
  std::optional<double> finite(const json::Value &value);
  std::optional<bool> boolean(const json::Value &value);
  /// The index of a string's word in `words`; `shown` is how messages spell the choice.
  std::optional<size_t> word(const json::Value &value, const std::vector<std::string> &words,
                             const std::vector<std::string> &shown);

protected:
  ValueReader(std::string_view text, std::string_view file, Origin origin)
      : text(text), file(file), origin(origin) {}

  /// Every error so far; empty: none.
  std::string errors() const;

  std::string_view text, file;
  Origin origin;
  const FlagValue *flag = nullptr; ///< whose value is read; null while the file is read
  std::string_view currentKey;     ///< whose value is read, or checked with others
  std::vector<Diagnostic> diagnostics;

private:
  std::string flagErrors;
};

/// The value of a string as a flag has it: a number where the text is one.
json::Value valueOfText(const json::Value &place, std::string text);

/// Whether `value` is left to run time: "runtime", or "runtime:0.2", whose number takes its place in `value`
/// (null: there is none).
bool takeRuntime(json::Value &value);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_VALUEREADER_H
