//===- mma.cuh - operands from shared memory, and the tensor core -*- CUDA -*-===//
#pragma once
#include "shared.cuh"

namespace attune {

// ldmatrix.x4: four 8 x 8 matrices; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(uint32 (&r)[4], uint32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
// ldmatrix.x4.trans: the same, each matrix transposed.
__device__ __forceinline__ void load_matrices_transposed(uint32 (&r)[4], uint32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// mma.m16n8k16: c (16 x 8, f32) += a (16 x 16) * b (16 x 8).
__device__ __forceinline__ void mma(bf16, float *c, const uint32 *a, uint32 b0, uint32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma(f16, float *c, const uint32 *a, uint32 b0, uint32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// cvt.rn.{bf16x2,f16x2}.f32: two f32 rounded to nearest; `low` goes to the lower half.
__device__ __forceinline__ uint32 round_pair(bf16, float low, float high) {
  uint32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
__device__ __forceinline__ uint32 round_pair(f16, float low, float high) {
  uint32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

__device__ __forceinline__ uint32 lane() { return threadIdx.x % 32; }
__device__ __forceinline__ uint32 warp() { return threadIdx.x / 32; }

// Where a lane's row of a 16 x 16 operand lies in a tile at offset 0. Matrices 0..3 are (rows, columns) (0, 0), (8, 0),
// (0, 8), (8, 8): what the tensor core wants of A, and of a transposed B.
template <int Cols> __device__ __forceinline__ uint32 operand_offset() { return Panel<Cols>::offset(lane() % 16, lane() / 16); }
// The same with matrices (0, 0), (0, 8), (8, 0), (8, 8): B as it lies.
template <int Cols> __device__ __forceinline__ uint32 operand_offset_b() {
  return Panel<Cols>::offset(lane() % 8 + lane() / 16 * 8, lane() / 8 % 2);
}
// Of columns 16 * k .. in the same rows: an XOR inside a panel, a constant from panel to panel. The tile's address
// comes last, so that constants of all kinds end up in the instruction.
template <typename T, int Rows, int Cols>
__device__ __forceinline__ uint32 at_step(SmemTile<T, Rows, Cols> tile, uint32 offset, int k) {
  constexpr int kStepsPerPanel = Panel<Cols>::kCols / 16;
  return (offset ^ (k % kStepsPerPanel * 32)) + tile.address + k / kStepsPerPanel * tile.kPanelBytes;
}

// The rows of this warp as a left operand in registers.
template <int Warps, typename T, int M, int K>
__device__ __forceinline__ AOperandOf<T, M, K, Warps> load_a_operand(SmemTile<T, M, K> tile) {
  AOperandOf<T, M, K, Warps> a;
  const uint32 offset = operand_offset<K>() + warp() * 16 * Panel<K>::kPitch;
#pragma unroll
  for (int m = 0; m < M / (16 * Warps); ++m)
#pragma unroll
    for (int k = 0; k < K / 16; ++k) {
      uint32 r[4];
      load_matrices(r, at_step(tile, offset, k) + m * 16 * Warps * Panel<K>::kPitch);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[(m * (K / 16) + k) * 4 + i] = r[i];
    }
  return a;
}

// a * b^T, where b holds N rows of K columns.
template <typename T, int M, int K, int W, int N, int R>
__device__ __forceinline__ AccOf<M, N, W> dot_transposed(const Vec<uint32, R, AOperandShape<T, M, K, W>> &a, SmemTile<T, N, K> b) {
  constexpr int kMTiles = M / (16 * W), kKSteps = K / 16;
  AccOf<M, N, W> c = zero();
  const uint32 offset = operand_offset_b<K>();
#pragma unroll
  for (int k = 0; k < kKSteps; ++k) {
    const uint32 step = at_step(b, offset, k);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      uint32 r[4];
      load_matrices(r, step + n * 16 * Panel<K>::kPitch);
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
        mma(T{}, &c[(m * (N / 8) + 2 * n) * 4], &a[(m * kKSteps + k) * 4], r[0], r[1]);
        mma(T{}, &c[(m * (N / 8) + 2 * n + 1) * 4], &a[(m * kKSteps + k) * 4], r[2], r[3]);
      }
    }
  }
  return c;
}

// The same with a in shared memory: its fragments are loaded as they are needed, which costs M / N of b's loads and
// no registers.
template <int W, typename T, int M, int K, int N>
__device__ __forceinline__ AccOf<M, N, W> dot_transposed(SmemTile<T, M, K> a, SmemTile<T, N, K> b) {
  constexpr int kMTiles = M / (16 * W);
  AccOf<M, N, W> c = zero();
  const uint32 a_offset = operand_offset<K>() + warp() * 16 * Panel<K>::kPitch, b_offset = operand_offset_b<K>();
#pragma unroll
  for (int k = 0; k < K / 16; ++k) {
    uint32 q[kMTiles][4];
#pragma unroll
    for (int m = 0; m < kMTiles; ++m)
      load_matrices(q[m], at_step(a, a_offset, k) + m * 16 * W * Panel<K>::kPitch);
    const uint32 step = at_step(b, b_offset, k);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      uint32 r[4];
      load_matrices(r, step + n * 16 * Panel<K>::kPitch);
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
        mma(T{}, &c[(m * (N / 8) + 2 * n) * 4], q[m], r[0], r[1]);
        mma(T{}, &c[(m * (N / 8) + 2 * n + 1) * 4], q[m], r[2], r[3]);
      }
    }
  }
  return c;
}

// c + a * b, where b holds K rows of N columns.
template <typename T, int M, int K, int W, int N, int R>
__device__ __forceinline__ AccOf<M, N, W> dot(const Vec<uint32, R, AOperandShape<T, M, K, W>> &a, SmemTile<T, K, N> b, AccOf<M, N, W> c) {
  constexpr int kMTiles = M / (16 * W), kKSteps = K / 16;
  const uint32 offset = operand_offset<N>();
#pragma unroll
  for (int k = 0; k < kKSteps; ++k)
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      uint32 r[4];
      load_matrices_transposed(r, at_step(b, offset, n) + k * 16 * Panel<N>::kPitch);
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
        mma(T{}, &c[(m * (N / 8) + 2 * n) * 4], &a[(m * kKSteps + k) * 4], r[0], r[1]);
        mma(T{}, &c[(m * (N / 8) + 2 * n + 1) * 4], &a[(m * kKSteps + k) * 4], r[2], r[3]);
      }
    }
  return c;
}

// An accumulator rounded to T is the left operand of the next dot: the same thread owns the same elements.
template <typename T, int M, int N, int W, int R>
__device__ __forceinline__ AOperandOf<T, M, N, W> to_a_operand(const Vec<float, R, AccShape<M, N, W>> &c) {
  AOperandOf<T, M, N, W> a;
#pragma unroll
  for (int i = 0; i < R / 2; ++i)
    a[i] = round_pair(T{}, c[2 * i], c[2 * i + 1]);
  return a;
}

} // namespace attune
