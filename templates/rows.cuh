//===- rows.cuh - what a tile's rows have in common -------------*- CUDA -*-===//
#pragma once
#include "elementwise.cuh"

namespace attune {

// The largest of `start` and of a row's elements that this thread owns; max.f32, in any order the same.
template <int M, int N, int W, int R>
__device__ __forceinline__ RowOf<M, W> row_max(const Vec<float, R, AccShape<M, N, W>> &x,
                                               const RowOf<M, W> &start) {
  RowOf<M, W> largest = start;
#pragma unroll
  for (int i = 0; i < R; ++i)
    largest[i / (N / 2) * 2 + i / 2 % 2] = fmaxf(largest[i / (N / 2) * 2 + i / 2 % 2], x[i]);
  return largest;
}

// `start` + a row's elements that this thread owns, one by one from the left.
template <int M, int N, int W, int R>
__device__ __forceinline__ RowOf<M, W> row_sum(const Vec<float, R, AccShape<M, N, W>> &x,
                                               const RowOf<M, W> &start) {
  RowOf<M, W> sum = start;
#pragma unroll
  for (int i = 0; i < R; ++i)
    sum[i / (N / 2) * 2 + i / 2 % 2] = __fadd_rn(sum[i / (N / 2) * 2 + i / 2 % 2], x[i]);
  return sum;
}

// shfl.sync.bfly: the value of the lane whose number differs in the bits of `mask`.
__device__ __forceinline__ float from_lane_xor(float x, int mask) {
  return __shfl_xor_sync(0xffffffffu, x, mask);
}

// Over the four lanes that share a row: the largest, and the sum, of their parts.
template <int M, int W, int R>
__device__ __forceinline__ RowOf<M, W> max_over_quad(Vec<float, R, RowShape<M, W>> x) {
#pragma unroll
  for (int i = 0; i < R; ++i)
    x[i] = fmaxf(x[i], from_lane_xor(x[i], 1));
#pragma unroll
  for (int i = 0; i < R; ++i)
    x[i] = fmaxf(x[i], from_lane_xor(x[i], 2));
  return x;
}
template <int M, int W, int R>
__device__ __forceinline__ RowOf<M, W> sum_over_quad(Vec<float, R, RowShape<M, W>> x) {
#pragma unroll
  for (int i = 0; i < R; ++i)
    x[i] = __fadd_rn(x[i], from_lane_xor(x[i], 1));
#pragma unroll
  for (int i = 0; i < R; ++i)
    x[i] = __fadd_rn(x[i], from_lane_xor(x[i], 2));
  return x;
}

// vote.sync.any: whether a condition holds for any row of this warp; the same for all its threads.
template <int R, typename S> __device__ __forceinline__ bool any_in_warp(const Vec<bool, R, S> &condition) {
  bool any = false;
#pragma unroll
  for (int i = 0; i < R; ++i)
    any |= condition[i];
  return __any_sync(0xffffffffu, any);
}
// bar.red.or: the same for the block, whose threads all meet here. A branch that might part a warp would keep
// all that is uniform in registers of the threads.
template <int R, typename S> __device__ __forceinline__ bool any_in_block(const Vec<bool, R, S> &condition) {
  bool any = false;
#pragma unroll
  for (int i = 0; i < R; ++i)
    any |= condition[i];
  return uniform(__syncthreads_or(any)) != 0;
}

} // namespace attune
