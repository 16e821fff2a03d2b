//===- nonfinite.cuh - NaN and infinity among the values --------*- CUDA -*-===//
//
// A key that a row does not see has weight 0, and 0 x NaN is NaN. So where a result came out NaN it is
// computed again, and blocks of which rows see only parts have such elements added to the rows that see them,
// and taken out.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "elementwise.cuh"
#include "mma.cuh"
#include "roles.cuh"
#include "shared.cuh"

namespace attune {

// The halves of a word as f32.
template <int Half> __device__ __forceinline__ float half_of(bf16, uint32 pair) {
  return __int_as_float(Half ? pair & 0xffff0000u : pair << 16);
}
template <int Half> __device__ __forceinline__ float half_of(f16, uint32 pair) {
  float value;
  asm("{ .reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h; }" : "=f"(value) : "r"(Half ? pair >> 16 : pair));
  return value;
}
// The bits of the exponents of a pair; an element is finite unless all of its are set.
__device__ __forceinline__ uint32 exponents(bf16) { return 0x7f807f80u; }
__device__ __forceinline__ uint32 exponents(f16) { return 0x7c007c00u; }

struct Piece {
  uint32 word[4];
};
__device__ __forceinline__ Piece load_piece(uint32 address) {
  Piece p;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(p.word[0]), "=r"(p.word[1]), "=r"(p.word[2]), "=r"(p.word[3])
               : "r"(address)
               : "memory");
  return p;
}
__device__ __forceinline__ void store_piece(uint32 address, const Piece &p) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(p.word[0]), "r"(p.word[1]),
               "r"(p.word[2]), "r"(p.word[3])
               : "memory");
}

// Replaces the words of a tile, which each hold two elements and which nobody reads any more; the threads
// that share it go on when all are there.
template <typename T, int Rows, int Cols, typename Threads, typename F>
__device__ __forceinline__ void rewrite_tile(SmemTile<T, Rows, Cols> tile, Threads threads, F rewrite) {
#pragma unroll 1
  for (uint32 place = threads.thread() * 16; place < tile.kBytes; place += threads.count() * 16) {
    Piece p = load_piece(tile.address + place);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      p.word[j] = rewrite(p.word[j]);
    store_piece(tile.address + place, p);
  }
  if (Threads::kAsync)
    fence_async();
  threads.meet();
}

// `out` with each NaN and infinity of the tile, whose rows are keys, added to the rows whose score of the key
// is not -inf; in the tile they become 0.
template <typename T, int Rows, int Cols, int M, int W, int R, int S, typename Threads = WholeBlock>
__device__ __forceinline__ AccOf<M, Cols, W>
take_nonfinite(SmemTile<T, Rows, Cols> tile, const Vec<float, S, AccShape<M, Rows, W>> &scores,
               Vec<float, R, AccShape<M, Cols, W>> out, Threads threads = {}) {
  using P = Panel<Cols>;
  constexpr int kRows = M / (8 * W), kWords = (Rows / 4 + 31) / 32;
  // What each row sees: a bit for each of the thread's columns of scores.
  uint32 seen[kRows][kWords] = {};
#pragma unroll
  for (int i = 0; i < S; ++i) {
    const int bit = i / 4 % (Rows / 8) * 2 + i % 2;
    seen[i / (Rows / 2) * 2 + i / 2 % 2][bit / 32] |= scores[i] != -infinity() ? 1u << bit % 32 : 0;
  }
#pragma unroll 1
  for (int key = 0; key < Rows; ++key) {
    const int bit = key / 8 * 2 + key % 2;
    const uint32 owner = lane() / 4 * 4 + key / 2 % 4; // of the key's scores, in this quad
    bool sees[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      uint32 mine = seen[i][0];
#pragma unroll
      for (int w = 1; w < kWords; ++w)
        mine = bit / 32 == w ? seen[i][w] : mine;
      sees[i] = __shfl_sync(0xffffffffu, mine, owner) >> bit % 32 & 1;
    }
#pragma unroll
    for (int n = 0; n < Cols / 8; ++n) {
      const uint32 address =
          tile.address + n / P::kChunks * tile.kPanelBytes + P::offset(key, n % P::kChunks) + lane() % 4 * 4;
      uint32 pair;
      asm volatile("ld.shared.b32 %0, [%1];" : "=r"(pair) : "r"(address) : "memory");
      const float left = half_of<0>(T{}, pair), right = half_of<1>(T{}, pair);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        float *sum = &out[(i / 2 * (Cols / 8) + n) * 4 + i % 2 * 2];
        // Adding -0 changes nothing, not even a zero's sign.
        sum[0] = add(sum[0], sees[i] && !(fabsf(left) < infinity()) ? left : -0.0f);
        sum[1] = add(sum[1], sees[i] && !(fabsf(right) < infinity()) ? right : -0.0f);
      }
    }
  }
  threads.meet();
  const uint32 low = exponents(T{}) & 0xffffu, high = exponents(T{}) & 0xffff0000u;
  rewrite_tile(tile, threads, [&](uint32 word) {
    return word & ((word & low) == low ? 0xffff0000u : 0xffffffffu) &
           ((word & high) == high ? 0xffffu : 0xffffffffu);
  });
  return out;
}

} // namespace attune
