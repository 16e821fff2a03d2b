//===- Progress.cpp - one line that changes -------------------------------===//
#include "cli/Progress.h"

#include <cmath>
#include <cstdio>

#include <fmt/format.h>

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

std::string durationText(double seconds) {
  int64_t whole = std::llround(std::ceil(seconds));
  if (whole < 60)
    return fmt::format("{} s", whole);
  return whole < 3600 ? fmt::format("{} min {} s", whole / 60, whole % 60)
                      : fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

Watch::Watch(bool wanted) {
  if (!wanted)
    return;
  thread = std::thread([this] {
    bool terminal = ::isatty(STDERR_FILENO);
    ProgressLine line(terminal);
    std::unique_lock guard(lock);
    while (!changed.wait_for(guard, std::chrono::milliseconds(terminal ? 200 : 1000), [&] { return ended; }))
      look(line);
  });
}

void Watch::phase(std::string text) {
  std::lock_guard guard(lock);
  name = std::move(text);
  warned = false;
  launch.blocks = 0;
  seen = 0;
  began = Clock::now();
}

void Watch::look(ProgressLine &line) {
  constexpr double sure = 1, aMinute = 60; // seconds
  uint64_t blocks = launch.blocks, done = std::min<uint64_t>(launch.ended, blocks);
  if (blocks != seen) {
    seen = blocks;
    began = Clock::now();
  }
  double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
  if (elapsed < sure)
    return;
  if (done == 0) { // so what is left is not known
    if (blocks == 0 && name.empty())
      return;
    std::string text = fmt::format("{}, for {}", blocks ? fmt::format("simulating {} blocks", blocks) : name,
                                   durationText(std::floor(elapsed)));
    line.show(text);
    if (!warned && elapsed > aMinute / 3)
      tell(line, text + " so far");
    warned |= elapsed > aMinute / 3;
    return;
  }
  double left = elapsed / double(done) * double(blocks - done);
  line.show(fmt::format("simulating: {} of {} blocks, about {} left", done, blocks, durationText(left)));
  if (!told && elapsed + left > aMinute) {
    tell(line, fmt::format("simulating {} blocks takes about {} from here on this machine", blocks,
                           durationText(left)));
    told = true;
  }
}

void Watch::tell(ProgressLine &line, const std::string &what) {
  line.clear();
  std::fprintf(stderr, "note: %s\n", what.c_str());
}

void Watch::end() {
  if (!thread.joinable())
    return;
  {
    std::lock_guard guard(lock);
    ended = true;
  }
  changed.notify_all();
  thread.join();
}

} // namespace attune::cli
