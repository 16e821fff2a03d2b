//===- Output.h - what commands say, as text and as JSON --------*- C++ -*-===//
#ifndef ATTUNE_CLI_OUTPUT_H
#define ATTUNE_CLI_OUTPUT_H

#include "compiler/support/Result.h"
#include "runtime/io/JsonObject.h"
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

/// "   12.3 ms", "   4.56 s ": aligned in a column.
std::string milliseconds(double ms);
/// "96.0 KB".
std::string kilobytes(int64_t bytes);

} // namespace attune::cli

#endif // ATTUNE_CLI_OUTPUT_H
