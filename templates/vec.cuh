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
using u8 = unsigned char;

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
  static constexpr int kRegisters = kMTiles * kNTiles * 4;
  static_assert(kMTiles * 16 * Warps == M && kNTiles * 8 == N);
};
template <int M, int N, int Warps, typename T = float>
using AccOf = Vec<T, AccShape<M, N, Warps>::kRegisters, AccShape<M, N, Warps>>;

// One value a row, the same in the four lanes of a quad: register m_tile * 2 + (0: row g, 1: row g + 8).
template <int M, int Warps> struct RowShape {
  static constexpr int kRegisters = M / (16 * Warps) * 2;
};
template <int M, int Warps, typename T = float>
using RowOf = Vec<T, RowShape<M, Warps>::kRegisters, RowShape<M, Warps>>;

// An M x K left operand of a dot, two 16-bit elements a register: (m_tile * K/16 + k_step) * 4 + i, where i
// counts (row g, columns 2*i ..), (g + 8, 2*i ..), (g, 2*i + 8 ..), (g + 8, 2*i + 8 ..).
template <typename T, int M, int K, int Warps> struct AOperandShape {
  static constexpr int kMTiles = M / (16 * Warps);
  static constexpr int kKSteps = K / 16;
  static constexpr int kRegisters = kMTiles * kKSteps * 4;
  static_assert(kMTiles * 16 * Warps == M && kKSteps * 16 == K);
};
template <typename T, int M, int K, int Warps>
using AOperandOf = Vec<uint32, AOperandShape<T, M, K, Warps>::kRegisters, AOperandShape<T, M, K, Warps>>;

// A constant in every register of whatever it initialises.
template <typename T> struct Splat {
  T value;
  template <int R, typename S> __device__ __forceinline__ operator Vec<T, R, S>() const {
    Vec<T, R, S> v;
#pragma unroll
    for (int i = 0; i < R; ++i)
      v[i] = value;
    return v;
  }
};
template <typename T> __device__ __forceinline__ Splat<T> splat(T value) { return {value}; }
__device__ __forceinline__ Splat<float> zero() { return {0.0f}; }
__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
__device__ __forceinline__ Splat<float> minus_inf() { return {-infinity()}; }

// Quotient and remainder of numbers that are not negative.
__device__ __forceinline__ int div(int x, int y) { return int(unsigned(x) / unsigned(y)); }
__device__ __forceinline__ int mod(int x, int y) { return int(unsigned(x) % unsigned(y)); }

__device__ __forceinline__ uint32 lane() { return threadIdx.x % 32; }
// redux.sync.max: what every thread knows to be the same for all, said so that the assembler knows it too and
// keeps what follows from it in uniform registers. Quotients that are the head and the batch entry would else
// pin the addresses of K and V to four registers a thread, which is what the largest tiles lack.
__device__ __forceinline__ int uniform(int x) {
  int y;
  asm volatile("redux.sync.max.s32 %0, %1, 0xffffffff;" : "=r"(y) : "r"(x));
  return y;
}
__device__ __forceinline__ uint32 warp() { return threadIdx.x / 32; }
// Of the W warps that share a tile, which begin at a multiple of W.
template <int W> __device__ __forceinline__ uint32 warp_of() { return threadIdx.x / 32 % W; }

} // namespace attune
