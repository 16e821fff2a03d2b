//===- Output.cpp - files and texts that commands leave behind ------------===//
#include "cli/Output.h"
#include "compiler/spec/Json.h"

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune::cli {

namespace {

/// The temporary file that exists now; a signal handler reads it, so it is no std::string.
char temporaryName[4096];

void removeTemporary(int signal) {
  if (temporaryName[0])
    unlink(temporaryName);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

bool writeAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t wrote = write(file, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote <= 0)
      return false;
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

} // namespace

void cleanUpOnSignals() {
  std::signal(SIGINT, removeTemporary);
  std::signal(SIGTERM, removeTemporary);
  std::signal(SIGHUP, removeTemporary);
}

Status writeOutput(const std::string &path, std::string_view bytes) {
  auto failed = [&](const char *what) {
    return badInput(
        fmt::format("{}: error: expected to {} the file, got: {}", path, what, std::strerror(errno)));
  };
  if (path == "-") {
    std::fflush(stdout);
    if (!writeAll(STDOUT_FILENO, bytes))
      return failed("write");
    return success();
  }
  // A device or a pipe (/dev/null, /dev/stdout) is written in place: renaming over it would replace it.
  struct stat status;
  bool inPlace = stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  std::string temporary = inPlace ? path : fmt::format("{}.{}.tmp", path, getpid());
  if (temporary.size() >= sizeof temporaryName) {
    errno = ENAMETOOLONG;
    return failed("create");
  }
  if (!inPlace)
    std::memcpy(temporaryName, temporary.c_str(), temporary.size() + 1);
  int file = open(temporary.c_str(), O_WRONLY | O_CLOEXEC | (inPlace ? 0 : O_CREAT | O_TRUNC), 0666);
  bool wrote = file >= 0 && writeAll(file, bytes);
  if (file >= 0 && close(file) != 0)
    wrote = false;
  bool renamed = wrote && (inPlace || std::rename(temporary.c_str(), path.c_str()) == 0);
  Status result = success();
  if (!renamed) {
    result = failed(file < 0 ? "create" : wrote ? "replace" : "write");
    if (!inPlace)
      unlink(temporary.c_str());
  }
  temporaryName[0] = 0;
  return result;
}

int report(const Error &error) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", error.message.c_str());
  switch (error.kind) {
  case ErrorKind::Verification:
    return 1;
  case ErrorKind::BadInput:
    return 2;
  case ErrorKind::Missing:
    return 3;
  }
  return 2;
}

JsonObject &JsonObject::raw(std::string_view key, std::string_view json) {
  body += fmt::format("{}{}:{}", body.empty() ? "" : ",", json::quote(key), json);
  return *this;
}

JsonObject &JsonObject::text(std::string_view key, std::string_view value) {
  return raw(key, json::quote(value));
}

JsonObject &JsonObject::number(std::string_view key, double value) {
  // JSON has no infinity and no NaN; null says that there is no such number.
  return raw(key, std::isfinite(value) ? fmt::format("{}", value) : "null");
}

JsonObject &JsonObject::whole(std::string_view key, int64_t value) {
  return raw(key, fmt::format("{}", value));
}
JsonObject &JsonObject::boolean(std::string_view key, bool value) {
  return raw(key, value ? "true" : "false");
}

std::string jsonList(const std::vector<std::string> &values) {
  std::string result = "[";
  for (const std::string &value : values)
    result += (result.size() > 1 ? "," : "") + value;
  return result + "]";
}

double Clock::lap() {
  auto now = std::chrono::steady_clock::now();
  double ms = std::chrono::duration<double, std::milli>(now - last).count();
  last = now;
  return ms;
}

std::string milliseconds(double ms) {
  return ms < 1000 ? fmt::format("{:7.1f} ms", ms) : fmt::format("{:7.2f} s ", ms / 1000);
}

std::string kilobytes(int64_t bytes) { return fmt::format("{:.4g} KB", double(bytes) / 1024); }

} // namespace attune::cli
