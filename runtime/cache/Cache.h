//===- Cache.h - compiled kernels on disk -----------------------*- C++ -*-===//
//
// One file an entry. Its name is the SHA-256 of the entry's key, a list of `name=value` lines with
// everything that determines the kernel, so entries never change and never go stale. A file is
//
//   attune-cache 1
//   crc64 995dc9bbdf1939fa                    of every byte behind this line
//   key 1204                                  bytes
//   metadata.json 512                         one line an artefact
//   kernel.ptx 98231
//                                             an empty line, then the bytes of the key and the artefacts
//
// so that `head` shows what it is. Files are written under a temporary name and renamed, so a reader sees
// a whole entry or none, on network file systems too.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CACHE_CACHE_H
#define ATTUNE_RUNTIME_CACHE_CACHE_H

#include "compiler/support/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {

/// What determines a kernel. Order matters; values are single lines.
class CacheKey {
public:
  /// Line breaks in `value` become spaces.
  void add(std::string_view name, std::string_view value);
  /// The canonical bytes: "name=value\n" for each field.
  const std::string &text() const { return lines; }
  /// SHA-256 of the text, 64 hexadecimal digits.
  std::string hash() const;

private:
  std::string lines;
};

/// What is stored under a key.
struct CacheEntry {
  std::string key;                                            ///< the canonical bytes
  std::vector<std::pair<std::string, std::string>> artefacts; ///< name ("kernel.ptx"), bytes

  /// The artefact of this name, or null.
  const std::string *find(std::string_view name) const;
};

/// The answer to a look-up. With neither, the entry is simply not there.
struct CacheLookup {
  std::optional<CacheEntry> entry;
  std::string note; ///< why an entry that is there cannot be used; it then counts as absent
};

/// A folder of entries. An object without a folder stores nothing and finds nothing. Safe to use from many
/// threads and processes.
class Cache {
public:
  /// No cache.
  Cache() = default;
  /// The cache in `folder`. Nothing is touched before the first store.
  explicit Cache(std::string folder) : directory(std::move(folder)) {}
  /// The user's: ATTUNE_CACHE_DIR, else XDG_CACHE_HOME/attune, else HOME/.cache/attune. ATTUNE_CACHE_DIR
  /// set to nothing, or no HOME, means no cache.
  static Cache ofUser();

  const std::string &folder() const { return directory; }
  bool enabled() const { return !directory.empty(); }
  /// The file of a key's entry.
  std::string fileOf(const CacheKey &key) const;

  CacheLookup lookUp(const CacheKey &key) const;
  /// Stores, replacing what is there. An error (full or read-only disk, a foreign folder) costs only the
  /// caching: report it and go on.
  Status store(const CacheKey &key, const CacheEntry &entry) const;

  /// A small text that is remembered beside the entries, for facts that are slow to ask for (a tool's
  /// version, by the fingerprint of its file). Nothing when it is not known; storing may fail in silence.
  std::optional<std::string> recall(std::string_view question) const;
  void remember(std::string_view question, std::string_view answer) const;

private:
  std::string directory;
};

/// Entry to file content and back. `parseEntry` says what is wrong with a damaged one.
std::string serializeEntry(const CacheEntry &entry);
Result<CacheEntry> parseEntry(std::string_view bytes);

} // namespace attune

#endif // ATTUNE_RUNTIME_CACHE_CACHE_H
