// Clusters: kernels with a planted fault (bad) and their correct twins (ok), for tests/unit/SimClusterTest.cpp,
// which runs them all with the same arguments: 8 blocks of 64 threads; clusters.ptx is made by
//   nvcc -ptx -arch=compute_90a -std=c++17 -lineinfo clusters.cu && sed -i 's,^\(\t\.file\t[0-9]* "\).*/,\1,' clusters.ptx
#include <cooperative_groups.h>
#include <cstdint>

namespace cg = cooperative_groups;

#define KERNEL(name, size)                                                                                   \
  extern "C" __global__ void __cluster_dims__(size, 1, 1) name(const int *in, int *out, int *aux, int n)
#define T threadIdx.x
#define B blockIdx.x
#define DIM blockDim.x

__device__ unsigned rank() { return cg::this_cluster().block_rank(); }
__device__ unsigned address(const void *p) { return unsigned(__cvta_generic_to_shared(p)); }
__device__ unsigned mapped(const void *p, unsigned rank) {
  unsigned r;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address(p)), "r"(rank));
  return r;
}
__device__ void arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ void arriveRelaxed() { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
__device__ void await() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ void sync() { arrive(), await(); }

//===------------------------------ sums ------------------------------===//

// Each block sums its numbers; the first of the cluster adds up what it finds in all.
template <bool begun, bool written, bool ends> __device__ void reduce(const int *in, int *out) {
  __shared__ int s[64];
  auto cluster = cg::this_cluster();
  if (begun)
    sync();
  s[T] = in[B * DIM + T];
  __syncthreads();
  for (int d = DIM / 2; d; d /= 2) {
    if (T < d)
      s[T] += s[T + d];
    __syncthreads();
  }
  if (written)
    sync();
  if (rank() == 0 && T == 0) {
    int sum = 0;
    for (int r = 0; r < cluster.num_blocks(); ++r)
      sum += *cluster.map_shared_rank(s, r);
    out[B] = sum;
  }
  if (ends)
    sync();
}
KERNEL(reduce_ok, 4) { reduce<false, true, true>(in, out); }
KERNEL(reduce_unwritten_bad, 4) { reduce<true, false, true>(in, out); }
KERNEL(reduce_unbegun_bad, 4) { reduce<false, false, true>(in, out); }
KERNEL(reduce_leaves_bad, 4) { reduce<false, true, false>(in, out); }

// All blocks add to one counter of the first.
template <bool zeroed, bool ends> __device__ void count(const int *in, int *out) {
  __shared__ int total;
  if (T == 0)
    total = 0;
  if (zeroed)
    sync();
  else
    __syncthreads(), arriveRelaxed(), await();
  if (rank())
    atomicAdd(cg::this_cluster().map_shared_rank(&total, 0), in[B * DIM + T]);
  if (ends)
    sync();
  if (rank() == 0 && T == 0)
    out[B] = total;
}
KERNEL(count_ok, 8) { count<true, true>(in, out); }
KERNEL(count_unzeroed_bad, 8) { count<false, true>(in, out); }
KERNEL(count_leaves_bad, 8) { count<true, false>(in, out); }

// Split-K: each block multiplies a slice of two vectors' outer sum; slices are added tree-wise over the ranks.
template <bool each> __device__ void splitK(const int *in, int *out) {
  __shared__ int tile[64];
  auto cluster = cg::this_cluster();
  int acc = 0;
  for (int k = 0; k < 16; ++k)
    acc += in[B * DIM + k] * in[B * DIM + (T + k) % 64];
  tile[T] = acc;
  sync();
  for (unsigned d = cluster.num_blocks() / 2; d; d /= 2) {
    if (rank() < d)
      tile[T] += cluster.map_shared_rank(tile, rank() + d)[T];
    if (each || d == 1)
      sync();
  }
  if (rank() == 0)
    out[B / cluster.num_blocks() * DIM + T] = tile[T];
}
KERNEL(split_k_ok, 8) { splitK<true>(in, out); }
KERNEL(split_k_once_bad, 8) { splitK<false>(in, out); }

//===------------------------------ rings ------------------------------===//

// Data goes round the cluster, one block a step, by plain remote stores into two buffers.
template <bool twice> __device__ void ring(const int *in, int *out) {
  __shared__ int s[2][64];
  auto cluster = cg::this_cluster();
  unsigned next = (rank() + 1) % cluster.num_blocks();
  s[0][T] = in[B * DIM + T];
  sync();
  for (int step = 0; step < 4; ++step) {
    int from = twice ? step & 1 : 0, to = twice ? from ^ 1 : 0;
    cluster.map_shared_rank(s[to], next)[T] = s[from][T] + 1;
    sync();
  }
  out[B * DIM + T] = s[0][T];
}
KERNEL(ring_ok, 4) { ring<true>(in, out); }
KERNEL(ring_one_buffer_bad, 4) { ring<false>(in, out); }

//===------------------------------ the barrier ------------------------------===//

KERNEL(barrier_split_ok, 2) {
  __shared__ int s[64];
  s[T] = in[B * DIM + T];
  arrive();
  int own = s[T] * 2; // work in between
  await();
  out[B * DIM + T] = own + cg::this_cluster().map_shared_rank(s, rank() ^ 1)[T];
  sync();
}
// What a relaxed arrival hands over is what a fence before it has released.
template <bool fenced> __device__ void relaxed(const int *in, int *out) {
  __shared__ int s[64];
  s[T] = in[B * DIM + T];
  if (fenced)
    asm volatile("fence.acq_rel.cluster;" ::: "memory");
  arriveRelaxed();
  await();
  out[B * DIM + T] = cg::this_cluster().map_shared_rank(s, rank() ^ 1)[T];
  arriveRelaxed(); // to end behind it needs no more
  await();
}
KERNEL(relaxed_fenced_ok, 2) { relaxed<true>(in, out); }
KERNEL(relaxed_bad, 2) { relaxed<false>(in, out); }
KERNEL(arrives_twice_bad, 2) {
  arrive();
  arrive();
  await();
  out[B * DIM + T] = 0;
}
KERNEL(waits_first_bad, 2) {
  await();
  out[B * DIM + T] = 0;
}
// One block's threads wait at a barrier of theirs for one that is at the cluster's.
KERNEL(barriers_deadlock_bad, 2) {
  out[B * DIM + T] = 0;
  if (rank() == 1 && T >= 32)
    asm volatile("barrier.sync 3, 64;" ::: "memory");
  sync();
}
// Who has ended is not waited for.
KERNEL(barrier_ended_ok, 2) {
  out[B * DIM + T] = 0;
  if (rank() == 1 && T >= 32)
    return;
  sync();
}
// Threads of a warp come to it by different ways.
KERNEL(barrier_ways_ok, 2) {
  if (T & 1)
    asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");
  else
    asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");
  out[B * DIM + T] = in[B * DIM + T];
}

//===------------------------------ flags ------------------------------===//

// A flag in the other block's shared memory, of the cluster's scope or of one that is too small.
template <bool release, bool acquire> __device__ void flag(const int *in, int *out) {
  __shared__ int data[64];
  __shared__ int ready;
  auto cluster = cg::this_cluster();
  if (T == 0)
    ready = 0;
  sync();
  if (rank() == 0) {
    cluster.map_shared_rank(data, 1)[T] = in[B * DIM + T];
    __syncthreads();
    if (T == 0) {
      if (release)
        asm volatile("st.release.cluster.shared::cluster.u32 [%0], 1;" ::"r"(mapped(&ready, 1)) : "memory");
      else
        asm volatile("st.relaxed.cluster.shared::cluster.u32 [%0], 1;" ::"r"(mapped(&ready, 1)) : "memory");
    }
    out[B * DIM + T] = 0;
  } else {
    int seen = 0;
    while (!seen)
      if (acquire)
        asm volatile("ld.acquire.cluster.shared::cta.u32 %0, [%1];" : "=r"(seen) : "r"(address(&ready)) : "memory");
      else
        asm volatile("ld.relaxed.cluster.shared::cta.u32 %0, [%1];" : "=r"(seen) : "r"(address(&ready)) : "memory");
    out[B * DIM + T] = data[T];
  }
  sync();
}
KERNEL(flag_ok, 2) { flag<true, true>(in, out); }
KERNEL(flag_release_bad, 2) { flag<false, true>(in, out); }
KERNEL(flag_acquire_bad, 2) { flag<true, false>(in, out); }

// Data in global memory behind a fence of the cluster's scope; the other cluster is not in it.
template <int distance> __device__ void global(const int *in, int *out, int *aux) {
  int *slot = aux + 64 + B * DIM;
  slot[T] = in[B * DIM + T];
  __syncthreads();
  if (T == 0) {
    asm volatile("fence.acq_rel.cluster;" ::: "memory");
    asm volatile("st.relaxed.cluster.global.u32 [%0], 1;" ::"l"(aux + B) : "memory");
  }
  int other = (B ^ distance), seen = 0;
  if (T == 0) {
    while (!seen)
      asm volatile("ld.relaxed.cluster.global.u32 %0, [%1];" : "=r"(seen) : "l"(aux + other) : "memory");
    asm volatile("fence.acq_rel.cluster;" ::: "memory");
  }
  __syncthreads();
  out[B * DIM + T] = aux[64 + other * DIM + T];
}
KERNEL(global_ok, 2) { global<1>(in, out, aux); }
KERNEL(global_scope_bad, 2) { global<2>(in, out, aux); }

//===------------------------------ addresses ------------------------------===//

KERNEL(own_ok, 2) {
  __shared__ int s[64];
  int *mine = cg::this_cluster().map_shared_rank(s, rank());
  mine[T] = in[B * DIM + T];
  __syncthreads();
  unsigned owner, isOwn;
  asm("getctarank.shared::cluster.u32 %0, %1;" : "=r"(owner) : "r"(mapped(s, rank() ^ 1)));
  asm("{ .reg .pred p; isspacep.shared::cta p, %1; selp.u32 %0, 1, 0, p; }" : "=r"(isOwn) : "l"(mine));
  unsigned other, cluster;
  int *theirs = cg::this_cluster().map_shared_rank(s, rank() ^ 1);
  asm("{ .reg .pred p; isspacep.shared::cta p, %1; selp.u32 %0, 1, 0, p; }" : "=r"(other) : "l"(theirs));
  asm("{ .reg .pred p; isspacep.shared::cluster p, %1; selp.u32 %0, 1, 0, p; }" : "=r"(cluster) : "l"(theirs));
  out[B * DIM + T] = s[T] + 1000 * int((owner ^ rank()) + 2 * isOwn + 4 * other + 8 * cluster);
}
// A variable of the own block in the wider space needs no rank.
KERNEL(own_unmapped_ok, 2) {
  __shared__ int s[64];
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(address(s + T)), "r"(in[B * DIM + T]) : "memory");
  __syncthreads();
  out[B * DIM + T] = s[63 - T];
}
KERNEL(rank_bad, 2) {
  __shared__ int s[64];
  s[T] = 0;
  out[B * DIM + T] = mapped(s, 2) != 0;
}
// shared::cta is the own block's alone.
KERNEL(window_bad, 2) {
  __shared__ int s[64];
  s[T] = in[B * DIM + T];
  sync();
  int v;
  asm volatile("ld.shared::cta.u32 %0, [%1];" : "=r"(v) : "r"(mapped(s, rank() ^ 1) + 4 * T) : "memory");
  out[B * DIM + T] = v;
  sync();
}
KERNEL(remote_bounds_bad, 2) {
  __shared__ int s[64];
  s[T] = in[B * DIM + T];
  sync();
  out[B * DIM + T] = cg::this_cluster().map_shared_rank(s, rank() ^ 1)[T + 2048];
  sync();
}
KERNEL(remote_unset_bad, 2) {
  __shared__ int s[64];
  s[T & 31] = in[B * DIM + (T & 31)];
  sync();
  out[B * DIM + T] = cg::this_cluster().map_shared_rank(s, rank() ^ 1)[T];
  sync();
}
