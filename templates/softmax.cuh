//===- softmax.cuh - the online softmax of a tile of scores -----*- CUDA -*-===//
#pragma once
#include "mma.cuh"

namespace attune {

// ex2.approx.ftz, lg2.approx.ftz, rcp.approx.ftz: one instruction each.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float log2_approx(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float reciprocal_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

template <int R, typename S> __device__ __forceinline__ Vec<float, R, S> exp2(const Vec<float, R, S> &x) {
  Vec<float, R, S> y;
#pragma unroll
  for (int i = 0; i < R; ++i)
    y[i] = exp2_approx(x[i]);
  return y;
}

// cap * tanh(x / cap), as 1 - 2 / (1 + 2^(x * k)) with k = 2 * log2(e): right at both ends, where 2^y overflows or
// vanishes.
template <int R, typename S> __device__ __forceinline__ Vec<float, R, S> softcap(const Vec<float, R, S> &x, float cap, float inverse_cap) {
  Vec<float, R, S> y;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const float e = exp2_approx(__fmul_rn(__fmul_rn(x[i], inverse_cap), 2.885390081777927f));
    y[i] = __fmul_rn(cap, __fmaf_rn(-2.0f, reciprocal_approx(__fadd_rn(e, 1.0f)), 1.0f));
  }
  return y;
}

// x * scale - shift of the element's row, as one fma.rn.
template <int M, int N, int W, int R>
__device__ __forceinline__ Vec<float, R, AccShape<M, N, W>> scale_and_shift(const Vec<float, R, AccShape<M, N, W>> &x, float scale,
                                                                            const RowOf<M, W> &shift) {
  Vec<float, R, AccShape<M, N, W>> y;
#pragma unroll
  for (int i = 0; i < R; ++i)
    y[i] = __fmaf_rn(x[i], scale, -shift[i / (N / 2) * 2 + i / 2 % 2]);
  return y;
}

// shfl.sync.bfly: the value of the lane whose number differs in the bits of `mask`.
__device__ __forceinline__ float from_lane_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }

// The largest of a row's elements and `start`: inside the thread, then over the quad that shares the row.
template <int M, int N, int W, int R>
__device__ __forceinline__ RowOf<M, W> row_max(const Vec<float, R, AccShape<M, N, W>> &x, const RowOf<M, W> &start) {
  RowOf<M, W> largest = start;
#pragma unroll
  for (int m = 0; m < M / (16 * W); ++m)
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        largest[2 * m + i / 2] = fmaxf(largest[2 * m + i / 2], x[(m * (N / 8) + n) * 4 + i]);
#pragma unroll
  for (int i = 0; i < M / (8 * W); ++i) {
    largest[i] = fmaxf(largest[i], from_lane_xor(largest[i], 1));
    largest[i] = fmaxf(largest[i], from_lane_xor(largest[i], 2));
  }
  return largest;
}

// start + the row's elements that this thread owns, one by one from the left.
template <int M, int N, int W, int R>
__device__ __forceinline__ RowOf<M, W> add_to_rows(const RowOf<M, W> &start, const Vec<float, R, AccShape<M, N, W>> &x) {
  RowOf<M, W> sum = start;
#pragma unroll
  for (int m = 0; m < M / (16 * W); ++m)
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        sum[2 * m + i / 2] = __fadd_rn(sum[2 * m + i / 2], x[(m * (N / 8) + n) * 4 + i]);
  return sum;
}

// The sum of the four lanes' parts of a row.
template <int M, int W, int R> __device__ __forceinline__ Vec<float, R, RowShape<M, W>> sum_over_quad(Vec<float, R, RowShape<M, W>> x) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
    x[i] = __fadd_rn(x[i], from_lane_xor(x[i], 1));
    x[i] = __fadd_rn(x[i], from_lane_xor(x[i], 2));
  }
  return x;
}

// x, but 0 for -inf: a row that has seen no key yet must not give inf - inf.
template <int M, int W, int R> __device__ __forceinline__ Vec<float, R, RowShape<M, W>> finite_or_zero(const Vec<float, R, RowShape<M, W>> &x) {
  Vec<float, R, RowShape<M, W>> y;
#pragma unroll
  for (int i = 0; i < R; ++i)
    y[i] = x[i] == __int_as_float(0xff800000) ? 0.0f : x[i];
  return y;
}

// Whether in some row of this warp the maximum has grown by more than 8 in the exponent's units (vote.any). Below
// that the old reference is good enough: sums stay below 2^8 times their usual size, and the result is as exact,
// because the final division uses the same reference.
template <int M, int W, int R>
__device__ __forceinline__ bool outgrown(const Vec<float, R, RowShape<M, W>> &now, const Vec<float, R, RowShape<M, W>> &reference, float scale) {
  bool any = false;
#pragma unroll
  for (int i = 0; i < R; ++i)
    any |= __fmul_rn(__fsub_rn(now[i], reference[i]), scale) > 8.0f;
  return __any_sync(0xffffffffu, any);
}

} // namespace attune
