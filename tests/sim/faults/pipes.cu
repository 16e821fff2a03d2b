// Blocks of a cluster that hand on data by mbarriers: kernels with a planted fault (bad) and their correct twins (ok), for tests/unit/SimClusterTest.cpp,
// which runs them all with the same arguments: 8 blocks of 64 threads; pipes.ptx is made by
//   nvcc -ptx -arch=compute_90a -std=c++17 -lineinfo pipes.cu && sed -i 's,^\(\t\.file\t[0-9]* "\).*/,\1,' pipes.ptx
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

// Data go round the cluster by remote stores and arrivals at the neighbour's mbarrier: full when the data are there, empty when they were read.
__device__ void mbarInit(uint64_t *b, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address(b)), "r"(count) : "memory");
}
__device__ void mbarFence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ void mbarArrive(uint64_t *b, unsigned rank) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(mapped(b, rank)) : "memory");
}
__device__ void mbarWait(uint64_t *b, unsigned parity) {
  asm volatile("{ .reg .pred p; W: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1; @!p bra W; }" ::"r"(
                   address(b)),
               "r"(parity)
               : "memory");
}
template <bool fenced, bool synced, bool waitsEmpty, bool arrivesFull, bool ends>
__device__ void pipe(const int *in, int *out) {
  __shared__ int s[64];
  __shared__ uint64_t full, empty;
  auto cluster = cg::this_cluster();
  unsigned next = (rank() + 1) % cluster.num_blocks(), before = (rank() + 3) % cluster.num_blocks();
  if (T == 0) {
    mbarInit(&full, DIM);
    mbarInit(&empty, DIM);
    if (fenced)
      mbarFence();
  }
  __syncwarp();
  if (synced)
    arriveRelaxed(), await();
  else
    __syncthreads();
  int value = in[B * DIM + T];
  for (int step = 0; step < 4; ++step) {
    if (waitsEmpty)
      mbarWait(&empty, step & 1 ^ 1);
    cluster.map_shared_rank(s, next)[T] = value + 1;
    if (arrivesFull || step != 2 || T != 5)
      mbarArrive(&full, next);
    mbarWait(&full, step & 1);
    value = s[T];
    mbarArrive(&empty, before);
  }
  out[B * DIM + T] = value;
  if (ends)
    sync();
}
KERNEL(pipe_ok, 4) { pipe<true, true, true, true, true>(in, out); }
KERNEL(pipe_init_bad, 4) { pipe<false, true, true, true, true>(in, out); }
KERNEL(pipe_unbegun_bad, 4) { pipe<true, false, true, true, true>(in, out); }
KERNEL(pipe_overwrites_bad, 4) { pipe<true, true, false, true, true>(in, out); }
KERNEL(pipe_deadlock_bad, 4) { pipe<true, true, true, false, true>(in, out); }
KERNEL(pipe_leaves_bad, 4) { pipe<true, true, true, true, false>(in, out); }


//===------------------------------ st.async, red.async ------------------------------===//

__device__ void mbarExpect(uint64_t *b, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address(b)), "r"(bytes) : "memory");
}
// Values go round the cluster by st.async; the receiver expects their bytes, and tells when it has read them.
template <int expected, bool waitsEmpty, bool waitsFull, bool here> __device__ void send(const int *in, int *out) {
  __shared__ int s[64];
  __shared__ uint64_t full, empty;
  auto cluster = cg::this_cluster();
  unsigned next = (rank() + 1) % cluster.num_blocks(), before = (rank() + 3) % cluster.num_blocks();
  if (T == 0) {
    mbarInit(&full, 1);
    mbarInit(&empty, DIM);
    mbarFence();
  }
  __syncthreads();
  arriveRelaxed(), await();
  int value = in[B * DIM + T];
  for (int step = 0; step < 4; ++step) {
    if (T == 0)
      mbarExpect(&full, expected);
    if (waitsEmpty)
      mbarWait(&empty, step & 1 ^ 1);
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(
                     mapped(s + T, next)),
                 "r"(value + 1), "r"(here ? address(&full) : mapped(&full, next))
                 : "memory");
    if (waitsFull)
      mbarWait(&full, step & 1);
    value = s[T];
    mbarArrive(&empty, before);
  }
  out[B * DIM + T] = value;
  sync();
}
KERNEL(send_ok, 4) { send<256, true, true, false>(in, out); }
KERNEL(send_bytes_bad, 4) { send<260, true, true, false>(in, out); }
KERNEL(send_unread_bad, 4) { send<256, false, true, false>(in, out); }
KERNEL(send_early_read_bad, 4) { send<256, true, false, false>(in, out); }
KERNEL(send_elsewhere_bad, 4) { send<256, true, false, true>(in, out); }
// Each block adds its numbers to the first one's.
KERNEL(send_add_ok, 4) {
  __shared__ int s[64];
  __shared__ uint64_t full;
  s[T] = 0;
  if (rank() == 0 && T == 0) {
    mbarInit(&full, 1);
    mbarFence();
    mbarExpect(&full, 4 * 4 * 64);
  }
  sync();
  asm volatile("red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.s32 [%0], %1, [%2];" ::"r"(
                   mapped(s + T, 0)),
               "r"(in[B * DIM + T]), "r"(mapped(&full, 0))
               : "memory");
  if (rank() == 0) {
    mbarWait(&full, 0);
    out[B * DIM + T] = s[T];
  }
  sync();
}
KERNEL(remote_wait_bad, 2) {
  __shared__ uint64_t full;
  if (T == 0) {
    mbarInit(&full, DIM);
    mbarFence();
  }
  sync();
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address(&full)) : "memory");
  asm volatile("{ .reg .pred p; .reg .b64 a; cvt.u64.u32 a, %0; cvta.shared::cluster.u64 a, a;\n"
               "mbarrier.test_wait.parity.b64 p, [a], 0; }" ::"r"(mapped(&full, rank() ^ 1))
               : "memory");
  sync();
  out[B * DIM + T] = 0;
}
