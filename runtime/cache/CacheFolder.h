//===- CacheFolder.h - looking after a cache folder -------------*- C++ -*-===//
//
// What `attune cache` does: every file of a folder and what is wrong with it, what to remove, and why a
// look-up missed. It touches only files that a cache makes. All of it is safe beside processes that use
// the cache.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CACHE_CACHEFOLDER_H
#define ATTUNE_RUNTIME_CACHE_CACHEFOLDER_H

#include "runtime/cache/Cache.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {

/// The fields of a key, in order. Those of a field that is a JSON object stand one by one: "spec.mask".
using KeyFields = std::vector<std::pair<std::string, std::string>>;
KeyFields fieldsOf(std::string_view keyText);

/// A file that a cache made.
struct CacheFile {
  enum class Kind {
    Kernel,    ///< an entry that holds a kernel
    Fact,      ///< an entry that holds a tool's version or the like
    Broken,    ///< in an entry's place, and not to be used: `problem` says why
    Temporary, ///< an entry that somebody writes or has not finished
    Lock,      ///< somebody makes an entry or has not finished
  };
  Kind kind = Kind::Broken;
  std::string path, name;
  std::string hash;    ///< of an entry's key, as the name has it
  std::string problem; ///< of a broken one; of a temporary or a lock: empty iff somebody holds it
  int64_t bytes = 0;
  std::chrono::system_clock::time_point used; ///< when it was written or last found by a look-up
  CacheHead head;                             ///< of an entry
};
const char *nameOf(CacheFile::Kind kind); ///< "kernel", "fact", "broken", "temporary", "lock"

/// Every file that the cache made, entries by the time of their last use, the latest first. With `whole`,
/// checksums are checked; without, only what stands at the beginning is read. A folder that is not there is
/// an empty one.
Result<std::vector<CacheFile>> readFolder(const Cache &cache, bool whole);

/// What to keep.
struct KeepPolicy {
  std::optional<int64_t> maxBytes;            ///< of all entries; the least recently used go first
  std::optional<std::chrono::seconds> maxAge; ///< since an entry was last used
};

/// What was removed, or was to be and could not.
struct Removal {
  CacheFile file;
  std::string why;
  std::string failure; ///< empty: it is gone
};
struct CleanUp {
  std::vector<Removal> removals;
  int64_t keptFiles = 0, keptBytes = 0; ///< entries
};

/// Removes what nobody can use (damaged entries, what killed processes left behind) and what `keep` does not
/// keep. Entries of other versions of attune are only subject to `keep`.
Result<CleanUp> collectGarbage(const Cache &cache, const KeepPolicy &keep);
/// Removes every file that the cache made.
Result<CleanUp> clearFolder(const Cache &cache);

/// Whether the entry of `key` answers `request`, whatever both have in the field `free`.
bool answersBut(const CacheKey &request, std::string_view key, std::string_view free);
/// The files of entries whose request is `request` but for the field `free`, the last used first.
std::vector<CacheFile> filesLike(const Cache &cache, const CacheKey &request, std::string_view free);

/// How an entry differs from what was looked for.
struct KeyDifference {
  std::string field, wanted, found; ///< empty: the field is not there
};
struct Explanation {
  bool found = false;               ///< the entry is there and can be used
  std::string file;                 ///< where the entry is or would be
  std::string problem;              ///< what is wrong with what is in its place; empty if nothing is there
  std::optional<CacheFile> nearest; ///< if it was not found: the kernel with the fewest different fields
  std::vector<KeyDifference> differences; ///< between that and the key
  size_t kernels = 0;                     ///< how many were compared
};
/// Why `key` is found or missed.
Result<Explanation> explain(const Cache &cache, const CacheKey &key);

} // namespace attune

#endif // ATTUNE_RUNTIME_CACHE_CACHEFOLDER_H
