//===- OutputFile.cpp - what a user asked to be written -------------------===//
#include "runtime/io/OutputFile.h"

#include "runtime/io/File.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune {
namespace {

namespace fs = std::filesystem;

/// Holds back Ctrl-C and its like while it lives, so that a file is either whole or not there.
class Uninterrupted {
public:
  Uninterrupted() {
    sigset_t signals;
    sigemptyset(&signals);
    for (int signal : {SIGINT, SIGTERM, SIGHUP})
      sigaddset(&signals, signal);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
  }
  ~Uninterrupted() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  Uninterrupted(const Uninterrupted &) = delete;
  Uninterrupted &operator=(const Uninterrupted &) = delete;

private:
  sigset_t before;
};

/// Where a path leads.
struct Place {
  enum Kind {
    Stream, ///< standard output or error or another that is open, in `descriptor`
    Device,
    Pipe,  ///< or a socket
    File,  ///< or nothing yet
    Fixed, ///< a file that another cannot take the place of
  } kind = File;
  std::string path; ///< links followed
  int descriptor = -1;
};

/// `path` with the links that its last part is, whether or not there is anything at their end.
fs::path followed(fs::path path) {
  constexpr int mostLinks = 40; // the kernel's own limit
  for (int i = 0; i < mostLinks; ++i) {
    std::error_code noLink;
    fs::path to = fs::read_symlink(path, noLink);
    if (noLink)
      break;
    path = to.is_absolute() ? to : path.parent_path() / to;
  }
  return path;
}

Error unwritable(const std::string &path, std::string_view why) {
  return badInput(fmt::format("expected a file that can be written, got {}: {}", path, why));
}

/// The number of an open descriptor that a shell names by a path, as in `3>file --out /dev/fd/3`; -1
/// otherwise.
int descriptorIn(std::string_view path) {
  constexpr std::string_view folder = "/dev/fd/";
  int number = -1;
  if (!path.starts_with(folder))
    return -1;
  const char *last = path.data() + path.size();
  auto [end, failed] = std::from_chars(path.data() + folder.size(), last, number);
  return failed == std::errc() && end == last && ::fcntl(number, F_GETFD) != -1 ? number : -1;
}

/// Whether the file is there and cannot be replaced: something is mounted on it (as a container's files are),
/// or nothing can be made beside it.
bool isFixed(const std::string &path) {
  struct statx status{};
  if (::statx(AT_FDCWD, path.c_str(), 0, 0, &status) == 0 && (status.stx_attributes & STATX_ATTR_MOUNT_ROOT))
    return true;
  Uninterrupted untilGone;
  return ::access(path.c_str(), W_OK) == 0 && tryTemporaryBeside(path) != 0;
}

Result<Place> placeOf(const std::string &path) {
  if (path == "-")
    return Place{Place::Stream, path, STDOUT_FILENO};
  if (int named = descriptorIn(path); named >= 0)
    return Place{Place::Stream, path, named};
  struct stat status{}, stream{};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) // a loop of links, a file in a folder's place, a folder that may not be entered
      return unwritable(path, errorText(errno));
    std::error_code ignored;
    fs::path target = followed(path);
    // Absolute, so that x and ./x are one place though neither is there yet.
    fs::path canonical = fs::weakly_canonical(fs::absolute(target, ignored), ignored);
    return Place{Place::File, ignored ? target.string() : canonical.string()};
  }
  for (int descriptor : {STDOUT_FILENO, STDERR_FILENO})
    if (::fstat(descriptor, &stream) == 0 && stream.st_dev == status.st_dev &&
        stream.st_ino == status.st_ino && !S_ISCHR(status.st_mode))
      return Place{Place::Stream, path, descriptor};
  if (S_ISDIR(status.st_mode))
    return unwritable(path, "it is a folder");
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
    return Place{Place::Device, path};
  if (!S_ISREG(status.st_mode))
    return Place{Place::Pipe, path};
  std::error_code ignored;
  fs::path target = fs::canonical(path, ignored);
  std::string end = ignored ? path : target.string();
  return Place{isFixed(end) ? Place::Fixed : Place::File, end};
}

/// 0, or the errno.
int writeAll(int descriptor, const std::vector<std::string_view> &parts) {
  for (std::string_view part : parts)
    while (!part.empty()) {
      ssize_t written = ::write(descriptor, part.data(), part.size());
      if (written < 0 && errno != EINTR)
        return errno;
      if (written > 0)
        part.remove_prefix(size_t(written));
    }
  return 0;
}

Error failed(const std::string &path, int number) {
  return badInput(
      fmt::format("{}: error: cannot write: {}", path == "-" ? "standard output" : path, errorText(number)));
}

} // namespace

Result<std::string> checkOutput(const std::string &path) {
  if (path.empty())
    return badInput("expected a file to write to, got an empty name");
  Result<Place> place = placeOf(path);
  if (!place)
    return place.error();
  if (place->kind == Place::Stream)
    return place->path;
  bool isThere = ::access(place->path.c_str(), F_OK) == 0;
  if (isThere && ::access(place->path.c_str(), W_OK) != 0)
    return unwritable(path, errorText(errno));
  if (place->kind == Place::File) {
    Uninterrupted untilGone;
    if (int number = tryTemporaryBeside(place->path))
      return unwritable(path, errorText(number));
  }
  return place->kind == Place::Device ? std::string() : place->path;
}

Status checkOutputFolder(const std::string &path) {
  fs::path folder = path;
  std::error_code error;
  while (!fs::exists(folder, error) && !error && folder.has_parent_path())
    folder = folder.parent_path();
  if (folder.empty() || !fs::exists(folder, error))
    folder = ".";
  if (!fs::is_directory(folder, error))
    return badInput(
        fmt::format("expected a folder to write to, got {}: {} is a file", path, folder.string()));
  Uninterrupted untilGone;
  if (int number = tryTemporaryBeside((folder / "x").string()))
    return badInput(fmt::format("expected a folder to write to, got {}: {}", path, errorText(number)));
  return success();
}

Status checkStandardOutput() {
  // Writing nothing reaches the device all the same, and disturbs no pipe, terminal or file.
  if (::write(STDOUT_FILENO, "", 0) == 0)
    return success();
  return failed("-", errno);
}

Status writeOutput(const std::string &path, const std::vector<std::string_view> &parts) {
  Result<Place> place = placeOf(path);
  if (!place)
    return badInput(fmt::format("{}: error: {}", path, place.error().message));
  if (place->kind == Place::File) {
    Uninterrupted untilRenamed;
    return writeFileAtomically(place->path, parts, 0666, /*keepAttributes=*/true);
  }
  bool isStream = place->kind == Place::Stream;
  if (isStream && std::fflush(stdout) != 0) // what was said before comes before
    return failed(path, errno);
  int cut = place->kind == Place::Fixed ? O_TRUNC : 0;
  std::optional<Uninterrupted> untilWhole;
  if (cut)
    untilWhole.emplace();
  int descriptor = isStream ? place->descriptor : ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | cut);
  if (descriptor < 0)
    return failed(path, errno);
  int number = writeAll(descriptor, parts);
  if (!isStream && ::close(descriptor) != 0 && number == 0)
    number = errno;
  return number ? Status(failed(path, number)) : success();
}

Status writeOutputIn(const std::string &folder, std::string_view name, std::string_view text) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return badInput(
        fmt::format("{}: error: expected a folder to write to, got: {}", folder, error.message()));
  return writeOutput(fmt::format("{}/{}", folder, name), {text});
}

} // namespace attune
