//===- Bundle.h - a file of compiled programs -------------------*- C++ -*-===//
//
// What a service takes with it instead of a compiler: cache entries for several architectures, and which of
// them serves a spec for a shape. One file:
//
//   attune-bundle 1
//   crc64 0123456789abcdef            of everything behind this line
//   bytes 123456                      of the whole file
//   made by attune 0.1.0
//   plans.json 2345
//   REQUEST-KEY.attune 34567          an entry, as the cache names it
//   ...
//                                     an empty line, then the parts in this order
//
// It is opened read-only from any path, owner and file system: its checksum finds damage, not malice.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PLAN_BUNDLE_H
#define ATTUNE_RUNTIME_PLAN_BUNDLE_H

#include "runtime/launch/CompiledProgram.h"
#include "runtime/plan/Advice.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace attune {

/// What was decided for a spec and a shape when the bundle was made.
struct BundlePlan {
  AttentionSpec spec; ///< with the schedule as it was asked for, by the user and the advisor
  ProblemShape shape;
  std::string arch; ///< "sm_90"
  Target target = Target::PTX;
  std::string why; ///< the advisor's reason; empty: the default

  bool operator==(const BundlePlan &) const = default;
};

/// {"spec": {...}, "shape": {...}, "arch": "sm_90", "target": "ptx", "why": "..."}
std::string toJson(const BundlePlan &plan);

/// A bundle in memory, to be written.
struct BundleContent {
  std::vector<std::pair<std::string, std::string>> entries; ///< name in the bundle, bytes
  std::vector<BundlePlan> plans;
};

/// The name of an entry in bundles.
std::string bundleName(const CacheKey &key);

/// Writes it so that `path` has all of it or what it had. Equal contents give equal files.
Status writeBundle(const std::string &path, BundleContent content);

/// An open bundle. Who has it may replace or remove its file; what is changed in place is found by the
/// checksum of each entry.
class Bundle {
public:
  struct Item {
    std::string name;
    CacheHead head;
    size_t offset = 0, bytes = 0; ///< in the file
  };

  /// Opens a file and checks it whole.
  static Result<std::shared_ptr<const Bundle>> open(const std::string &path);
  ~Bundle();
  Bundle(const Bundle &) = delete;
  Bundle &operator=(const Bundle &) = delete;

  const std::string &path() const { return file; }
  const std::string &madeBy() const { return maker; } ///< "attune 0.1.0"
  size_t bytes() const { return size; }
  const std::vector<Item> &items() const { return entries; }
  const std::vector<BundlePlan> &plans() const { return made; }

  /// The bytes of an entry, and the entry.
  Result<std::string> read(const Item &item) const;
  Result<CacheEntry> load(const Item &item) const;
  /// Those that answer a request: exactly, then with another schedule.
  std::vector<const Item *> find(const CacheKey &request) const;
  /// The schedule of the nearest shape for which the spec was planned on this architecture.
  std::optional<Advice> advise(const AttentionSpec &spec, std::optional<Target> target,
                               const ProblemShape &shape, const DeviceInfo &device) const;

private:
  Bundle() = default;
  Status index(std::string_view bytes);

  std::string file, maker;
  int descriptor = -1;
  size_t size = 0;
  std::vector<Item> entries;
  std::vector<BundlePlan> made;
  std::vector<std::string> keys; ///< of `made`: the code but for the schedule
};

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_BUNDLE_H
