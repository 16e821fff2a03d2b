//===- barrier.cuh - barriers in shared memory, and what TMA brings -*- CUDA -*-===//
//
// A slot of a ring has a barrier that says that it is full, and one that says that it is empty. A phase of a
// barrier ends when all arrivals and all bytes that were announced have come; phases are told apart by their
// parity.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "roles.cuh"
#include "shared.cuh"

namespace attune {

// mbarrier.init: `arrivals` end a phase.
__device__ __forceinline__ void init_barrier(uint32 barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
template <int Count> __device__ __forceinline__ void init_barriers(uint32 first, int arrivals) {
#pragma unroll
  for (int i = 0; i < Count; ++i)
    init_barrier(first + 8 * i, arrivals);
}
// fence.mbarrier_init: TMA sees the barriers too.
__device__ __forceinline__ void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// mbarrier.try_wait.parity: until the phase of this parity has ended.
__device__ __forceinline__ void wait_barrier(uint32 barrier, int parity) {
  asm volatile(
      "{ .reg .pred p; W: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @!p bra W; }" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
// mbarrier.arrive, by the lanes for which it holds.
__device__ __forceinline__ void arrive_barrier(uint32 barrier, bool mine) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %1, 0; @p mbarrier.arrive.shared::cta.b64 _, [%0]; }" ::"r"(barrier),
      "r"(uint32(mine))
      : "memory");
}
// mbarrier.arrive.expect_tx: arrives, and the phase waits for so many bytes too.
__device__ __forceinline__ void expect_bytes(uint32 barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

// What TMA knows of an array (CUtensorMap): boxes of the tiles' rows, one panel wide, swizzled like shared
// memory.
struct alignas(64) TensorMap {
  uint64 opaque[16];
};

// cp.async.bulk.tensor: a panel's rows from `row` on, of one head and batch entry. What the array lacks
// becomes zeros, whose bytes count like the others.
__device__ __forceinline__ void load_box(uint32 to, const TensorMap &map, uint32 barrier, int column, int row,
                                         int head, int batch) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
               "{%3, %4, %5, "
               "%6}], [%2];" ::"r"(to),
               "l"(&map), "r"(barrier), "r"(column), "r"(row), "r"(head), "r"(batch)
               : "memory");
}
template <typename T, int Rows, int Cols>
__device__ __forceinline__ void load_tile(SmemTile<T, Rows, Cols> to, const TensorMap &map, uint32 barrier,
                                          int row, int head, int batch) {
  using P = Panel<Cols>;
#pragma unroll
  for (int p = 0; p < P::kCount; ++p)
    load_box(to.address + p * to.kPanelBytes, map, barrier, p * P::kCols, row, head, batch);
}

} // namespace attune
