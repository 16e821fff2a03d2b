//===- Cache.cpp - compiled kernels on disk -------------------------------===//
#include "runtime/cache/Cache.h"

#include "runtime/File.h"
#include "runtime/cache/Checksum.h"

#include <cerrno>
#include <charconv>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune {
namespace {

constexpr std::string_view firstLine = "attune-cache 1\n";
constexpr std::string_view anyVersion = "attune-cache ";

/// Takes a line off the front of `text`; nothing if it has no end.
std::optional<std::string_view> takeLine(std::string_view &text) {
  size_t end = text.find('\n');
  if (end == std::string_view::npos)
    return std::nullopt;
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

/// Makes `folder` and its parents, for the user alone.
Status makeFolder(const std::string &folder) {
  for (size_t at = 1; at <= folder.size(); ++at)
    if (at == folder.size() || folder[at] == '/')
      if (::mkdir(folder.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST)
        return badInput(
            fmt::format("{}: cannot make the folder: {}", folder.substr(0, at), errorText(errno)));
  return success();
}

/// Whether anybody else could have written `path`: what is loaded from it runs on the user's GPU.
Status trust(const std::string &path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0)
    return badInput(fmt::format("{}: {}", path, errorText(errno)));
  if (status.st_uid != ::geteuid())
    return badInput(
        fmt::format("{}: expected user {} to own it, got user {}", path, ::geteuid(), status.st_uid));
  if (status.st_mode & 022)
    return badInput(fmt::format("{}: others can write to it; `chmod go-w` it", path));
  return success();
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
  if (!bytes.starts_with(firstLine)) {
    if (bytes.starts_with(anyVersion))
      return badInput("it has the format of another version of attune");
    return badInput("it is not a cache entry");
  }
  bytes.remove_prefix(firstLine.size());
  std::optional<std::string_view> check = takeLine(bytes);
  if (!check || !check->starts_with("crc64 "))
    return badInput("it ends in its header");
  if (check->substr(6) != fmt::format("{:016x}", crc64(bytes)))
    return badInput("its checksum does not match: it is damaged or cut short");

  // From here on the bytes are as they were written; the checks are for a writer with a bug.
  CacheEntry entry;
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
  for (size_t i = 0; i < parts.size(); ++i) {
    auto &[name, size] = parts[i];
    if (size > bytes.size())
      return badInput(fmt::format("part '{}' is longer than the file", name));
    if (i == 0)
      entry.key = bytes.substr(0, size);
    else
      entry.artefacts.emplace_back(name, bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  if (!bytes.empty())
    return badInput("it is longer than its parts");
  return entry;
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
  return enabled() ? fmt::format("{}/{}.attune", directory, key.hash()) : "";
}

CacheLookup Cache::lookUp(const CacheKey &key) const {
  if (!enabled())
    return {};
  std::string path = fileOf(key);
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR))
    return {};
  auto unusable = [&](const std::string &why) {
    return CacheLookup{std::nullopt, fmt::format("cache entry not used: {}", why)};
  };
  for (const std::string &part : {directory, path})
    if (Status trusted = trust(part); !trusted)
      return unusable(trusted.error().message);
  Result<std::string> bytes = readFile(path);
  if (!bytes)
    return unusable(bytes.error().message);
  Result<CacheEntry> entry = parseEntry(*bytes);
  if (!entry)
    return unusable(fmt::format("{}: {}", path, entry.error().message));
  if (entry->key != key.text())
    return unusable(fmt::format("{}: it was written for another key", path));
  return {std::move(*entry), ""};
}

Status Cache::store(const CacheKey &key, const CacheEntry &entry) const {
  if (!enabled())
    return success();
  if (Status made = makeFolder(directory); !made)
    return made;
  if (Status trusted = trust(directory); !trusted)
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
