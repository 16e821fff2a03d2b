//===- roles.cuh - warps of one block with programs of their own -*- CUDA -*-===//
#pragma once
#include "vec.cuh"

namespace attune {

// shfl.sync.idx: the number of this warp in its block, said so that the assembler knows that it is the same
// in all lanes: branches on it stay uniform, and what follows from it lies in uniform registers.
__device__ __forceinline__ int warp_number() { return __shfl_sync(0xffffffffu, int(threadIdx.x / 32), 0); }

// elect.sync: one lane of the warp. Under `lane == 0` the assembler would put a loop around each bulk copy.
__device__ __forceinline__ bool elected() {
  uint32 r;
  asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.b32 %0, 1, 0, p; }" : "=r"(r));
  return r != 0;
}

// setmaxnreg: the warpgroup gives registers up, or waits until so many are free and takes them.
template <int Registers> __device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers> __device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

// bar.sync: the Threads threads of one replica of a role meet. Barrier 0 is the block's.
template <int Threads> __device__ __forceinline__ void role_barrier(int replica) {
  asm volatile("bar.sync %0, %1;" ::"r"(replica + 1), "n"(Threads) : "memory");
}

} // namespace attune
