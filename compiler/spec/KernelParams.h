//===- KernelParams.h - what a kernel is launched with ----------*- C++ -*-===//
//
// The binary interface between generated kernels and whoever launches them. It has three readers: the
// lowering to LLVM (by offsetof), the runtime, and templates/params.cuh, which repeats it for CUDA C++; a
// unit test holds the copies together.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_KERNELPARAMS_H
#define ATTUNE_COMPILER_SPEC_KERNELPARAMS_H

#include <cstdint>

namespace attune {

/// Where the matrix of one (batch, head) lies. Strides count elements; inside a row elements are adjacent.
/// Rows start at multiples of 16 bytes.
struct TensorParams {
  uint64_t base; ///< device address of element (0, 0, 0, 0)
  int64_t batchStride;
  int64_t headStride;
  int64_t rowStride;
};

/// The one parameter of a forward kernel, passed by value. The grid is
/// (ceil(lengthQ / block_q), headsQ, batch).
struct ForwardParams {
  TensorParams q, k, v, o;
  /// f32, (batch, head, row) with adjacent rows; `rowStride` is unused. `base` may be 0 in a kernel whose
  /// spec has no LSE output.
  TensorParams lse;
  int32_t lengthQ;
  int32_t lengthKv;
  int32_t headsPerKvHead; ///< query heads that share one KV head, >= 1
  int32_t reserved;
};

static_assert(sizeof(TensorParams) == 32 && sizeof(ForwardParams) == 176);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_KERNELPARAMS_H
