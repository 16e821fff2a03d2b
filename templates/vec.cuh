//===- vec.cuh - what one thread holds of a tile ----------------*- CUDA -*-===//
//
// Values in registers. A tile of the block is spread over the threads of its warps the way mma.m16n8k16
// wants it: with W warps, m-tile t of warp w holds the rows t*16*W + 16*w + (0..15), and in it lane
// 4*g + i owns the rows g and g + 8 and, of every 8 columns, the columns 2*i and 2*i + 1.
//
// The headers are freestanding: they include nothing, and need only what every CUDA compiler knows.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace attune {

using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;

// Elements of Q, K, V and O. Nothing computes on them outside the tensor core, so bits are enough.
struct bf16 {
  unsigned short bits;
};
struct f16 {
  unsigned short bits;
};

// R registers that hold this thread's part of a tile; Shape says which tile.
template <typename T, int R, typename Shape> struct Vec {
  T at[R];
  __device__ __forceinline__ T &operator[](int i) { return at[i]; }
  __device__ __forceinline__ const T &operator[](int i) const { return at[i]; }
};

// An M x N accumulator, the result of a dot: register (m_tile * N/8 + n_tile) * 4 + i, where i counts
// (row g, column 2*i), (g, 2*i + 1), (g + 8, 2*i), (g + 8, 2*i + 1).
template <int M, int N, int Warps> struct AccShape {
  static constexpr int kMTiles = M / (16 * Warps);
  static constexpr int kNTiles = N / 8;
  static_assert(kMTiles * 16 * Warps == M && kNTiles * 8 == N);
};
template <int M, int N, int Warps>
using AccOf = Vec<float, AccShape<M, N, Warps>::kMTiles * AccShape<M, N, Warps>::kNTiles * 4, AccShape<M, N, Warps>>;

// One f32 a row, the same in the four lanes of a quad: register m_tile * 2 + (0: row g, 1: row g + 8).
template <int M, int Warps> struct RowShape {
  static constexpr int kMTiles = M / (16 * Warps);
};
template <int M, int Warps> using RowOf = Vec<float, RowShape<M, Warps>::kMTiles * 2, RowShape<M, Warps>>;

// An M x K left operand of a dot, two 16-bit elements a register: (m_tile * K/16 + k_step) * 4 + i, where i
// counts (row g, columns 2*i ..), (g + 8, 2*i ..), (g, 2*i + 8 ..), (g + 8, 2*i + 8 ..).
template <typename T, int M, int K, int Warps> struct AOperandShape {
  static constexpr int kMTiles = M / (16 * Warps);
  static constexpr int kKSteps = K / 16;
  static_assert(kMTiles * 16 * Warps == M && kKSteps * 16 == K);
};
template <typename T, int M, int K, int Warps>
using AOperandOf = Vec<uint32, AOperandShape<T, M, K, Warps>::kMTiles * AOperandShape<T, M, K, Warps>::kKSteps * 4,
                       AOperandShape<T, M, K, Warps>>;

// A constant in every register of whatever it initialises.
struct Splat {
  float value;
  template <int R, typename S> __device__ __forceinline__ operator Vec<float, R, S>() const {
    Vec<float, R, S> v;
#pragma unroll
    for (int i = 0; i < R; ++i)
      v[i] = value;
    return v;
  }
};
__device__ __forceinline__ Splat zero() { return {0.0f}; }
__device__ __forceinline__ Splat minus_inf() { return {__int_as_float(0xff800000)}; }

// Elementwise arithmetic. f32, rounded to nearest, never contracted: the intrinsics are add.rn, sub.rn, mul.rn.
template <int R, typename S>
__device__ __forceinline__ Vec<float, R, S> operator+(const Vec<float, R, S> &a, const Vec<float, R, S> &b) {
  Vec<float, R, S> v;
#pragma unroll
  for (int i = 0; i < R; ++i)
    v[i] = __fadd_rn(a[i], b[i]);
  return v;
}
template <int R, typename S>
__device__ __forceinline__ Vec<float, R, S> operator-(const Vec<float, R, S> &a, const Vec<float, R, S> &b) {
  Vec<float, R, S> v;
#pragma unroll
  for (int i = 0; i < R; ++i)
    v[i] = __fsub_rn(a[i], b[i]);
  return v;
}
template <int R, typename S>
__device__ __forceinline__ Vec<float, R, S> operator*(const Vec<float, R, S> &a, const Vec<float, R, S> &b) {
  Vec<float, R, S> v;
#pragma unroll
  for (int i = 0; i < R; ++i)
    v[i] = __fmul_rn(a[i], b[i]);
  return v;
}
template <int R, typename S> __device__ __forceinline__ Vec<float, R, S> operator*(const Vec<float, R, S> &a, float b) {
  Vec<float, R, S> v;
#pragma unroll
  for (int i = 0; i < R; ++i)
    v[i] = __fmul_rn(a[i], b);
  return v;
}

// Every row's value times every element of the row.
template <int M, int N, int W, int R>
__device__ __forceinline__ Vec<float, R, AccShape<M, N, W>> operator*(const Vec<float, R, AccShape<M, N, W>> &a,
                                                                      const RowOf<M, W> &row) {
  Vec<float, R, AccShape<M, N, W>> v;
#pragma unroll
  for (int i = 0; i < R; ++i)
    v[i] = __fmul_rn(a[i], row[i / (N / 2) * 2 + i / 2 % 2]);
  return v;
}

} // namespace attune
