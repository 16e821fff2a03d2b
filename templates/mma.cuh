//===- mma.cuh - operands from shared memory, and the tensor core -*- CUDA -*-===//
#pragma once
#include "elementwise.cuh"
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
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma(f16, float *c, const uint32 *a, uint32 b0, uint32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, "
      "%1, %2, %3};"
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

// Where a lane's row of a 16 x 16 operand lies in a tile at offset 0. Matrices 0..3 are (rows, columns) (0,
// 0), (8, 0), (0, 8), (8, 8): what the tensor core wants of A, and of a transposed B.
template <int Cols> __device__ __forceinline__ uint32 operand_offset() {
  return Panel<Cols>::offset(lane() % 16, lane() / 16);
}
// The same with matrices (0, 0), (0, 8), (8, 0), (8, 8): B as it lies.
template <int Cols> __device__ __forceinline__ uint32 operand_offset_b() {
  return Panel<Cols>::offset(lane() % 8 + lane() / 16 * 8, lane() / 8 % 2);
}
// Of columns 16 * k .. in the same rows: an XOR inside a panel, a constant from panel to panel. The tile's
// address comes last, so that constants of all kinds end up in the instruction.
template <typename T, int Rows, int Cols>
__device__ __forceinline__ uint32 at_step(SmemTile<T, Rows, Cols> tile, uint32 offset, int k) {
  constexpr int kStepsPerPanel = Panel<Cols>::kCols / 16;
  return (offset ^ (k % kStepsPerPanel * 32)) + tile.address + k / kStepsPerPanel * tile.kPanelBytes;
}

// The 16 x 16 pieces of a left operand in shared memory, for all of this warp's m-tiles.
template <int W, typename T, int M, int K> struct SharedA {
  SmemTile<T, M, K> tile;
  uint32 offset;
  __device__ __forceinline__ explicit SharedA(SmemTile<T, M, K> tile)
      : tile(tile), offset(operand_offset<K>() + warp() * 16 * Panel<K>::kPitch) {}
  __device__ __forceinline__ void load(int k, int m, uint32 (&piece)[4]) const {
    load_matrices(piece, at_step(tile, offset, k) + m * 16 * W * Panel<K>::kPitch);
  }
};
// The same in registers.
template <typename T, int M, int K, int W> struct RegisterA {
  const AOperandOf<T, M, K, W> &operand;
  __device__ __forceinline__ void load(int k, int m, uint32 (&piece)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      piece[i] = operand[(m * (K / 16) + k) * 4 + i];
  }
};
template <int W, typename T, int M, int K>
__device__ __forceinline__ AOperandOf<T, M, K, W> load_a_operand(SmemTile<T, M, K> tile) {
  AOperandOf<T, M, K, W> a;
  const SharedA<W, T, M, K> source(tile);
#pragma unroll
  for (int i = 0; i < M / (16 * W) * (K / 16); ++i) {
    uint32 piece[4];
    source.load(i % (K / 16), i / (K / 16), piece);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      a[i * 4 + j] = piece[j];
  }
  return a;
}

// The n-tiles 2 * n and 2 * n + 1 of c += (16 columns from k of a) * (b0 | b1).
template <int M, int N, int W, typename T, int R>
__device__ __forceinline__ void mma_step(T type, Vec<float, R, AccShape<M, N, W>> &c, int n,
                                         const uint32 (&a)[M / (16 * W)][4], const uint32 (&b)[4]) {
#pragma unroll
  for (int m = 0; m < M / (16 * W); ++m) {
    mma(type, &c[(m * (N / 8) + 2 * n) * 4], a[m], b[0], b[1]);
    mma(type, &c[(m * (N / 8) + 2 * n + 1) * 4], a[m], b[2], b[3]);
  }
}
// c + a * b^T, where b holds N rows of K columns; k ascends.
template <typename A, typename T, int M, int N, int K, int W, int R>
__device__ __forceinline__ void add_dot_transposed(const A &a, SmemTile<T, N, K> b,
                                                   Vec<float, R, AccShape<M, N, W>> &c) {
  const uint32 offset = operand_offset_b<K>();
#pragma unroll
  for (int k = 0; k < K / 16; ++k) {
    uint32 a_piece[M / (16 * W)][4], b_piece[4];
#pragma unroll
    for (int m = 0; m < M / (16 * W); ++m)
      a.load(k, m, a_piece[m]);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      load_matrices(b_piece, at_step(b, offset, k) + n * 16 * Panel<K>::kPitch);
      mma_step<M, N, W>(T{}, c, n, a_piece, b_piece);
    }
  }
}
// c + a * b, where b holds K rows of N columns; k ascends.
template <typename A, typename T, int M, int N, int K, int W, int R>
__device__ __forceinline__ void add_dot(const A &a, SmemTile<T, K, N> b,
                                        Vec<float, R, AccShape<M, N, W>> &c) {
  const uint32 offset = operand_offset<N>();
#pragma unroll
  for (int k = 0; k < K / 16; ++k) {
    uint32 a_piece[M / (16 * W)][4], b_piece[4];
#pragma unroll
    for (int m = 0; m < M / (16 * W); ++m)
      a.load(k, m, a_piece[m]);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      load_matrices_transposed(b_piece, at_step(b, offset, n) + k * 16 * Panel<N>::kPitch);
      mma_step<M, N, W>(T{}, c, n, a_piece, b_piece);
    }
  }
}

// What kernels call. The left operand is in registers, or in shared memory and loaded as it is needed: that
// costs M / N of the loads of b and no registers.
template <int W, typename T, int M, int K, int R>
__device__ __forceinline__ RegisterA<T, M, K, W>
left_operand(const Vec<uint32, R, AOperandShape<T, M, K, W>> &a) {
  return {a};
}
template <int W, typename T, int M, int K>
__device__ __forceinline__ SharedA<W, T, M, K> left_operand(SmemTile<T, M, K> a) {
  return SharedA<W, T, M, K>(a);
}
template <typename A, typename T, int M, int N, int K, int W, int R>
__device__ __forceinline__ AccOf<M, N, W> dot_transposed(const A &a, SmemTile<T, N, K> b,
                                                         Vec<float, R, AccShape<M, N, W>> c) {
  add_dot_transposed<decltype(left_operand<W>(a)), T, M, N, K, W>(left_operand<W>(a), b, c);
  return c;
}
template <typename A, typename T, int M, int N, int K, int W, int R>
__device__ __forceinline__ AccOf<M, N, W> dot(const A &a, SmemTile<T, K, N> b,
                                              Vec<float, R, AccShape<M, N, W>> c) {
  add_dot<decltype(left_operand<W>(a)), T, M, N, K, W>(left_operand<W>(a), b, c);
  return c;
}
// With nothing to add to: zeros, which cost no registers.
template <int W, typename T, int M, int N, int K>
__device__ __forceinline__ AccOf<M, N, W> dot_transposed(SmemTile<T, M, K> a, SmemTile<T, N, K> b) {
  return dot_transposed(a, b, AccOf<M, N, W>(zero()));
}
template <int W, typename T, int M, int N, int K, int R>
__device__ __forceinline__ AccOf<M, N, W> dot_transposed(const Vec<uint32, R, AOperandShape<T, M, K, W>> &a,
                                                         SmemTile<T, N, K> b) {
  return dot_transposed(a, b, AccOf<M, N, W>(zero()));
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
