//===- Box.h - the rows of a tensor copy's box --------------------*- C++ -*-===//
//
// In shared memory a box is dense, its innermost dimension first, then permuted by the swizzle; in the tensor
// each row (of dimension 0) is adjacent.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_BOX_H
#define ATTUNE_SIMULATOR_BOX_H

#include "simulator/TensorMap.h"

#include <algorithm>

namespace attune::sim {

struct Box {
  TensorMapDescription map;
  std::array<int32_t, 5> at{}; ///< of its first element; may lie outside of the tensor
  uint32_t elementSize, rowBytes, rows;

  Box(const TensorMapDescription &m, const std::array<int32_t, 5> &coords)
      : map(m), at(coords), elementSize(elementBytes(m.type)), rowBytes(m.box[0] * elementSize), rows(1) {
    for (uint32_t k = 1; k < map.rank; ++k)
      rows *= steps(k);
  }
  /// Elements that are copied of dimension k. The stride of dimension 0 counts for nothing.
  uint32_t steps(uint32_t k) const {
    return (map.box[k] + map.elementStrides[k] - 1) / map.elementStrides[k];
  }
  uint32_t bytes() const { return rowBytes * rows; }
  /// Bytes of a box of this map, which may be more than 32 bits can count.
  static uint64_t bytesOf(const TensorMapDescription &m) {
    uint64_t bytes = uint64_t(m.box[0]) * elementBytes(m.type);
    for (uint32_t k = 1; k < m.rank; ++k)
      bytes *= (m.box[k] + m.elementStrides[k] - 1) / m.elementStrides[k];
    return bytes;
  }
  /// Of the shared memory that it touches: a swizzle moves bytes within 128.
  uint32_t sharedBytes() const {
    return map.swizzle == TensorMapSwizzle::None ? bytes() : (bytes() + 127) / 128 * 128;
  }

  /// f(offset in the box, global address of the row's byte 0 of the box, first and end byte that lie inside
  /// of the tensor). A row outside has none.
  template <class F> void forRows(F f) const {
    int64_t first = std::max<int64_t>(0, -int64_t(at[0]));
    int64_t end = std::min<int64_t>(map.box[0], int64_t(map.dims[0]) - at[0]);
    uint32_t from = uint32_t(first) * elementSize, to = first < end ? uint32_t(end) * elementSize : from;
    std::array<uint32_t, 5> index{};
    for (uint32_t row = 0; row < rows; ++row) {
      uint64_t address = map.address + uint64_t(int64_t(at[0]) * int64_t(elementSize));
      bool inside = first < end;
      for (uint32_t k = 1; k < map.rank; ++k) {
        int64_t c = int64_t(at[k]) + int64_t(index[k]) * map.elementStrides[k];
        inside &= c >= 0 && c < int64_t(map.dims[k]);
        address += uint64_t(c) * map.strides[k - 1];
      }
      f(row * rowBytes, address, from, inside ? to : from);
      for (uint32_t k = 1; k < map.rank && ++index[k] == steps(k); ++k)
        index[k] = 0;
    }
  }
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_BOX_H
