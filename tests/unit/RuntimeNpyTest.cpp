//===- RuntimeNpyTest.cpp - .npy files ------------------------------------===//
#include "runtime/io/File.h"
#include "runtime/io/Npy.h"
#include "runtime/io/OutputFile.h"

#include <cstring>
#include <filesystem>
#include <random>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune;

namespace {

/// A .npy file of the given version and header, with `data` bytes of zeros behind it.
std::string npy(int version, std::string header, size_t data) {
  std::string bytes = "\x93NUMPY";
  bytes += char(version);
  bytes += '\0';
  size_t fields = version == 1 ? 2 : 4;
  for (size_t i = 0; i < fields; ++i)
    bytes += char(header.size() >> (8 * i));
  return bytes + header + std::string(data, '\0');
}

std::string errorOf(const std::string &bytes) {
  Result<Array> array = parseNpy(bytes.data(), bytes.size(), "a.npy");
  return array ? "" : array.error().message;
}

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("npy: what is written is read back, byte for byte, for every type and rank") {
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  for (ElementType type : {ElementType::F16, ElementType::F32, ElementType::F64, ElementType::U16,
                           ElementType::I32, ElementType::I64, ElementType::U8, ElementType::Bool})
    for (std::vector<int64_t> shape : {std::vector<int64_t>{}, {7}, {2, 3, 5, 4}, {0, 4}}) {
      Array array = Array::zeros(type, shape);
      for (size_t i = 0; i < array.bytes.size(); ++i)
        array.bytes[i] = std::byte(i * 37 + 1);
      std::string path = folder->path() + "/x.npy";
      REQUIRE(writeNpy(path, array));
      Result<Array> back = readNpy(path);
      REQUIRE(back);
      CHECK(back->type == type);
      CHECK(back->shape == shape);
      CHECK(back->bytes == array.bytes);
      Result<std::string> raw = readFile(path);
      REQUIRE(raw);
      CHECK((raw->size() - array.bytes.size()) % 64 == 0); // as NumPy aligns it
    }
}

TEST_CASE("npy: versions 2 and 3, other spacings and key orders") {
  for (int version : {1, 2, 3}) {
    std::string bytes = npy(version, "{\"shape\":(2,3) ,'fortran_order':False,'descr':\"<u2\"}\n", 12);
    Result<Array> array = parseNpy(bytes.data(), bytes.size(), "a.npy");
    REQUIRE(array);
    CHECK(array->shape == std::vector<int64_t>{2, 3});
    CHECK(array->describe() == "(2, 3) uint16");
  }
}

TEST_CASE("npy: what numpy.save makes of ml_dtypes.bfloat16 is read as raw bits") {
  for (const char *descr : {"<V2", "|V2", "=V2", "V2", "bfloat16"}) {
    std::string bytes =
        npy(1, fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (3,), }}", descr), 6);
    Result<Array> array = parseNpy(bytes.data(), bytes.size(), "a.npy");
    REQUIRE_MESSAGE(array, descr);
    CHECK(array->describe() == "(3,) uint16");
  }
  CHECK(has(errorOf(npy(1, "{'descr': '<V4', 'fortran_order': False, 'shape': (3,), }", 12)), "got '<V4'"));
}

TEST_CASE("npy: headers larger than the first read") {
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
  header += std::string(100000, ' ') + "\n";
  std::string path = folder->path() + "/big.npy";
  std::string bytes = npy(2, header, 12);
  std::ofstream(path, std::ios::binary) << bytes;
  Result<Array> array = readNpy(path);
  REQUIRE_MESSAGE(array, (array ? "" : array.error().message));
  CHECK(array->bytes.size() == 12);
}

TEST_CASE("npy: every way of being malformed gives one error that names the file") {
  std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
  CHECK(errorOf(npy(1, good, 24)).empty());
  CHECK(has(errorOf(""), "a.npy: expected a .npy file"));
  CHECK(has(errorOf("hello, this is not an array"), "does not start with"));
  CHECK(has(errorOf(npy(9, good, 24)), "version 1, 2 or 3, got 9.0"));
  CHECK(has(errorOf(npy(1, good, 20)), "expected 24 bytes of data for shape (3, 2) of float32, got 20"));
  CHECK(has(errorOf(npy(1, good, 25)), "got 25"));
  CHECK(
      has(errorOf(npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2)}", 24)), "Fortran order"));
  CHECK(
      has(errorOf(npy(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2)}", 24)), "little-endian"));
  CHECK(has(errorOf(npy(1, "{'descr': '<c8', 'fortran_order': False, 'shape': (3, 2)}", 48)), "got '<c8'"));
  CHECK(has(errorOf(npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", 12)),
            "records"));
  CHECK(has(errorOf(npy(1, "{'descr': '<f4', 'shape': (3,)}", 12)), "expected the keys"));
  CHECK(has(errorOf(npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", 12)), "a tuple"));
  CHECK(has(errorOf(npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': 3}", 12)), "a tuple"));
  CHECK(has(errorOf(npy(1, "{'descr': '<f4', 'fortran_order': False, 'other': 3}", 12)), "got 'other'"));
  std::string huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}";
  CHECK(has(errorOf(npy(1, huge, 12)), "more bytes than 64 bits count"));
  CHECK(has(errorOf(npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4)),
            "a tuple"));
  CHECK(has(errorOf(npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", 4)),
            "expected 4000000000000 bytes"));
  // Every prefix of a good file is refused, and none is read beyond its end.
  std::string whole = npy(1, good, 24);
  for (size_t n = 0; n < whole.size(); ++n)
    CHECK(!errorOf(whole.substr(0, n)).empty());
}

TEST_CASE("npy: no mutation of a header is read beyond its bytes, or believed against the file's size") {
  std::string good = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 24);
  std::mt19937 random(1);
  const std::string alphabet = "(){}[]'\",:<>=|0123456789fFiubLTrue\\ \n";
  for (int round = 0; round < 20000; ++round) {
    std::string bad = good;
    for (unsigned edits = 1 + random() % 4; edits > 0; --edits) {
      size_t at = random() % bad.size();
      switch (random() % 3) {
      case 0:
        bad[at] = alphabet[random() % alphabet.size()];
        break;
      case 1:
        bad.erase(at, 1 + random() % 3);
        break;
      default:
        bad.insert(at, 1, char(random()));
      }
    }
    Result<Array> array = parseNpy(bad.data(), bad.size(), "a.npy");
    if (array)
      CHECK(array->bytes.size() == size_t(array->elements()) * sizeOf(array->type));
    else
      CHECK(array.error().message.starts_with("a.npy: "));
  }
}

TEST_CASE("npy: files that are not there, not files, or not writable") {
  CHECK(has(readNpy("/nowhere/x.npy").error().message, "/nowhere/x.npy: cannot open: No such file"));
  CHECK(has(readNpy("/tmp").error().message, "expected a regular file"));
  Status status = writeNpy("/nowhere/x.npy", Array::zeros(ElementType::F32, {2}));
  REQUIRE(!status);
  CHECK(has(status.error().message, "/nowhere/x.npy: cannot create: No such file"));
}

TEST_CASE("outputs: a file that cannot be replaced is written where it is") {
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  std::string path = folder->path() + "/o.npy", other = folder->path() + "/other";
  for (const std::string &file : {path, other}) {
    std::ofstream(file) << "what was there before, which is longer";
    ::chmod(file.c_str(), 0666);
  }
  struct stat before{};
  REQUIRE(::stat(path.c_str(), &before) == 0);
  // In a process of its own; 0: written, and checked before.
  auto inChild = [&](const std::function<bool()> &prepare) {
    pid_t child = ::fork();
    if (child == 0)
      ::_exit(!prepare() ? 2 : checkOutput(path) && writeOutput(path, {"new ", "text"}) ? 0 : 1);
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  // In a folder where its user may make nothing.
  ::chmod(folder->path().c_str(), 0555);
  CHECK(inChild([] {
          return ::getuid() != 0 || (::setgroups(0, nullptr) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
                                     ::setresuid(65534, 65534, 65534) == 0);
        }) == 0);
  CHECK(*readFile(path) == "new text");
  ::chmod(folder->path().c_str(), 0755);
  // With something mounted on it, as containers mount files.
  int mounted = inChild([&] {
    return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount(other.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0;
  });
  if (mounted == 2)
    MESSAGE("no mounts here");
  else
    CHECK(mounted == 0);
  if (mounted == 0)
    CHECK(*readFile(other) == "new text");
  struct stat after{};
  REQUIRE(::stat(path.c_str(), &after) == 0);
  CHECK(after.st_ino == before.st_ino);
  CHECK(after.st_mode == before.st_mode);
  CHECK(std::distance(std::filesystem::directory_iterator(folder->path()), {}) == 2); // and nothing beside
}
