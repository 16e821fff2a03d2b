//===- mask.cuh - keys that a row does not see ------------------*- CUDA -*-===//
//
// A row's keys form an interval, and a thread owns columns 8 * n + 2 * i and + 1 of it. So the interval's
// bounds become counts of owned columns, and the counts a bit mask whose bits the assembler moves into
// predicates seven at a time (R2P): a little over one instruction an element, where compare and select would
// be two.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "elementwise.cuh"

namespace attune {

// How many of this thread's columns are below key `bound`, counted from key 0: columns come in pairs, every 8
// keys.
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

// Limits of the keys that a query row sees: the same for every row, or a diagonal that moves with the row.
// Each is a number of owned columns below it, for the thread's first row `row`.
struct UpTo { // key <= last
  int last;
  static constexpr bool kRight = true, kMoves = false;
  __device__ __forceinline__ int count(int) const { return owned_below(last + 1); }
};
struct UpToDiagonal { // key <= row + shift
  int shift;
  static constexpr bool kRight = true, kMoves = true;
  __device__ __forceinline__ int count(int row) const { return owned_below(row + shift + 1); }
};
struct From { // key >= first
  int first;
  static constexpr bool kRight = false, kMoves = false;
  __device__ __forceinline__ int count(int) const { return owned_below(first); }
};
struct FromDiagonal { // key >= row + shift
  int shift;
  static constexpr bool kRight = false, kMoves = true;
  __device__ __forceinline__ int count(int row) const { return owned_below(row + shift); }
};

// Takes a limit into the range [before, past) of the thread's columns that its row `further` columns down a
// diagonal sees.
template <typename Limit>
__device__ __forceinline__ void tighten(const Limit &limit, int first_row, int further, int &past,
                                        int &before) {
  const int count = limit.count(first_row) + (Limit::kMoves ? further : 0);
  if (Limit::kRight)
    past = smaller(past, count);
  else
    before = larger(before, count);
}

// x, but -inf where a row does not see a column by some limit. The tile's first row is row `row` of the
// whole, its first column is column `column`, a multiple of 8.
template <int M, int N, int W, int R, typename... Limits>
__device__ __forceinline__ AccOf<M, N, W> keep_columns(Vec<float, R, AccShape<M, N, W>> x, int row,
                                                       int column, const Limits &...limits) {
  const int first_row = row + int(warp_of<W>()) * 16 + int(lane() / 4);
  constexpr bool kRight = (Limits::kRight || ...), kLeft = (!Limits::kRight || ...);
#pragma unroll
  for (int i = 0; i < M / (8 * W); ++i) {
    // The thread's rows are multiples of 8 apart; eight rows further down a diagonal is two columns further
    // right.
    const int further = (i / 2 * 16 * W + i % 2 * 8) / 4;
    int past = 0x7fffffff, before = -0x7fffffff;
    (tighten(limits, first_row, further, past, before), ...);
#pragma unroll
    for (int word = 0; word < (N + 127) / 128; ++word) {
      const int owned_before = column / 4 + word * 32;
      uint32 drop = 0;
      if (kRight)
        drop = bits_from(past - owned_before);
      if (kLeft)
        drop |= ~bits_from(before - owned_before);
#pragma unroll
      for (int bit = 0; bit < 32; ++bit) {
        const int n = word * 16 + bit / 2;
        if (n < N / 8) {
          float &e = x[(i / 2 * (N / 8) + n) * 4 + i % 2 * 2 + bit % 2];
          // Written out: compilers test bits 0, 7 and 15 in other ways, which the assembler does not join.
          asm("{ .reg .pred p; .reg .b32 t; and.b32 t, %1, %2; setp.ne.b32 p, t, 0; "
              "selp.f32 %0, 0fFF800000, %0, p; }"
              : "+f"(e)
              : "r"(drop), "r"(1u << bit));
        }
      }
    }
  }
  return x;
}

} // namespace attune
