//===- Json.h - JSON whose every value knows its place ----------*- C++ -*-===//
//
// A strict JSON reader for specs. Unlike llvm::json it keeps where each value was written, keeps
// duplicate keys, reports several syntax errors of one text, and bounds nesting; and it needs no LLVM,
// so that a program that only loads cached kernels can read specs.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_JSON_H
#define ATTUNE_COMPILER_SPEC_JSON_H

#include "compiler/spec/Diagnostics.h"

#include <string>
#include <string_view>
#include <vector>

namespace attune::json {

struct Member;

/// One value and the bytes [begin, end) of the text where it stands.
struct Value {
  enum class Kind { Invalid, Null, Bool, Number, String, Array, Object };
  Kind kind = Kind::Invalid; ///< Invalid: a syntax error was reported here; check nothing more
  Range range;
  bool boolean = false;
  double number = 0;           ///< infinite when the literal does not fit
  std::string text;            ///< a string's characters (UTF-8), a number's spelling
  std::vector<Member> members; ///< of an object, in order, duplicates kept
  std::vector<Value> elements; ///< of an array
};

struct Member {
  std::string key;
  Range keyRange;
  Value value;
};

/// Reads `text`; syntax errors go to `diagnostics` and reading goes on where the meaning is clear (a
/// missing or trailing comma, a bare word). What was read before a hopeless error is still returned.
Value parse(std::string_view text, std::vector<Diagnostic> &diagnostics);

/// True iff all of `text` is one JSON number; sets `number`.
bool parseNumber(std::string_view text, double &number);

/// `value` in the words of an error message: `"abc"`, `12.5`, `an object`.
std::string describe(const Value &value);

/// `text` as a JSON string literal.
std::string quote(std::string_view text);

} // namespace attune::json

#endif // ATTUNE_COMPILER_SPEC_JSON_H
