//===- params.cuh - what a kernel is launched with --------------*- CUDA -*-===//
//
// The one parameter of a forward kernel: the device's side of compiler/spec/KernelParams.h.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "vec.cuh"

namespace attune {

// Where the matrix of one (batch, head) lies. Strides count elements; inside a row elements are adjacent.
// Rows start at multiples of 16 bytes, and a row stride is below 2^30 elements.
struct TensorParams {
  uint64 base; // address of element (0, 0, 0, 0)
  int64 batch_stride, head_stride, row_stride;
};

// The grid is (ceil(length_q / block_q), heads_q, batch).
struct ForwardParams {
  TensorParams q, k, v, o;
  TensorParams lse; // f32, adjacent rows; its row_stride is unused
  int length_q, length_kv;
  int heads_per_kv_head; // query heads that share one KV head
  int reserved;
};
static_assert(sizeof(TensorParams) == 32 && sizeof(ForwardParams) == 176, "the layout of KernelParams.h");

// redux.sync.max: what every thread knows to be the same for all, said so that the assembler knows it too and
// keeps what follows from it in uniform registers. The quotient that is the KV head would else pin the
// addresses of K and V to four registers a thread, which is what the largest tiles lack.
__device__ __forceinline__ int uniform(int x) {
  int y;
  asm("redux.sync.max.s32 %0, %1, 0xffffffff;" : "=r"(y) : "r"(x));
  return y;
}
// mad.wide.s32: base + row * row_bytes, exact in 64 bits. Written as an instruction, because from 64-bit C++
// arithmetic the compiler makes three to five of them.
__device__ __forceinline__ uint64 address_of_row(uint64 base, int row, int row_bytes) {
  uint64 address;
  asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(address) : "r"(row_bytes), "r"(row), "l"(base));
  return address;
}

// The matrix of one (batch, head): rows of Cols adjacent elements.
template <typename T, int Cols> struct View {
  uint64 base;   // address of row 0
  int row_bytes; // between rows
  int rows;      // that exist
};
template <typename T, int Cols>
__device__ __forceinline__ View<T, Cols> view(const TensorParams &t, int batch, int head, int rows) {
  const uint64 element =
      uint64(batch) * uint64(t.batch_stride) + uint64(uniform(head)) * uint64(t.head_stride);
  return {t.base + element * sizeof(T), Cols == 1 ? int(sizeof(T)) : int(t.row_stride) * int(sizeof(T)),
          rows};
}

} // namespace attune
