//===- Output.h - what commands say, as text and as JSON --------*- C++ -*-===//
#ifndef ATTUNE_CLI_OUTPUT_H
#define ATTUNE_CLI_OUTPUT_H

#include "compiler/support/Result.h"
#include "runtime/io/OutputFile.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune::cli {

/// "attune 0.1.0", then the commit and the compilers that it was made of and with, a line each.
extern const char *const versionText;

/// Prints an error as it is and gives the exit status of its kind: 1, 2 or 3.
int report(const Error &error);
/// The same as a JSON object on standard output, for `--json`: `verdict` is "error", `errors` has the lines.
int reportJson(const Error &error);

/// A JSON object or list under construction, for `--json`: one line, keys in the order of the calls.
class JsonObject {
public:
  JsonObject &text(std::string_view key, std::string_view value);
  JsonObject &number(std::string_view key, double value);
  JsonObject &whole(std::string_view key, int64_t value);
  JsonObject &boolean(std::string_view key, bool value);
  /// `json` is a value already written as JSON.
  JsonObject &raw(std::string_view key, std::string_view json);
  std::string str() const { return "{" + body + "}"; }

private:
  std::string body;
};

/// `values`, each already JSON, as a JSON list.
std::string jsonList(const std::vector<std::string> &values);

/// "   12.3 ms", "   4.56 s ": aligned in a column.
std::string milliseconds(double ms);
/// "96.0 KB".
std::string kilobytes(int64_t bytes);

} // namespace attune::cli

#endif // ATTUNE_CLI_OUTPUT_H
