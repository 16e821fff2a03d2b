//===- FileLock.h - one process or thread at a time -------------*- C++ -*-===//
//
// A lock on a file of its own that is gone when its holder is: killed, crashed or done. It excludes threads
// and processes alike (Linux's open-file-description locks). Where a file system has no locks, nobody holds
// one.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_IO_FILELOCK_H
#define ATTUNE_RUNTIME_IO_FILELOCK_H

#include <string>
#include <utility>

namespace attune {

/// Holds a lock, or nothing. Letting go removes the file.
class FileLock {
public:
  enum class Result {
    Held,
    Busy,       ///< somebody else holds it
    Impossible, ///< the file cannot be made, or the file system has no locks
  };

  FileLock() = default;
  FileLock(FileLock &&other) noexcept { swap(other); }
  FileLock &operator=(FileLock &&other) noexcept {
    swap(other);
    return *this;
  }
  ~FileLock() { release(); }

  /// Tries once, without waiting.
  Result tryTake(const std::string &path);
  bool held() const { return descriptor >= 0; }
  void release();

private:
  void swap(FileLock &other) {
    std::swap(path, other.path);
    std::swap(descriptor, other.descriptor);
  }
  std::string path;
  int descriptor = -1;
};

/// Locks a whole open file (it must be open for writing): true on success. `busy` is set if another
/// descriptor holds it.
bool lockDescriptor(int descriptor, bool *busy = nullptr);

} // namespace attune

#endif // ATTUNE_RUNTIME_IO_FILELOCK_H
