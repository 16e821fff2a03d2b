//===- FragmentMap.h - which thread holds what ------------------*- C++ -*-===//
//
// The compiler's only statement of the fragment layouts of mma.m16n8k16 (PTX ISA 9.0, "Matrix Fragments for
// mma.m16n8k16") and of swizzled tiles. With g = lane / 4 and t = lane mod 4:
//   accumulator, 16 x 8:  values 0, 1: row g, columns 2t, 2t+1; values 2, 3: row g + 8, the same columns
//   A operand, 16 x 16:   pairs 0..3: (row g, k 2t), (row g + 8, k 2t), (row g, k 2t+8), (row g + 8, k 2t+8)
//   B operand, 16 x 8:    pairs 0..1: (k 2t, column g), (k 2t + 8, column g)
// Slab s of warp w (of W) holds rows 16 (s W + w) .. + 15 of a tile, as wgmma gives them to the warps of a
// warpgroup.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_TRANSFORMS_FRAGMENTMAP_H
#define ATTUNE_COMPILER_TRANSFORMS_FRAGMENTMAP_H

#include <cstdint>

namespace attune {

/// 16-row slabs of an m-row tile that one warp owns.
constexpr int64_t slabsPerWarp(int64_t m, int64_t warps) { return m / (16 * warps); }
/// Values of an m x n accumulator that one thread holds: [slab][8 columns][4].
constexpr int64_t accValues(int64_t m, int64_t n, int64_t warps) { return m * n / (32 * warps); }
/// Values of an m-row row fragment: [slab][row g, row g + 8].
constexpr int64_t rowValues(int64_t m, int64_t warps) { return 2 * slabsPerWarp(m, warps); }

/// The row value that accumulator value `i` belongs to, of a tile with n columns.
constexpr int64_t rowOfAccValue(int64_t i, int64_t n) { return 2 * (i / (n / 2)) + (i % 4) / 2; }
/// The first column of accumulator value `i` beyond the thread's own 2 t.
constexpr int64_t columnOfAccValue(int64_t i, int64_t n) { return i / 4 % (n / 8) * 8 + i % 2; }
/// The rows of row value `i` beyond the thread's own 16 warp + g.
constexpr int64_t rowOfRowValue(int64_t i, int64_t warps) { return i / 2 * 16 * warps + i % 2 * 8; }

/// How a tile of 16-bit values lies in shared memory: panels of the widest swizzle span that divides its
/// columns, one after the other. In a panel, row r starts at r * pitch, and 16-byte chunk c of it lies at
/// chunk c ^ (r >> shift & mask): the 128-, 64- and 32-byte swizzles of the PTX ISA, under which eight rows
/// of one chunk never share a bank.
struct SwizzledTile {
  int64_t rows, cols;

  constexpr int64_t panelCols() const { return cols % 64 == 0 ? 64 : cols % 32 == 0 ? 32 : 16; }
  constexpr int64_t pitch() const { return 2 * panelCols(); }
  constexpr int64_t panelBytes() const { return rows * pitch(); }
  constexpr int64_t chunksPerPanelRow() const { return panelCols() / 8; }
  constexpr int64_t swizzleShift() const { return panelCols() == 64 ? 0 : panelCols() == 32 ? 1 : 2; }
  constexpr int64_t swizzleMask() const { return chunksPerPanelRow() - 1; }
};

} // namespace attune

#endif // ATTUNE_COMPILER_TRANSFORMS_FRAGMENTMAP_H
