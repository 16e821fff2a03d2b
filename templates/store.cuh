//===- store.cuh - results to global memory ---------------------*- CUDA -*-===//
#pragma once
#include "copy.cuh"
#include "mma.cuh"

namespace attune {

// st.shared.b32, ld.shared.v4, st.global.v4
__device__ __forceinline__ void store_shared(uint32 to, uint32 x) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(x) : "memory");
}
__device__ __forceinline__ void load_shared(uint32 (&r)[4], uint32 from) {
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
}
__device__ __forceinline__ void store_global(uint64 to, const uint32 (&r)[4]) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
__device__ __forceinline__ void store_global(uint64 to, float x) { asm volatile("st.global.f32 [%0], %1;" ::"l"(to), "f"(x) : "memory"); }

// An accumulator, rounded to T, into a tile in shared memory.
template <typename T, int M, int N, int W, int R>
__device__ __forceinline__ void store_tile(SmemTile<T, M, N> to, const Vec<float, R, AccShape<M, N, W>> &x) {
  using P = Panel<N>;
  // Rows 8 apart swizzle alike, so two rows and all panels are at constants from one address a chunk.
  const uint32 row = warp() * 16 + lane() / 4;
  const uint32 address = to.address + P::offset(row, 0) + lane() % 4 * 4;
#pragma unroll
  for (int n = 0; n < N / 8; ++n) {
    const uint32 chunk = (address ^ n % P::kChunks * 16) + n / P::kChunks * to.kPanelBytes;
#pragma unroll
    for (int m = 0; m < M / (16 * W); ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float *pair = &x.at[(m * (N / 8) + n) * 4 + half * 2];
        store_shared(chunk + (m * 16 * W + half * 8) * P::kPitch, round_pair(T{}, pair[0], pair[1]));
      }
  }
}

// A tile's rows that exist, Width columns of them, from shared to global memory in 16-byte pieces.
template <int Width, int Threads, typename T, int Rows, int Cols>
__device__ __forceinline__ void write_tile(Matrix to, int first_row, SmemTile<T, Rows, Cols> from) {
  using P = Panel<Cols>;
  constexpr int kStep = Threads / P::kChunks;
  const int row = threadIdx.x / P::kChunks, chunk = threadIdx.x % P::kChunks;
#pragma unroll
  for (int r = 0; r < Rows; r += kStep) {
    if (first_row + r + row >= to.rows || (Rows % kStep != 0 && r + row >= Rows))
      continue;
#pragma unroll
    for (int p = 0; p < P::kCount; ++p) {
      if (Cols != Width && p * P::kCols + chunk * 8 >= Width)
        continue;
      uint32 data[4];
      load_shared(data, from.address + p * from.kPanelBytes + P::offset(r + row, chunk));
      store_global(to.base + int64(first_row + r + row) * int64(to.row_bytes) + p * P::kPitch + chunk * 16, data);
    }
  }
}

// One f32 a row that exists, by the first lane of the row's quad.
template <int M, int W, int R>
__device__ __forceinline__ void write_rows(uint64 base, int first_row, int rows, const Vec<float, R, RowShape<M, W>> &x) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int row = first_row + i / 2 * 16 * W + int(warp()) * 16 + i % 2 * 8 + int(lane() / 4);
    if (lane() % 4 == 0 && row < rows)
      store_global(base + uint64(row) * 4, x[i]);
  }
}

} // namespace attune
