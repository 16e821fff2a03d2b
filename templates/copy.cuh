//===- copy.cuh - asynchronous copies from global memory --------*- CUDA -*-===//
#pragma once
#include "params.cuh"
#include "shared.cuh"

namespace attune {

// cp.async.cg.shared.global 16: bypasses L1; completes in order of groups.
__device__ __forceinline__ void copy_chunk(uint32 to, uint64 from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
// cp.async.cg.shared.global 16, n: reads n bytes, 0 or 16, and fills the rest with zeros.
__device__ __forceinline__ void copy_chunk_or_zero(uint32 to, uint64 from, bool read) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(read ? 16 : 0)
               : "memory");
}
// cp.async.commit_group: ends a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// cp.async.wait_group: returns when all but the last Pending groups of this thread have landed.
template <int Pending> __device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
// bar.sync 0: every thread's copies that it waited for are visible to all, and all have left what came
// before.
__device__ __forceinline__ void block_barrier() { __syncthreads(); }

// Rows first_row .. of a view into a tile, by Threads threads. Columns that the view lacks become zeros.
// Checked: so do rows that do not exist; otherwise the caller knows that all do.
//
// Thread t copies chunk t % kChunks of the rows t / kChunks, + kStep, ..., of each panel: neighbours read
// neighbouring bytes, and where kStep is a multiple of 8 all its chunks lie at one offset plus constants.
template <bool Checked, int Threads, typename T, int Rows, int Cols, int Width>
__device__ __forceinline__ void copy_rows(SmemTile<T, Rows, Cols> to, View<T, Width> from, int first_row) {
  using P = Panel<Cols>;
  constexpr int kStep = Threads / P::kChunks;
  static_assert(Width % 8 == 0 && Width <= Cols && Cols - Width < 16);
  const int row = threadIdx.x / P::kChunks, chunk = threadIdx.x % P::kChunks;
  // The base stays apart from what differs between threads, so that it can be in uniform registers.
  const uint64 source = address_of_row(from.base, first_row + row, from.row_bytes) + chunk * 16;
  const uint32 target = P::offset(row, chunk) + to.address;
#pragma unroll
  for (int r = 0; r < Rows; r += kStep) {
    // Where the rows of a pass outnumber those left, the threads beyond them rest.
    if (Rows % kStep != 0 && r + kStep > Rows && r + row >= Rows)
      continue;
    const uint64 row_source = r == 0 ? source : address_of_row(source, r, from.row_bytes);
    const uint32 row_target =
        kStep % 8 == 0 ? target + r * P::kPitch : to.address + P::offset(r + row, chunk);
    const bool row_exists = !Checked || first_row + r + row < from.rows;
#pragma unroll
    for (int p = 0; p < P::kCount; ++p) {
      const bool may_pad = Cols != Width && p + 1 == P::kCount;
      const bool column_exists = !may_pad || p * P::kCols + chunk * 8 < Width;
      if (Checked || may_pad)
        copy_chunk_or_zero(row_target + p * to.kPanelBytes, row_source + p * P::kPitch,
                           row_exists && column_exists);
      else
        copy_chunk(row_target + p * to.kPanelBytes, row_source + p * P::kPitch);
    }
  }
}
template <int Threads, typename Tile, typename V>
__device__ __forceinline__ void copy_tile(Tile to, V from, int first_row) {
  copy_rows<false, Threads>(to, from, first_row);
}
template <int Threads, typename Tile, typename V>
__device__ __forceinline__ void copy_tile_or_zeros(Tile to, V from, int first_row) {
  copy_rows<true, Threads>(to, from, first_row);
}

} // namespace attune
