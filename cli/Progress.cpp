//===- Progress.cpp - one line that changes -------------------------------===//
#include "cli/Progress.h"

#include <cstdio>

#include <sys/ioctl.h>
#include <unistd.h>

namespace attune::cli {

ProgressLine::ProgressLine(bool wanted) : active(wanted && ::isatty(STDERR_FILENO)) {}

void ProgressLine::show(const std::string &text) {
  auto now = std::chrono::steady_clock::now();
  if (!active || (dirty && now - last < std::chrono::milliseconds(100)))
    return;
  last = now;
  dirty = true;
  // A line that wraps could not be replaced.
  winsize size{};
  size_t columns = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
  std::fprintf(stderr, "\r\033[K%s", text.substr(0, columns).c_str());
  std::fflush(stderr);
}

void ProgressLine::clear() {
  if (dirty)
    std::fputs("\r\033[K", stderr);
  dirty = false;
}

} // namespace attune::cli
