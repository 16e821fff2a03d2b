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

// bar.sync, bar.arrive: Threads threads meet at a barrier; who arrives does not wait. Barrier 0 is the
// block's.
template <int Threads> __device__ __forceinline__ void meet(int barrier) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(Threads) : "memory");
}
template <int Threads> __device__ __forceinline__ void arrive(int barrier) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "n"(Threads) : "memory");
}
// bar.red.or: whether it holds for one of the Threads threads that meet.
template <int Threads, int Barrier> __device__ __forceinline__ bool meet_any(bool holds) {
  uint32 any;
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %1, 0; bar.red.or.pred p, %2, %3, p; selp.b32 %0, 1, 0, p; }"
               : "=r"(any)
               : "r"(uint32(holds)), "n"(Barrier), "n"(Threads)
               : "memory");
  return any != 0;
}
// The bits that one of the Threads threads has. Rarely is there any: then each is asked for.
template <int Threads, int Barrier> __device__ __forceinline__ int vote(int bits) {
  int all = 0;
  if (meet_any<Threads, Barrier>(bits != 0))
#pragma unroll 1
    for (int bit = 0; bit < 32; ++bit)
      all |= int(meet_any<Threads, Barrier>(uint32(bits) >> bit & 1)) << bit;
  return all;
}
// fence.proxy.async: what this thread wrote to shared memory is there for TMA and for tensor cores.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// The threads that share a tile: the block's, or those of one replica of a role, or of all of them.
struct WholeBlock {
  static constexpr bool kAsync = false; // whether tiles are filled and read by the async proxy
  __device__ __forceinline__ int thread() const { return threadIdx.x; }
  __device__ __forceinline__ int count() const { return blockDim.x; }
  __device__ __forceinline__ void meet() const { __syncthreads(); }
};
template <int Threads> struct Replica {
  static constexpr bool kAsync = true;
  int barrier;
  __device__ __forceinline__ int thread() const { return threadIdx.x % Threads; }
  __device__ __forceinline__ int count() const { return Threads; }
  __device__ __forceinline__ void meet() const { attune::meet<Threads>(barrier); }
};
template <int Threads, int First> struct Replicas {
  static constexpr bool kAsync = true;
  int barrier;
  __device__ __forceinline__ int thread() const { return int(threadIdx.x) - First; }
  __device__ __forceinline__ int count() const { return Threads; }
  __device__ __forceinline__ void meet() const { attune::meet<Threads>(barrier); }
};

} // namespace attune
