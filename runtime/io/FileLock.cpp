//===- FileLock.cpp - one process or thread at a time ---------------------===//
#include "runtime/io/FileLock.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune {

bool lockDescriptor(int descriptor, bool *busy) {
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  bool locked = ::fcntl(descriptor, F_OFD_SETLK, &whole) == 0;
  if (busy)
    *busy = !locked && (errno == EAGAIN || errno == EACCES);
  return locked;
}

FileLock::Result FileLock::tryTake(const std::string &wanted) {
  release();
  for (;;) {
    int file = ::open(wanted.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (file < 0)
      return Result::Impossible;
    bool busy = false;
    if (!lockDescriptor(file, &busy)) {
      ::close(file);
      return busy ? Result::Busy : Result::Impossible;
    }
    // Whoever held it before removed the file: a lock on a file without a name excludes nobody.
    struct stat here{}, named{};
    bool same = ::fstat(file, &here) == 0 && ::stat(wanted.c_str(), &named) == 0 &&
                here.st_dev == named.st_dev && here.st_ino == named.st_ino;
    if (same) {
      path = wanted;
      descriptor = file;
      return Result::Held;
    }
    ::close(file);
  }
}

void FileLock::release() {
  if (descriptor < 0)
    return;
  // First the name, then the lock: the other order would remove the file of the next holder.
  ::unlink(path.c_str());
  ::close(descriptor);
  descriptor = -1;
}

} // namespace attune
