//===- Cache.h - compiled kernels on disk -----------------------*- C++ -*-===//
//
// One file an entry. A key is a list of `name=value` lines with everything that determines a kernel, so
// entries never change and never go stale. Its first lines are the request (what was asked for), the others
// say who made it. The file's name is made of the SHA-256 of both, REQUEST-KEY.attune, so that a program
// without a compiler finds what answers its request whoever made it. A file is
//
//   attune-cache 1
//   crc64 995dc9bbdf1939fa                    of every byte behind this line
//   key 1204                                  bytes
//   metadata.json 512                         one line an artefact
//   kernel.ptx 98231
//                                             an empty line, then the bytes of the key and the artefacts
//
// so that `head` shows what it is. Files are written under a temporary name and renamed, so a reader sees
// a whole entry or none, on network file systems too. Nothing is ever trusted because a lock was held: locks
// (KEY.lock, while somebody makes the entry) only save others the same work.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CACHE_CACHE_H
#define ATTUNE_RUNTIME_CACHE_CACHE_H

#include "compiler/support/Result.h"
#include "runtime/io/FileLock.h"

#include <chrono>
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
  /// The key whose canonical bytes are `text`, all of it its request.
  static CacheKey of(std::string text) {
    CacheKey key;
    key.lines = std::move(text);
    return key;
  }
  /// Line breaks in `value` become spaces.
  void add(std::string_view name, std::string_view value);
  /// The fields so far are the request; those that follow say who answers it.
  void endRequest() { requestBytes = lines.size(); }
  /// The canonical bytes: "name=value\n" for each field.
  const std::string &text() const { return lines; }
  /// SHA-256 of the text, 64 hexadecimal digits.
  std::string hash() const;
  /// SHA-256 of the request, its first 16 digits.
  std::string requestHash() const;

private:
  std::string lines;
  size_t requestBytes = std::string::npos; ///< all
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

/// The answer to a look-up that waits for whoever makes the entry just now.
struct CacheTurn {
  CacheLookup found;
  FileLock lock;    ///< held: others wait until it is gone; make the entry, store it, and let go
  std::string note; ///< why the wait ended without either; then make it all the same
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
  /// The files of the entries that answer a request, whoever made them; the last used one first.
  std::vector<std::string> filesFor(const std::string &requestHash) const;
  /// The entry in one of the cache's files, if it can be trusted and is whole; of kind Missing if the file is
  /// not there. It counts as used now.
  Result<CacheEntry> load(const std::string &file) const { return read(file, true); }
  /// The same without marking it as used, for `attune cache`.
  Result<CacheEntry> peek(const std::string &file) const { return read(file, false); }

  /// After a miss: waits, for at most `patience`, while another process or thread makes the entry.
  /// Gives the entry, or the turn to make it; neither, and at once, where locks do not work.
  CacheTurn takeTurn(const CacheKey &key, std::chrono::milliseconds patience = defaultPatience) const;
  /// Many times as long as a compilation takes on a busy machine.
  static constexpr std::chrono::milliseconds defaultPatience{30000};

  /// Stores, replacing what is there. An error (full or read-only disk, a foreign folder) costs only the
  /// caching: report it and go on.
  Status store(const CacheKey &key, const CacheEntry &entry) const;

  /// A small text beside the entries, for facts that take long to find out (a tool's
  /// version, by the fingerprint of its file). Nothing when it is not known; storing may fail in silence.
  std::optional<std::string> recall(std::string_view question) const;
  void remember(std::string_view question, std::string_view answer) const;

private:
  Result<CacheEntry> read(const std::string &file, bool asUser) const;
  std::string directory;
};

/// Entry to file content and back. `parseEntry` says what is wrong with a damaged one.
std::string serializeEntry(const CacheEntry &entry);
Result<CacheEntry> parseEntry(std::string_view bytes);

/// The beginning of an entry: what `attune cache list` reads of it. The checksum is not verified.
struct CacheHead {
  std::string key;
  std::vector<std::pair<std::string, size_t>> parts; ///< name and bytes of each artefact
  std::string metadata;                              ///< the artefact metadata.json; empty if it has none
};
/// `bytes` may end anywhere behind the metadata.
Result<CacheHead> parseHead(std::string_view bytes);

/// Why the file `path` (or the open `descriptor`, if it is not -1) may not be used: nobody but the user
/// and root may have been able to write it, for it runs on the user's GPU.
Status checkTrust(const std::string &path, int descriptor = -1);

} // namespace attune

#endif // ATTUNE_RUNTIME_CACHE_CACHE_H
