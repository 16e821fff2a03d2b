//===- CacheFolder.cpp - looking after a cache folder ---------------------===//
#include "runtime/cache/CacheFolder.h"

#include "compiler/spec/Json.h"
#include "runtime/io/File.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune {
namespace {

constexpr std::string_view entryEnd = ".attune", lockEnd = ".lock";
constexpr size_t requestDigits = 16, keyDigits = 64;
/// Where a file system has no locks, a temporary file this old belongs to nobody.
constexpr std::chrono::hours abandonedAge{1};

/// REQUEST-KEY, as all names of a cache begin.
bool isStem(std::string_view text) {
  auto isDigit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != requestDigits + 1 + keyDigits || text[requestDigits] != '-')
    return false;
  return std::all_of(text.begin(), text.begin() + requestDigits, isDigit) &&
         std::all_of(text.begin() + requestDigits + 1, text.end(), isDigit);
}

/// What a name of the folder stands for; nothing if the cache did not make it.
std::optional<CacheFile::Kind> kindOf(std::string_view name, std::string &hash) {
  std::string_view stem = name.substr(0, requestDigits + 1 + keyDigits);
  if (!isStem(stem))
    return std::nullopt;
  hash = stem.substr(requestDigits + 1);
  std::string_view end = name.substr(stem.size());
  if (end == entryEnd)
    return CacheFile::Kind::Broken; // until it is read
  if (end == lockEnd)
    return CacheFile::Kind::Lock;
  if (end.starts_with(entryEnd) && end.substr(entryEnd.size()).starts_with(temporaryMark))
    return CacheFile::Kind::Temporary;
  return std::nullopt;
}

/// Empty if its writer may still live, else why it does not.
std::string abandoned(const CacheFile &file) {
  int descriptor = ::open(file.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0)
    return errno == ENOENT ? "" : fmt::format("cannot open: {}", errorText(errno));
  bool busy = false;
  bool locked = lockDescriptor(descriptor, &busy);
  ::close(descriptor);
  // A writer may have been held up between making the file and locking it.
  if (locked && std::chrono::system_clock::now() - file.used > std::chrono::seconds(2))
    return "the process that wrote it is gone";
  if (!busy && std::chrono::system_clock::now() - file.used > abandonedAge)
    return "nobody has written to it for an hour";
  return "";
}

/// As much of a file as its head takes; an entry's metadata is small.
Result<std::string> readStart(const std::string &path) {
  Result<InputFile> file = InputFile::open(path);
  if (!file)
    return file.error();
  std::string bytes;
  constexpr size_t most = 64 << 10;
  if (Status read = file->read(bytes, std::min(file->size(), most)); !read)
    return read.error();
  return bytes;
}

void readEntry(const Cache &cache, CacheFile &file, bool whole) {
  auto broken = [&](const std::string &why) {
    // The path stands beside it already.
    file.problem = why.starts_with(file.path + ": ") ? why.substr(file.path.size() + 2) : why;
  };
  if (Status trusted = checkTrust(file.path); !trusted)
    return broken(trusted.error().message);
  Result<std::string> bytes = readStart(file.path);
  if (!bytes)
    return broken(bytes.error().message);
  Result<CacheHead> head = parseHead(*bytes);
  if (!head)
    return broken(head.error().message);
  if (whole)
    if (Result<CacheEntry> entry = cache.peek(file.path); !entry)
      return broken(entry.error().message);
  file.head = std::move(*head);
  CacheKey key = CacheKey::of(file.head.key);
  if (key.hash() != file.hash)
    return broken("it was written for another key");
  bool isFact = std::any_of(file.head.parts.begin(), file.head.parts.end(),
                            [](const auto &part) { return part.first == "answer"; });
  file.kind = isFact ? CacheFile::Kind::Fact : CacheFile::Kind::Kernel;
}

/// Whether it is of another version of attune, which alone can judge it.
bool isForeign(const CacheFile &file) { return file.problem.find("another version") != std::string::npos; }

bool isEntry(const CacheFile &file) {
  return file.kind == CacheFile::Kind::Kernel || file.kind == CacheFile::Kind::Fact ||
         file.kind == CacheFile::Kind::Broken;
}

Removal removeFile(const CacheFile &file, std::string why) {
  Removal removal{file, std::move(why), ""};
  // A folder in an entry's place is removed if it is empty: the cache did not make what is in it.
  if (::unlink(file.path.c_str()) != 0 && errno != ENOENT &&
      (errno != EISDIR || ::rmdir(file.path.c_str()) != 0))
    removal.failure = errorText(errno);
  return removal;
}

/// How unlike two keys are: one for each field that only one has or that differs.
std::vector<KeyDifference> compare(const KeyFields &wanted, const KeyFields &found) {
  std::vector<KeyDifference> differences;
  auto valueOf = [](const KeyFields &fields, const std::string &name) -> const std::string * {
    for (const auto &[field, value] : fields)
      if (field == name)
        return &value;
    return nullptr;
  };
  for (const auto &[name, value] : wanted)
    if (const std::string *other = valueOf(found, name); !other || *other != value)
      differences.push_back({name, value, other ? *other : ""});
  for (const auto &[name, value] : found)
    if (!valueOf(wanted, name))
      differences.push_back({name, "", value});
  return differences;
}

} // namespace

KeyFields fieldsOf(std::string_view keyText) {
  KeyFields fields;
  while (!keyText.empty()) {
    std::string_view line = keyText.substr(0, keyText.find('\n'));
    keyText.remove_prefix(std::min(line.size() + 1, keyText.size()));
    size_t equals = line.find('=');
    std::string name(line.substr(0, equals));
    std::string_view value = equals == std::string_view::npos ? "" : line.substr(equals + 1);
    std::vector<Diagnostic> diagnostics;
    json::Value object;
    if (value.starts_with('{'))
      object = json::parse(value, diagnostics);
    if (object.kind != json::Value::Kind::Object || !diagnostics.empty()) {
      fields.emplace_back(name, value);
      continue;
    }
    for (const json::Member &member : object.members) {
      const Range &at = member.value.range;
      fields.emplace_back(name + "." + member.key, value.substr(at.begin, at.end - at.begin));
    }
  }
  return fields;
}

const char *nameOf(CacheFile::Kind kind) {
  constexpr std::array names = {"kernel", "fact", "broken", "temporary", "lock"};
  return names[size_t(kind)];
}

Result<std::vector<CacheFile>> readFolder(const Cache &cache, bool whole) {
  std::vector<CacheFile> files;
  if (!cache.enabled())
    return badInput(
        "there is no cache here: ATTUNE_CACHE_DIR is empty, or HOME is not set; --cache-dir names one");
  DIR *folder = ::opendir(cache.folder().c_str());
  if (!folder && errno == ENOENT)
    return files;
  if (!folder)
    return badInput(fmt::format("{}: cannot read the folder: {}", cache.folder(), errorText(errno)));
  std::vector<std::string> names;
  while (dirent *item = ::readdir(folder))
    names.emplace_back(item->d_name);
  ::closedir(folder);
  for (const std::string &name : names) {
    CacheFile file;
    std::optional<CacheFile::Kind> kind = kindOf(name, file.hash);
    if (!kind)
      continue;
    file.kind = *kind;
    file.name = name;
    file.path = fmt::format("{}/{}", cache.folder(), name);
    struct stat status{};
    if (::lstat(file.path.c_str(), &status) != 0)
      continue; // gone in the meantime
    file.bytes = int64_t(status.st_size);
    file.used = std::chrono::system_clock::from_time_t(status.st_mtim.tv_sec) +
                std::chrono::duration_cast<std::chrono::system_clock::duration>(
                    std::chrono::nanoseconds(status.st_mtim.tv_nsec));
    if (file.kind == CacheFile::Kind::Broken)
      readEntry(cache, file, whole);
    else
      file.problem = abandoned(file);
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const CacheFile &a, const CacheFile &b) {
    return std::pair(b.used, a.name) < std::pair(a.used, b.name);
  });
  return files;
}

Result<CleanUp> collectGarbage(const Cache &cache, const KeepPolicy &keep) {
  Result<std::vector<CacheFile>> files = readFolder(cache, true);
  if (!files)
    return files.error();
  // No entry can be used in a folder that others can write to: that is the folder's fault.
  if (!files->empty())
    if (Status trusted = checkTrust(cache.folder()); !trusted)
      return trusted.error();
  CleanUp done;
  auto now = std::chrono::system_clock::now();
  bool full = false;
  for (const CacheFile &file : *files) {
    std::string why;
    if (!isEntry(file))
      why = file.problem;
    else if (file.kind == CacheFile::Kind::Broken && !isForeign(file))
      why = file.problem;
    else if (keep.maxAge && now - file.used > *keep.maxAge)
      why = fmt::format("not used for {} s",
                        std::chrono::duration_cast<std::chrono::seconds>(now - file.used).count());
    else if (keep.maxBytes && (full || done.keptBytes + file.bytes > *keep.maxBytes)) {
      why = "the least recently used beyond the size";
      full = true; // what is older goes too, however small
    }
    if (!why.empty()) {
      done.removals.push_back(removeFile(file, why));
    } else if (isEntry(file)) {
      ++done.keptFiles;
      done.keptBytes += file.bytes;
    }
  }
  return done;
}

Result<CleanUp> clearFolder(const Cache &cache) {
  Result<std::vector<CacheFile>> files = readFolder(cache, false);
  if (!files)
    return files.error();
  CleanUp done;
  for (const CacheFile &file : *files)
    if (isEntry(file) || !file.problem.empty()) // others are writing the rest just now
      done.removals.push_back(removeFile(file, "cleared"));
  return done;
}

bool answersBut(const CacheKey &request, std::string_view key, std::string_view free) {
  auto nextLine = [](std::string_view &text) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return line;
  };
  auto isFree = [&](std::string_view line) {
    return line.starts_with(free) && line.size() > free.size() && line[free.size()] == '=';
  };
  for (std::string_view wanted = request.text(); !wanted.empty();) {
    std::string_view one = nextLine(wanted), other = nextLine(key);
    if (one != other && !(isFree(one) && isFree(other)))
      return false;
  }
  return true;
}

std::vector<CacheFile> filesLike(const Cache &cache, const CacheKey &request, std::string_view free) {
  std::vector<CacheFile> like;
  Result<std::vector<CacheFile>> files = readFolder(cache, false);
  if (!files)
    return like;
  for (CacheFile &file : *files)
    if (file.kind == CacheFile::Kind::Kernel && answersBut(request, file.head.key, free))
      like.push_back(std::move(file));
  return like;
}

Result<Explanation> explain(const Cache &cache, const CacheKey &key) {
  Explanation result;
  result.file = cache.fileOf(key);
  Result<std::vector<CacheFile>> files = readFolder(cache, false);
  if (!files)
    return files.error();
  CacheLookup found = cache.lookUp(key);
  result.found = found.entry.has_value();
  result.problem = found.note;
  KeyFields wanted = fieldsOf(key.text());
  for (CacheFile &file : *files) {
    if (file.kind != CacheFile::Kind::Kernel)
      continue;
    ++result.kernels;
    if (result.found || file.path == result.file)
      continue;
    std::vector<KeyDifference> differences = compare(wanted, fieldsOf(file.head.key));
    if (result.nearest && differences.size() >= result.differences.size())
      continue;
    result.nearest = std::move(file);
    result.differences = std::move(differences);
  }
  return result;
}

} // namespace attune
