//===- Diagnostics.h - errors that point into a text ------------*- C++ -*-===//
//
// Positions, `file:line:col: error: ...` with the line and a caret, and the nearest known word.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_DIAGNOSTICS_H
#define ATTUNE_COMPILER_SPEC_DIAGNOSTICS_H

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// Bytes [begin, end) of a text.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};

/// One error and the bytes that it is about.
struct Diagnostic {
  Range range;
  std::string message; ///< "expected ..., got ..."
};

/// `file:line:col` of a byte; both count from 1, columns count characters.
std::string locationOf(std::string_view text, std::string_view file, size_t offset);

/// All `diagnostics` in the order of their places, each with its line and a caret; at most 20.
std::string render(std::string_view text, std::string_view file, const std::vector<Diagnostic> &diagnostics);

/// The word of `words` that `word` is most likely a misspelling of, or "". Case and `-` for `_` do not count.
std::string nearestWord(std::string_view word, const std::vector<std::string> &words);

/// `words` as "a, b or c".
std::string oneOf(const std::vector<std::string> &words);

/// The byte where `text` stops being UTF-8, or npos.
size_t firstNonUtf8(std::string_view text);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_DIAGNOSTICS_H
