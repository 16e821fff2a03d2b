//===- mask.cuh - keys that a row does not see ------------------*- CUDA -*-===//
//
// A row's keys form an interval, and a thread owns columns 8 * n + 2 * i and + 1 of it. So the interval's bounds
// become counts of owned columns, and the counts a bit mask whose bits the assembler moves into predicates seven at
// a time (R2P): a little over one instruction an element, where compare and select would be two.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "elementwise.cuh"

namespace attune {

// How many of this thread's columns are below key `bound`, counted from key 0: columns come in pairs, every 8 keys.
__device__ __forceinline__ int owned_below(int bound) {
  const int b = bound - int(lane() % 4) * 2;
  // floor((b + 7) / 8) left columns of pairs and floor((b + 6) / 8) right ones.
  return (b + 7 >> 3) + (b + 6 >> 3);
}

// Bits from `count` on. shl.b32 clamps: a shift by 32 or more gives 0.
__device__ __forceinline__ uint32 bits_from(int count) {
  uint32 r;
  asm("shl.b32 %0, -1, %1;" : "=r"(r) : "r"(larger(count, 0)));
  return r;
}

// x, but -inf outside the columns `first` .. `last` of each row; column 0 of x is column `start` of the whole. Bounds are
// rows or one number.
template <bool Left, bool Right, int M, int N, int W, int R, typename First, typename Last>
__device__ __forceinline__ AccOf<M, N, W> keep_interval(Vec<float, R, AccShape<M, N, W>> x, int start, const First &first,
                                                        const Last &last) {
#pragma unroll
  for (int row = 0; row < M / (8 * W); ++row)
#pragma unroll
    for (int word = 0; word < (N + 127) / 128; ++word) {
      const int before = start / 4 + word * 32;
      uint32 drop = 0;
      if (Right)
        drop = bits_from(owned_below(element<RowShape<M, W>>(last, row) + 1) - before);
      if (Left)
        drop |= ~bits_from(owned_below(element<RowShape<M, W>>(first, row)) - before);
#pragma unroll
      for (int bit = 0; bit < 32; ++bit) {
        const int n = word * 16 + bit / 2;
        if (n < N / 8) {
          float &e = x[(row / 2 * (N / 8) + n) * 4 + row % 2 * 2 + bit % 2];
          e = drop & 1u << bit ? -infinity() : e;
        }
      }
    }
  return x;
}
template <typename Acc, typename First, typename Last>
__device__ __forceinline__ Acc keep_columns(const Acc &x, int start, const First &first, const Last &last) {
  return keep_interval<true, true>(x, start, first, last);
}
template <typename Acc, typename Last> __device__ __forceinline__ Acc keep_columns_to(const Acc &x, int start, const Last &last) {
  return keep_interval<false, true>(x, start, 0, last);
}
template <typename Acc, typename First> __device__ __forceinline__ Acc keep_columns_from(const Acc &x, int start, const First &first) {
  return keep_interval<true, false>(x, start, first, 0);
}

} // namespace attune
