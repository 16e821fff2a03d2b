//===- File.cpp - whole files, read and written safely --------------------===//
#include "runtime/io/File.h"

#include "runtime/io/FileLock.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attune {

std::string errorText(int number) { return std::generic_category().message(number); }

InputFile::InputFile(std::string path, int descriptor, size_t bytes)
    : path(std::move(path)), descriptor(descriptor), bytes(bytes) {}

InputFile::InputFile(InputFile &&other) noexcept
    : path(std::move(other.path)), descriptor(other.descriptor), bytes(other.bytes) {
  other.descriptor = -1;
}

InputFile::~InputFile() {
  if (descriptor >= 0)
    ::close(descriptor);
}

Result<InputFile> InputFile::open(const std::string &path) {
  // Without O_NONBLOCK a pipe without a writer would hang before it is refused.
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return badInput(fmt::format("{}: cannot open: {}", path, errorText(errno)));
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return badInput(fmt::format("{}: expected a regular file", path));
  }
  return InputFile(path, descriptor, size_t(status.st_size));
}

Status InputFile::read(void *to, size_t count) {
  char *next = static_cast<char *>(to);
  while (count > 0) {
    ssize_t got = ::read(descriptor, next, count);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return badInput(fmt::format("{}: cannot read: {}", path, errorText(errno)));
    if (got == 0)
      return badInput(fmt::format("{}: the file ends {} bytes early", path, count));
    next += got;
    count -= size_t(got);
  }
  return success();
}

Status InputFile::read(std::string &to, size_t count) {
  size_t before = to.size();
  to.resize(before + count);
  return read(to.data() + before, count);
}

Result<std::string> readFile(const std::string &path) {
  Result<InputFile> file = InputFile::open(path);
  if (!file)
    return file.error();
  std::string text;
  if (Status read = file->read(text, file->size()); !read)
    return read.error();
  return text;
}

namespace {

uint64_t randomBits() {
  uint64_t bits = 0;
  if (::getrandom(&bits, sizeof bits, GRND_NONBLOCK) == sizeof bits)
    return bits;
  static std::atomic<uint64_t> serial = 0;
  return uint64_t(std::chrono::system_clock::now().time_since_epoch().count()) * 1000 + serial++;
}

/// A fresh file beside `path`, whose name it gives; -1 with errno otherwise.
int makeTemporary(const std::string &path, int mode, std::string &temporary) {
  // Process numbers repeat, on other machines of a network file system and in containers, and a killed
  // process leaves its file: only a random name is surely free.
  int descriptor = -1;
  for (int attempt = 0; descriptor < 0 && attempt < 16; ++attempt) {
    temporary = fmt::format("{}{}{:016x}", path, temporaryMark, randomBits());
    descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor < 0 && errno != EEXIST)
      break;
  }
  return descriptor;
}

} // namespace

int tryTemporaryBeside(const std::string &path) {
  std::string temporary;
  int descriptor = makeTemporary(path, 0600, temporary);
  if (descriptor < 0)
    return errno;
  ::close(descriptor);
  return ::unlink(temporary.c_str()) == 0 ? 0 : errno;
}

Status writeFileAtomically(const std::string &path, const std::vector<std::string_view> &parts, int mode,
                           bool keepAttributes) {
  struct stat before{};
  keepAttributes = keepAttributes && ::stat(path.c_str(), &before) == 0;
  std::string temporary;
  // What others may not read, they may not read while it is written either.
  int descriptor = makeTemporary(path, keepAttributes ? 0600 : mode, temporary);
  if (descriptor < 0)
    return badInput(fmt::format("{}: cannot create: {}", path, errorText(errno)));
  int failed = 0;
  if (keepAttributes) {
    // Only root may give a file away; others may still give it to a group of theirs.
    if (::fchown(descriptor, before.st_uid, before.st_gid) != 0)
      (void)!::fchown(descriptor, uid_t(-1), before.st_gid);
    if (::fchmod(descriptor, before.st_mode & 0777) != 0)
      failed = errno;
  }
  lockDescriptor(descriptor); // so that who cleans up sees that it is being written
  for (std::string_view part : parts) {
    while (!part.empty() && !failed) {
      ssize_t written = ::write(descriptor, part.data(), part.size());
      if (written < 0 && errno != EINTR)
        failed = errno;
      else if (written > 0)
        part.remove_prefix(size_t(written));
    }
  }
  // Network file systems report a full disk only here.
  if (::close(descriptor) != 0 && !failed)
    failed = errno;
  if (!failed && ::rename(temporary.c_str(), path.c_str()) != 0)
    failed = errno;
  if (!failed)
    return success();
  ::unlink(temporary.c_str());
  return badInput(fmt::format("{}: cannot write: {}", path, errorText(failed)));
}

namespace {

/// The folders that exist now, for a signal handler, which may neither lock nor allocate. `name` is written
/// while `state` is Taken, and read only while it is Live.
struct LiveFolder {
  enum State { Free, Taken, Live };
  std::atomic<int> state = Free;
  char name[256];
};
std::array<LiveFolder, 16> liveFolders;

void enlist(const std::string &folder) {
  if (folder.size() >= sizeof LiveFolder::name)
    return;
  for (LiveFolder &slot : liveFolders) {
    int expected = LiveFolder::Free;
    if (!slot.state.compare_exchange_strong(expected, LiveFolder::Taken))
      continue;
    std::memcpy(slot.name, folder.c_str(), folder.size() + 1);
    slot.state = LiveFolder::Live;
    return;
  }
}

void strike(const std::string &folder) {
  for (LiveFolder &slot : liveFolders)
    if (slot.state == LiveFolder::Live && folder == slot.name)
      slot.state = LiveFolder::Free;
}

void removeLiveFolders(int signal) {
  // Walking a folder is nothing that a handler may do; another program may.
  for (LiveFolder &slot : liveFolders) {
    if (slot.state != LiveFolder::Live)
      continue;
    pid_t child = ::_Fork();
    if (child == 0) {
      ::execl("/bin/rm", "rm", "-rf", "--", slot.name, static_cast<char *>(nullptr));
      ::_exit(127);
    }
    if (child > 0)
      ::waitpid(child, nullptr, 0);
  }
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

} // namespace

void removeTempDirsOnSignals() {
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, removeLiveFolders);
}

Result<TempDir> TempDir::make() {
  const char *base = std::getenv("TMPDIR");
  std::string pattern = fmt::format("{}/attune-XXXXXX", base && *base ? base : "/tmp");
  // mkdtemp makes it with mode 0700.
  if (!::mkdtemp(pattern.data()))
    return missing(
        fmt::format("{}: cannot make a temporary folder: {}; set TMPDIR to one that can be written", pattern,
                    errorText(errno)));
  enlist(pattern);
  return TempDir(pattern);
}

TempDir::~TempDir() {
  std::error_code ignored;
  if (folder.empty())
    return;
  std::filesystem::remove_all(folder, ignored);
  strike(folder);
}

} // namespace attune
