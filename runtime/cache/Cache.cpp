//===- Cache.cpp - compiled kernels on disk -------------------------------===//
#include "runtime/cache/Cache.h"

#include "runtime/cache/Checksum.h"
#include "runtime/io/File.h"
#include "runtime/io/Lines.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <thread>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune {
namespace {

constexpr std::string_view firstLine = "attune-cache 1\n";
constexpr std::string_view anyVersion = "attune-cache ";

/// Makes `folder` and its parents, for the user alone.
Status makeFolder(const std::string &folder) {
  for (size_t at = 1; at <= folder.size(); ++at)
    if (at == folder.size() || folder[at] == '/')
      if (::mkdir(folder.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST)
        return badInput(
            fmt::format("{}: cannot make the folder: {}", folder.substr(0, at), errorText(errno)));
  return success();
}

/// No kernel with its texts is as long: a longer file is no entry, and is not read.
constexpr int64_t maxEntry = int64_t(256) << 20;

/// A hit marks its entry as used, for `attune cache gc`, at most as often as this.
constexpr int64_t usedResolution = 3600;

struct OpenFile {
  int descriptor;
  ~OpenFile() {
    if (descriptor >= 0)
      ::close(descriptor);
  }
};

/// The header: the parts' names and sizes, the key first. Takes it off the front of `bytes`.
Result<std::vector<std::pair<std::string, size_t>>> takeParts(std::string_view &bytes) {
  std::vector<std::pair<std::string, size_t>> parts;
  for (;;) {
    std::optional<std::string_view> line = takeLine(bytes);
    if (!line)
      return badInput("its list of parts has no end");
    if (line->empty())
      break;
    size_t space = line->rfind(' ');
    size_t size = 0;
    if (space == std::string_view::npos ||
        std::from_chars(line->data() + space + 1, line->data() + line->size(), size).ptr !=
            line->data() + line->size())
      return badInput("its list of parts is malformed");
    parts.emplace_back(line->substr(0, space), size);
  }
  if (parts.empty() || parts.front().first != "key")
    return badInput("its first part is not a key");
  return parts;
}

/// Takes the first two lines off the front; gives the checksum that the second one names.
Result<std::string_view> takeChecksum(std::string_view &bytes) {
  if (!bytes.starts_with(firstLine)) {
    if (bytes.starts_with(anyVersion))
      return badInput("it has the format of another version of attune");
    return badInput(bytes.empty() ? "it is empty" : "it is not a cache entry");
  }
  bytes.remove_prefix(firstLine.size());
  std::optional<std::string_view> check = takeLine(bytes);
  if (!check || !check->starts_with("crc64 "))
    return badInput("it ends in its header");
  return check->substr(6);
}

/// Copies `count` bytes from `offset` on; gives how many there were.
using ReadAt = std::function<Result<size_t>(size_t offset, char *to, size_t count)>;

ReadAt readerOf(int descriptor) {
  return [descriptor](size_t offset, char *to, size_t count) -> Result<size_t> {
    size_t have = 0;
    while (have < count) {
      ssize_t got = ::pread(descriptor, to + have, count - have, off_t(offset + have));
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0 && errno == ESTALE) // replaced on the server of a network file system: to be opened again
        return missing(fmt::format("cannot read: {}", errorText(errno)));
      if (got < 0)
        return badInput(fmt::format("cannot read: {}", errorText(errno)));
      if (got == 0)
        break;
      have += size_t(got);
    }
    return have;
  };
}

/// Memory that is touched for the first time costs more than all else here, so each
/// part is read to where it stays.
Result<CacheEntry> readEntry(const ReadAt &readAt, size_t size) {
  constexpr size_t headerSize = 4096;
  std::string start(std::min(size, headerSize), '\0');
  Result<size_t> got = readAt(0, start.data(), start.size());
  if (!got)
    return got.error();
  std::string_view header = std::string_view(start).substr(0, *got);
  Result<std::string_view> check = takeChecksum(header);
  if (!check)
    return check.error();
  std::string_view list = header;
  auto parts = takeParts(list);
  // A file whose parts do not add up is damaged or cut short, whatever its list of parts says.
  Error damaged = badInput("its checksum does not match: it is damaged or cut short");
  if (!parts)
    return damaged;
  size_t offset = size_t(list.data() - start.data()), rest = size - offset;
  for (const auto &[name, bytes] : *parts) {
    if (bytes > rest)
      return damaged;
    rest -= bytes;
  }
  if (rest != 0)
    return damaged;
  uint64_t crc = crc64(header.substr(0, header.size() - list.size()));
  CacheEntry entry;
  for (size_t i = 0; i < parts->size(); ++i) {
    auto &[name, bytes] = (*parts)[i];
    std::string text(bytes, '\0');
    got = readAt(offset, text.data(), bytes);
    if (!got)
      return got.error();
    if (*got != bytes)
      return damaged;
    crc = crc64(text, crc);
    offset += bytes;
    if (i == 0)
      entry.key = std::move(text);
    else
      entry.artefacts.emplace_back(std::move(name), std::move(text));
  }
  if (*check != fmt::format("{:016x}", crc))
    return damaged;
  return entry;
}

} // namespace

void CacheKey::add(std::string_view name, std::string_view value) {
  lines += name;
  lines += '=';
  for (char c : value)
    lines += c == '\n' || c == '\r' ? ' ' : c;
  lines += '\n';
}

std::string CacheKey::hash() const { return sha256(lines); }

std::string CacheKey::requestHash() const {
  return sha256(std::string_view(lines).substr(0, requestBytes)).substr(0, 16);
}

const std::string *CacheEntry::find(std::string_view name) const {
  for (const auto &[known, bytes] : artefacts)
    if (known == name)
      return &bytes;
  return nullptr;
}

std::string serializeEntry(const CacheEntry &entry) {
  std::string rest = fmt::format("key {}\n", entry.key.size());
  size_t payload = entry.key.size();
  for (const auto &[name, bytes] : entry.artefacts) {
    rest += fmt::format("{} {}\n", name, bytes.size());
    payload += bytes.size();
  }
  rest += '\n';
  rest.reserve(rest.size() + payload);
  rest += entry.key;
  for (const auto &[name, bytes] : entry.artefacts)
    rest += bytes;
  return fmt::format("{}crc64 {:016x}\n{}", firstLine, crc64(rest), rest);
}

Result<CacheEntry> parseEntry(std::string_view bytes) {
  return readEntry([bytes](size_t offset, char *to,
                           size_t count) -> Result<size_t> { return bytes.copy(to, count, offset); },
                   bytes.size());
}

Result<CacheHead> parseHead(std::string_view bytes) {
  if (Result<std::string_view> check = takeChecksum(bytes); !check)
    return check.error();
  auto parts = takeParts(bytes);
  if (!parts)
    return parts.error();
  CacheHead head;
  if (parts->front().second > bytes.size())
    return badInput("it ends in its key");
  head.key = bytes.substr(0, parts->front().second);
  bytes.remove_prefix(head.key.size());
  head.parts.assign(parts->begin() + 1, parts->end());
  if (!head.parts.empty() && head.parts[0].first == "metadata.json" && head.parts[0].second <= bytes.size())
    head.metadata = bytes.substr(0, head.parts[0].second);
  return head;
}

Cache Cache::ofUser() {
  if (const char *folder = std::getenv("ATTUNE_CACHE_DIR"))
    return Cache(folder);
  if (const char *base = std::getenv("XDG_CACHE_HOME"); base && *base == '/')
    return Cache(fmt::format("{}/attune", base));
  if (const char *home = std::getenv("HOME"); home && *home)
    return Cache(fmt::format("{}/.cache/attune", home));
  return Cache();
}

std::string Cache::fileOf(const CacheKey &key) const {
  return enabled() ? fmt::format("{}/{}-{}.attune", directory, key.requestHash(), key.hash()) : "";
}

Status checkTrust(const std::string &path, int descriptor) {
  struct stat status{};
  if ((descriptor < 0 ? ::stat(path.c_str(), &status) : ::fstat(descriptor, &status)) != 0)
    return badInput(fmt::format("{}: {}", path, errorText(errno)));
  // Root can do anything to this user anyway, and owns a cache that is part of an image.
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return badInput(
        fmt::format("{}: expected user {} or root to own it, got user {}", path, ::geteuid(), status.st_uid));
  if (status.st_mode & 022)
    return badInput(fmt::format("{}: others can write to it; `chmod go-w` it", path));
  return success();
}

Result<CacheEntry> Cache::read(const std::string &path, bool asUser) const {
  if (Status trusted = checkTrust(directory); !trusted)
    return trusted.error();
  // Without O_NONBLOCK a pipe in the entry's place would wait for a writer.
  OpenFile file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status{};
  if (file.descriptor < 0 && errno == ENOENT)
    return missing(fmt::format("{}: cannot open: {}", path, errorText(errno)));
  if (file.descriptor < 0 || ::fstat(file.descriptor, &status) != 0)
    return badInput(fmt::format("{}: cannot open: {}", path, errorText(errno)));
  if (!S_ISREG(status.st_mode))
    return badInput(fmt::format("{}: expected a regular file", path));
  // The open file's, since the path could name another one by now.
  if (Status trusted = checkTrust(path, file.descriptor); !trusted)
    return trusted.error();
  if (status.st_size > maxEntry)
    return badInput(fmt::format("{}: it has {} bytes, which no entry has", path, status.st_size));
  Result<CacheEntry> entry = readEntry(readerOf(file.descriptor), size_t(status.st_size));
  if (!entry)
    return Error{entry.error().kind, fmt::format("{}: {}", path, entry.error().message)};
  // This fails on a read-only disk, where it is not needed.
  if (asUser && ::time(nullptr) - status.st_mtime > usedResolution)
    (void)::futimens(file.descriptor, nullptr);
  return entry;
}

CacheLookup Cache::lookUp(const CacheKey &key) const {
  if (!enabled())
    return {};
  std::string path = fileOf(key);
  auto isAbsent = [&] {
    struct stat status{};
    return ::lstat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
  };
  if (isAbsent())
    return {};
  Result<CacheEntry> entry = load(path);
  // Somebody may clean up, and another store it again, between two looks. What stays is a link to nowhere.
  for (int attempt = 0; !entry && entry.error().kind == ErrorKind::Missing && attempt < 10; ++attempt) {
    if (isAbsent())
      return {};
    entry = load(path);
  }
  if (!entry)
    return {std::nullopt, fmt::format("cache entry not used: {}", entry.error().message)};
  if (entry->key != key.text())
    return {std::nullopt, fmt::format("cache entry not used: {}: it was written for another key", path)};
  return {std::move(*entry), ""};
}

std::vector<std::string> Cache::filesFor(const std::string &requestHash) const {
  std::vector<std::pair<int64_t, std::string>> found;
  DIR *folder = enabled() ? ::opendir(directory.c_str()) : nullptr;
  if (!folder)
    return {};
  while (dirent *item = ::readdir(folder)) {
    std::string_view name = item->d_name;
    if (!name.starts_with(requestHash) || !name.ends_with(".attune"))
      continue;
    std::string path = fmt::format("{}/{}", directory, name);
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0)
      found.emplace_back(-(int64_t(status.st_mtim.tv_sec) * 1000000000 + status.st_mtim.tv_nsec), path);
  }
  ::closedir(folder);
  std::sort(found.begin(), found.end());
  std::vector<std::string> files;
  for (auto &[time, path] : found)
    files.push_back(std::move(path));
  return files;
}

CacheTurn Cache::takeTurn(const CacheKey &key, std::chrono::milliseconds patience) const {
  CacheTurn turn;
  if (!enabled() || !makeFolder(directory) || !checkTrust(directory))
    return turn; // storing will say what is wrong
  std::string entry = fileOf(key);
  std::string lock =
      fmt::format("{}.lock", entry.substr(0, entry.size() - std::string_view(".attune").size()));
  auto identity = [&] {
    struct stat status{};
    return ::stat(entry.c_str(), &status) == 0 ? std::pair(status.st_ino, status.st_mtim.tv_nsec)
                                               : std::pair(ino_t(0), long(0));
  };
  std::pair<ino_t, long> before; // none: what is there by now is looked at once
  auto deadline = std::chrono::steady_clock::now() + patience;
  for (auto pause = std::chrono::milliseconds(1);;
       pause = std::min(pause * 2, std::chrono::milliseconds(20))) {
    FileLock::Result result = turn.lock.tryTake(lock);
    if (result == FileLock::Result::Impossible)
      return turn;
    // Somebody may have finished it since the look-up that missed, or just now.
    if (auto now = identity(); now != before || result == FileLock::Result::Held) {
      before = now;
      turn.found = lookUp(key);
      if (turn.found.entry)
        turn.lock.release();
      if (turn.found.entry || result == FileLock::Result::Held)
        return turn;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      turn.note =
          fmt::format("another process has been making this kernel for {:.1f} s; not waiting any longer",
                      double(patience.count()) / 1000);
      return turn;
    }
    std::this_thread::sleep_for(pause);
  }
}

Status Cache::store(const CacheKey &key, const CacheEntry &entry) const {
  if (!enabled())
    return success();
  if (Status made = makeFolder(directory); !made)
    return made;
  if (Status trusted = checkTrust(directory); !trusted)
    return trusted;
  return writeFileAtomically(fileOf(key), {serializeEntry(entry)}, 0600);
}

std::optional<std::string> Cache::recall(std::string_view question) const {
  CacheKey key;
  key.add("question", question);
  CacheLookup found = lookUp(key);
  if (const std::string *answer = found.entry ? found.entry->find("answer") : nullptr)
    return *answer;
  return std::nullopt;
}

void Cache::remember(std::string_view question, std::string_view answer) const {
  CacheKey key;
  key.add("question", question);
  (void)bool(store(key, {key.text(), {{"answer", std::string(answer)}}}));
}

} // namespace attune
