//===- Isolated.cpp - work that may end its process -----------------------===//
#include "compiler/support/Isolated.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace attune {

namespace {
void writeAll(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(to, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR)
      return;
    bytes.remove_prefix(written < 0 ? 0 : size_t(written));
  }
}

/// Reads both ends to their ends.
std::array<std::string, 2> readBoth(int first, int second) {
  std::array<std::string, 2> texts;
  pollfd ends[] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (::poll(ends, 2, -1) < 0 && errno != EINTR)
      break;
    for (size_t i = 0; i != 2; ++i) {
      if (ends[i].fd < 0 || !ends[i].revents)
        continue;
      char buffer[65536];
      ssize_t got = ::read(ends[i].fd, buffer, sizeof buffer);
      if (got > 0)
        texts[i].append(buffer, size_t(got));
      else if (got == 0 || errno != EINTR)
        ends[i].fd = -1;
    }
  }
  return texts;
}

/// What LLVM says before it ends a process, without its stack dump.
std::string lastWords(std::string_view said, int status) {
  for (std::string_view mark : {"LLVM ERROR: ", "error: "})
    if (size_t at = said.find(mark); at != std::string_view::npos) {
      said.remove_prefix(at + mark.size());
      return std::string(said.substr(0, said.find('\n')));
    }
  if (WIFSIGNALED(status))
    return fmt::format("the compiler was ended by signal {} ({})", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
  return fmt::format("the compiler ended with status {}", WEXITSTATUS(status));
}
} // namespace

Result<std::string> runIsolated(const std::string &what, const std::function<Result<std::string>()> &work) {
  int answer[2], words[2];
  if (::pipe2(answer, O_CLOEXEC) != 0)
    return missing(fmt::format("{}: error: no pipe can be made: {}", what, std::strerror(errno)));
  if (::pipe2(words, O_CLOEXEC) != 0) {
    int reason = errno;
    ::close(answer[0]);
    ::close(answer[1]);
    return missing(fmt::format("{}: error: no pipe can be made: {}", what, std::strerror(reason)));
  }
  pid_t child = ::fork();
  if (child == 0) {
    rlimit none = {0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::dup2(words[1], STDERR_FILENO);
    Result<std::string> result = work();
    // The first byte says what follows: the kind of the error, or that there is none.
    writeAll(answer[1], result
                            ? "=" + *result
                            : std::string(1, char('0' + int(result.error().kind))) + result.error().message);
    ::_exit(0); // nothing of the parent's is flushed or torn down here
  }
  int reason = errno;
  ::close(answer[1]);
  ::close(words[1]);
  std::array<std::string, 2> texts;
  if (child > 0)
    texts = readBoth(answer[0], words[0]);
  ::close(answer[0]);
  ::close(words[0]);
  if (child < 0)
    return missing(fmt::format("{}: error: no process can be made: {}", what, std::strerror(reason)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  std::string &text = texts[0];
  if (status != 0 || text.empty())
    return badInput(fmt::format("{}: error: {}", what, lastWords(texts[1], status)));
  char kind = text.front();
  text.erase(0, 1);
  if (kind == '=')
    return std::move(text);
  return Error{ErrorKind(kind - '0'), std::move(text)};
}

} // namespace attune
