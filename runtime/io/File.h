//===- File.h - whole files, read and written safely ------------*- C++ -*-===//
//
// Reading a file whose size is known first, and writing one so that nobody ever sees half of it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_IO_FILE_H
#define ATTUNE_RUNTIME_IO_FILE_H

#include "compiler/support/Result.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// "No such file or directory" for an errno.
std::string errorText(int number);

/// A regular file, open for reading from its start.
class InputFile {
public:
  static Result<InputFile> open(const std::string &path);
  InputFile(InputFile &&other) noexcept;
  InputFile &operator=(InputFile &&) = delete;
  ~InputFile();
  size_t size() const { return bytes; }
  /// Exactly the next `count` bytes; a file that ends before is an error.
  Status read(void *to, size_t count);
  /// The same, appended to `to`.
  Status read(std::string &to, size_t count);

private:
  InputFile(std::string path, int descriptor, size_t bytes);
  std::string path;
  int descriptor = -1;
  size_t bytes = 0;
};

Result<std::string> readFile(const std::string &path);

/// Stands in the name of files that writeFileAtomically has begun: PATH.tmp-0123456789abcdef. While it writes
/// one it holds a lock on it; without one, its writer is gone.
inline constexpr std::string_view temporaryMark = ".tmp-";

/// Writes the parts, one after the other, to a temporary name in the same folder, then renames it to
/// `path`. On any error the temporary file is gone and `path` is as it was. `mode` is cut by the umask. With
/// `keepAttributes` a file that is there passes on its mode, and its owner and group where the process may.
/// What a user named goes through writeOutput instead (OutputFile.h).
Status writeFileAtomically(const std::string &path, const std::vector<std::string_view> &parts, int mode,
                           bool keepAttributes = false);

/// Whether a temporary file can be made beside `path`: 0, or the errno. It is gone afterwards.
int tryTemporaryBeside(const std::string &path);

/// A folder under TMPDIR (else /tmp) that only its owner can enter, and that goes with its contents.
class TempDir {
public:
  static Result<TempDir> make();
  TempDir(TempDir &&other) noexcept : folder(std::move(other.folder)) { other.folder.clear(); }
  TempDir &operator=(TempDir &&) = delete;
  ~TempDir();
  const std::string &path() const { return folder; }

private:
  explicit TempDir(std::string path) : folder(std::move(path)) {}
  std::string folder;
};

/// From now on SIGINT, SIGTERM and SIGHUP remove this process's temporary folders before they end it.
void removeTempDirsOnSignals();

} // namespace attune

#endif // ATTUNE_RUNTIME_IO_FILE_H
