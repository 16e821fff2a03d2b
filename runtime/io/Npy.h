//===- Npy.h - arrays and .npy files ----------------------------*- C++ -*-===//
//
// NumPy's array file format, versions 1, 2 and 3, for the arrays that kernels take and give. bf16 has no
// NumPy type: it travels as raw uint16, and what numpy.save writes of ml_dtypes.bfloat16 is read as that.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_IO_NPY_H
#define ATTUNE_RUNTIME_IO_NPY_H

#include "compiler/support/Result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace attune {

enum class ElementType { F16, F32, F64, U8, I8, U16, I16, U32, I32, U64, I64, Bool };

/// Bytes of one element.
size_t sizeOf(ElementType type);
/// As NumPy spells it in a file: "<f2", "<u2", "|u1".
const char *npyName(ElementType type);

/// A dense array in C order, little-endian.
struct Array {
  ElementType type = ElementType::F32;
  std::vector<int64_t> shape; ///< empty: one element
  std::vector<std::byte> bytes;

  /// Product of the shape.
  int64_t elements() const;
  /// "(2, 333, 32, 128) float16".
  std::string describe() const;
  template <typename T> T *as() { return reinterpret_cast<T *>(bytes.data()); }
  template <typename T> const T *as() const { return reinterpret_cast<const T *>(bytes.data()); }

  /// An array of this shape with every byte 0.
  static Array zeros(ElementType type, std::vector<int64_t> shape);
};

/// Reads a .npy file. One error names the file and what is wrong with it: not the format, an element type
/// that attune has no use for, Fortran order, big-endian data, a size that does not fit the shape.
/// Nothing is allocated before the shape is checked against the size of the file.
Result<Array> readNpy(const std::string &path);

/// The same for bytes in memory; `name` stands for the file in messages.
Result<Array> parseNpy(const void *data, size_t size, const std::string &name);

/// Writes format version 1.0 as an output of a command (see OutputFile.h).
Status writeNpy(const std::string &path, const Array &array);

} // namespace attune

#endif // ATTUNE_RUNTIME_IO_NPY_H
