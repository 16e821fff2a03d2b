//===- mask.cuh - keys that a row does not see ------------------*- CUDA -*-===//
//
// A row's keys form an interval, and a thread owns columns 8 * n + 2 * i and + 1 of it. So the interval's bounds
// become counts of owned columns, and the counts a bit mask whose bits the assembler moves into predicates seven at
// a time (R2P): a little over one instruction an element, where compare and select would be two.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "mma.cuh"

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
  asm("shl.b32 %0, -1, %1;" : "=r"(r) : "r"(max(count, 0)));
  return r;
}

// The keys that a thread's rows see, as counts of owned columns. A bound that moves one key a row grows by 2 counts in
// 8 rows, so one register serves all the thread's rows.
struct Interval {
  int from;   // first kept, for the thread's first row; grows with the row
  int below;  // first not kept, for the thread's first row; grows with the row
  int length; // first that does not exist
};

// -inf in the columns of x, whose first key is `first_key`, that a row does not see.
template <bool Left, bool Right, int M, int N, int W, int R>
__device__ __forceinline__ void keep_interval(Vec<float, R, AccShape<M, N, W>> &x, int first_key, Interval keep) {
#pragma unroll
  for (int row = 0; row < M / (8 * W); ++row)
#pragma unroll
    for (int word = 0; word < (N + 127) / 128; ++word) {
      const int rows_down = row / 2 * 4 * W + row % 2 * 2;
      const int first = first_key / 4 + word * 32;
      uint32 drop = bits_from(min(Right ? keep.below + rows_down : keep.length, keep.length) - first);
      if (Left)
        drop |= ~bits_from(keep.from + rows_down - first);
#pragma unroll
      for (int b = 0; b < 32; ++b) {
        const int n = word * 16 + b / 2;
        if (n < N / 8) {
          float &e = x[(row / 2 * (N / 8) + n) * 4 + row % 2 * 2 + b % 2];
          e = drop & 1u << b ? __int_as_float(0xff800000) : e;
        }
      }
    }
}

} // namespace attune
