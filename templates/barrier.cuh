//===- barrier.cuh - barriers in shared memory, and what TMA brings -*- CUDA -*-===//
//
// A slot of a ring has a barrier that says that it is full, and one that says that it is empty. A phase of a
// barrier ends when all arrivals and all bytes that were announced have come; phases are told apart by their
// parity.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "mma.cuh"
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

// Where a ring of Depth slots has a tile: in which slot, and in a phase of which parity.
template <int Depth> struct Place {
  int slot, parity;
  static __device__ __forceinline__ Place of(int index) {
    return {int(uint32(index) % Depth), int(uint32(index) / Depth & 1)};
  }
  // Of the tile after this one.
  __device__ __forceinline__ Place next() const {
    const bool wraps = slot + 1 == Depth;
    return {wraps ? 0 : slot + 1, parity ^ int(wraps)};
  }
};

// Slots that one warp has TMA fill and others read, in turn. A slot's barriers say that it is full, and,
// behind those of all slots, that it is empty: an empty slot was never filled before its first tile, and that
// phase counts as ended.
template <typename T, int Rows, int Cols, int Depth> struct Ring {
  using Tile = SmemTile<T, Rows, Cols>;
  static constexpr int kBytes = Rows * Cols * int(sizeof(T));
  uint32 tiles, barriers;

  __device__ __forceinline__ uint32 full(Place<Depth> at) const { return barriers + at.slot * 8; }
  __device__ __forceinline__ uint32 empty(Place<Depth> at) const { return full(at) + Depth * 8; }
  // `releases` warps release each tile; 0: no slot is used twice.
  __device__ __forceinline__ void init(int releases) const {
    init_barriers<Depth>(barriers, 1);
    if (releases)
      init_barriers<Depth>(barriers + Depth * 8, releases);
  }
  // For who fills: announces a tile's bytes, in a slot that nobody reads any more.
  __device__ __forceinline__ void expect(Place<Depth> at, bool leader) const {
    if (leader)
      expect_bytes(full(at), kBytes);
  }
  __device__ __forceinline__ void acquire(Place<Depth> at, bool leader) const {
    wait_barrier(empty(at), at.parity ^ 1);
    expect(at, leader);
  }
  __device__ __forceinline__ void load(Place<Depth> at, const TensorMap &map, int row, int head,
                                       int batch) const {
    load_tile(Tile{tiles + at.slot * kBytes}, map, full(at), row, head, batch);
  }
  // For who reads: the tile, once its bytes have landed; and that this warp reads it no more.
  __device__ __forceinline__ Tile wait(Place<Depth> at) const {
    wait_barrier(full(at), at.parity);
    return {tiles + at.slot * kBytes};
  }
  __device__ __forceinline__ void release(Place<Depth> at, bool leader) const {
    arrive_barrier(empty(at), leader);
  }
};

// stmatrix.x4: four 8 x 8 matrices of 16-bit values.
__device__ __forceinline__ void store_matrices(uint32 to, uint32 a, uint32 b, uint32 c, uint32 d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(a), "r"(b),
               "r"(c), "r"(d)
               : "memory");
}
// cp.async.bulk.tensor to global memory: this warp's 16 rows of an accumulator, rounded and staged, panel by
// panel. Rows and columns that the array lacks are left out. Until store_wait the staging tile is being read.
template <typename T, int M, int N, int W, int R>
__device__ __forceinline__ void store_tile_async(const TensorMap &map, int row, int head, int batch,
                                                 const Vec<float, R, AccShape<M, N, W>> &x,
                                                 SmemTile<T, M, N> staging, bool leader) {
  static_assert(M == 16 * W, "a box of 16 rows for each warp");
  using P = Panel<N>;
  const uint32 first = warp_of<W>() * 16, offset = P::offset(first + lane() % 16, lane() / 16);
#pragma unroll
  for (int n = 0; n < N / 8; n += 2)
    store_matrices((offset ^ n % P::kChunks * 16) + staging.address + n / P::kChunks * staging.kPanelBytes,
                   round_pair(T{}, x[n * 4], x[n * 4 + 1]), round_pair(T{}, x[n * 4 + 2], x[n * 4 + 3]),
                   round_pair(T{}, x[n * 4 + 4], x[n * 4 + 5]), round_pair(T{}, x[n * 4 + 6], x[n * 4 + 7]));
  fence_async();
  __syncwarp();
  if (leader) {
#pragma unroll
    for (int p = 0; p < P::kCount; ++p)
      asm volatile(
          "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
              &map),
          "r"(staging.address + p * staging.kPanelBytes + first * P::kPitch), "r"(p * P::kCols),
          "r"(row + int(first)), "r"(head), "r"(batch)
          : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
  }
}
// cp.async.bulk.wait_group.read: this warp's stores have read shared memory.
__device__ __forceinline__ void store_wait() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

// cp.async.bulk.wait_group: they are done.
__device__ __forceinline__ void store_done() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

// atom.add: a counter's number, the same for the whole warp; whoever draws next gets one more.
__device__ __forceinline__ int draw(int *counter) {
  int drawn = 0;
  if (lane() == 0)
    asm volatile("atom.global.add.u32 %0, [%1], 1;" : "=r"(drawn) : "l"(counter) : "memory");
  return __shfl_sync(0xffffffffu, drawn, 0);
}
// st.shared, ld.shared: a number for the other roles.
__device__ __forceinline__ void store_word(uint32 to, int x, bool mine) {
  if (mine)
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(x) : "memory");
}
__device__ __forceinline__ int load_word(uint32 from) {
  int x;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(from) : "memory");
  return x;
}

} // namespace attune
