//===- shared.cuh - swizzled tiles in shared memory -------------*- CUDA -*-===//
//
// A tile of Rows x Cols 16-bit elements lies in panels, each as wide as the widest swizzle span that divides
// the columns: 64, 32 or 16 columns. In a panel, rows follow each other and the 16-byte chunks of a row are
// permuted by an XOR with bits of the row, so that the eight rows of an ldmatrix fall into different banks.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "vec.cuh"

namespace attune {

template <int Cols> struct Panel {
  static constexpr int kCols = Cols % 64 == 0 ? 64 : Cols % 32 == 0 ? 32 : 16;
  static constexpr int kPitch = kCols * 2;    // bytes of a row
  static constexpr int kChunks = kPitch / 16; // 16-byte chunks of a row
  static constexpr int kCount = Cols / kCols;
  static_assert(Cols % 16 == 0);
  // The chunk's place in its row; it depends on the row modulo 8 only.
  __device__ static __forceinline__ uint32 swizzle(uint32 row, uint32 chunk) {
    return chunk ^ (kCols == 64 ? row & 7 : kCols == 32 ? row >> 1 & 3 : row >> 2 & 1);
  }
  // Byte offset of a chunk in a panel.
  __device__ static __forceinline__ uint32 offset(uint32 row, uint32 chunk) {
    return row * kPitch + swizzle(row, chunk) * 16;
  }
};

// The shared-memory address of a tile; a multiple of 128.
template <typename T, int Rows, int Cols> struct SmemTile {
  static constexpr int kBytes = Rows * Cols * 2;
  static constexpr int kPanelBytes = Rows * Panel<Cols>::kPitch;
  uint32 address;
};

// The block's dynamic shared memory, and its address in the shared space.
extern __shared__ __align__(1024) unsigned char smem[];
__device__ __forceinline__ uint32 shared_address() { return uint32(__cvta_generic_to_shared(smem)); }

} // namespace attune
