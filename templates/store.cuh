//===- store.cuh - results to global memory ---------------------*- CUDA -*-===//
#pragma once
#include "copy.cuh"
#include "mma.cuh"
#include "roles.cuh"

namespace attune {

// st.shared.b32, ld.shared.v4, st.global.v4
__device__ __forceinline__ void store_shared(uint32 to, uint32 x) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(x) : "memory");
}
__device__ __forceinline__ void load_shared(uint32 (&r)[4], uint32 from) {
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
__device__ __forceinline__ void store_global(uint64 to, const uint32 (&r)[4]) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(r[0]), "r"(r[1]), "r"(r[2]),
               "r"(r[3])
               : "memory");
}
__device__ __forceinline__ void store_global(uint64 to, float x) {
  asm volatile("st.global.f32 [%0], %1;" ::"l"(to), "f"(x) : "memory");
}

// Rows first_row .. that exist of a view, 16 bytes at a time, of an accumulator that is rounded to T on the
// way through `staging`.
template <typename T, int Width, int M, int N, int W, int R, typename Threads = WholeBlock>
__device__ __forceinline__ void store_tile(View<T, Width> to, int first_row,
                                           const Vec<float, R, AccShape<M, N, W>> &x,
                                           SmemTile<T, M, N> staging, Threads threads = {}) {
  using P = Panel<N>;
  // Rows 8 apart swizzle alike, so all of a chunk's rows and panels are at constants from one address.
  const uint32 offset = P::offset(warp_of<W>() * 16 + lane() / 4, 0) + lane() % 4 * 4;
#pragma unroll
  for (int n = 0; n < N / 8; ++n) {
    const uint32 chunk =
        (offset ^ n % P::kChunks * 16) + staging.address + n / P::kChunks * staging.kPanelBytes;
#pragma unroll
    for (int half = 0; half < R / (N / 4); ++half) {
      const int pair = half / 2 * (N / 2) + n * 4 + half % 2 * 2;
      store_shared(chunk + (half / 2 * 16 * W + half % 2 * 8) * P::kPitch,
                   round_pair(T{}, x[pair], x[pair + 1]));
    }
  }
  if (Threads::kAsync) // TMA fills the staging tile again
    fence_async();
  threads.meet();

  constexpr int kStep = W * 32 / P::kChunks;
  const int row = unsigned(threads.thread()) / P::kChunks, chunk = unsigned(threads.thread()) % P::kChunks;
#pragma unroll
  for (int r = 0; r < M; r += kStep) {
    if (first_row + r + row >= to.rows || (M % kStep != 0 && r + row >= M))
      continue;
    const uint64 target = address_of_row(to.base, first_row + r + row, to.row_bytes) + chunk * 16;
#pragma unroll
    for (int p = 0; p < P::kCount; ++p) {
      if (N != Width && p * P::kCols + chunk * 8 >= Width)
        continue;
      uint32 data[4];
      load_shared(data, staging.address + p * staging.kPanelBytes + P::offset(r + row, chunk));
      store_global(target + p * P::kPitch, data);
    }
  }
}

// One f32 a row that exists, by the first lane of the row's quad.
template <int M, int W, int R>
__device__ __forceinline__ void store_rows(View<float, 1> to, int first_row,
                                           const Vec<float, R, RowShape<M, W>> &x) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int row = first_row + i / 2 * 16 * W + int(warp_of<W>()) * 16 + i % 2 * 8 + int(lane() / 4);
    if (lane() % 4 == 0 && row < to.rows)
      store_global(address_of_row(to.base, row, to.row_bytes), x[i]);
  }
}

} // namespace attune
