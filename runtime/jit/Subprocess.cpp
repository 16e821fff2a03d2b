//===- Subprocess.cpp - run a tool and keep what it says ------------------===//
#include "runtime/jit/Subprocess.h"

#include "runtime/io/File.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace attune {
namespace {

/// A pipe whose ends close themselves.
struct Pipe {
  int ends[2] = {-1, -1};
  ~Pipe() {
    closeEnd(0);
    closeEnd(1);
  }
  bool open() { return ::pipe2(ends, O_CLOEXEC) == 0; }
  void closeEnd(int which) {
    if (ends[which] >= 0)
      ::close(ends[which]);
    ends[which] = -1;
  }
};

/// Reads both pipes until the child has closed them. Reading one after the other could block the child,
/// which may fill the other.
void drain(Pipe &out, Pipe &err, ProcessOutput &result) {
  std::string *texts[] = {&result.out, &result.err};
  Pipe *pipes[] = {&out, &err};
  char buffer[16384];
  for (int open = 2; open > 0;) {
    pollfd wanted[] = {{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}};
    if (::poll(wanted, 2, -1) < 0) {
      if (errno == EINTR)
        continue;
      return;
    }
    for (int i = 0; i < 2; ++i) {
      if (!wanted[i].revents)
        continue;
      ssize_t got = ::read(wanted[i].fd, buffer, sizeof buffer);
      if (got > 0) {
        texts[i]->append(buffer, size_t(got));
      } else if (got == 0 || errno != EINTR) {
        pipes[i]->closeEnd(0); // poll ignores negative descriptors
        --open;
      }
    }
  }
}

} // namespace

Result<ProcessOutput> runProcess(const std::vector<std::string> &command) {
  Pipe out, err;
  if (!out.open() || !err.open())
    return missing(fmt::format("cannot run {}: {}", command[0], errorText(errno)));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, err.ends[1], 2);
  std::vector<char *> arguments;
  for (const std::string &argument : command)
    arguments.push_back(const_cast<char *>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  int failed = ::posix_spawn(&child, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  out.closeEnd(1);
  err.closeEnd(1);
  if (failed)
    return missing(fmt::format("cannot run {}: {}", command[0], errorText(failed)));

  ProcessOutput result;
  drain(out, err, result);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return missing(fmt::format("lost track of {}: {}", command[0], errorText(errno)));
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

} // namespace attune
