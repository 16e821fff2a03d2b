//===- Output.h - files and texts that commands leave behind ----*- C++ -*-===//
#ifndef ATTUNE_CLI_OUTPUT_H
#define ATTUNE_CLI_OUTPUT_H

#include "compiler/support/Result.h"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace attune::cli {

/// Writes `bytes` under a temporary name beside `path`, then renames: whoever looks sees all of it or
/// nothing of it. "-" is standard output. An interrupted write removes its temporary file.
Status writeOutput(const std::string &path, std::string_view bytes);

/// Makes SIGINT and SIGTERM remove the temporary file that is being written before the process ends.
void cleanUpOnSignals();

/// Prints an error as it is and gives the exit status of its kind: 1, 2 or 3.
int report(const Error &error);

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

/// Milliseconds since it was made or last asked.
class Clock {
public:
  double lap();

private:
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

/// "12.3 ms", "4.56 s", with a width that aligns in a column.
std::string milliseconds(double ms);
/// "96.0 KB".
std::string kilobytes(int64_t bytes);

} // namespace attune::cli

#endif // ATTUNE_CLI_OUTPUT_H
