//===- Output.cpp - what commands say, as text and as JSON ----------------===//
#include "cli/Output.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

namespace attune::cli {

static int exitStatus(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::Verification:
    return 1;
  case ErrorKind::BadInput:
    return 2;
  case ErrorKind::Missing:
    return 3;
  }
  return 2;
}

int report(const Error &error) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return exitStatus(error.kind);
}

int reportJson(const Error &error) {
  std::vector<std::string> lines;
  for (std::string_view rest = error.message; !rest.empty();) {
    size_t end = std::min(rest.find('\n'), rest.size());
    lines.push_back(JsonObject().text("message", rest.substr(0, end)).str());
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  JsonObject json;
  json.text("verdict", "error").raw("errors", jsonList(lines)).whole("status", exitStatus(error.kind));
  fmt::print("{}\n", json.str());
  return exitStatus(error.kind);
}

std::string milliseconds(double ms) {
  return ms < 1000 ? fmt::format("{:7.1f} ms", ms) : fmt::format("{:7.2f} s ", ms / 1000);
}

std::string kilobytes(int64_t bytes) { return fmt::format("{:.4g} KB", double(bytes) / 1024); }

} // namespace attune::cli
