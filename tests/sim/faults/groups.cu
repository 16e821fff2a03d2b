// Groups of lanes, orders of blocks, copies in flight: kernels with a planted fault (bad) and their correct twins
// (ok), for tests/unit/SimGroupsTest.cpp, which runs them all with the same arguments; groups.ptx is made by
//   nvcc -ptx -arch=compute_80 -std=c++17 -lineinfo groups.cu && sed -i 's,^\(\t\.file\t[0-9]* "\).*/,\1,' groups.ptx
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cstdint>

namespace cg = cooperative_groups;

#define KERNEL(name) extern "C" __global__ void name(const int *in, int *out, int *aux, int n)
#define T threadIdx.x
#define B blockIdx.x
#define DIM blockDim.x
#define I (B * DIM + T)

//===------------------------------ member masks ------------------------------===//

// Lanes with equal keys reduce, vote and match among themselves, all by the same instructions.
KERNEL(by_key_ok) {
  unsigned members = __match_any_sync(~0u, in[I] & 3);
  int sum = __reduce_add_sync(members, in[I]);
  unsigned large = __ballot_sync(members, in[I] > 50);
  bool any = __any_sync(members, in[I] > 95), all = __all_sync(members, in[I] > 3);
  int first = __shfl_sync(members, in[I], __ffs(members) - 1);
  out[I] = sum + 1000 * __popc(large) + 100000 * (any + 2 * all) + 1000000 * first;
}
KERNEL(two_halves_ok) {
  unsigned members = T % 32 < 16 ? 0xffffu : 0xffff0000u;
  int most = __reduce_max_sync(members, in[I]);
  out[I] = most + 1000 * __popc(__match_any_sync(members, in[I] & 1));
}
KERNEL(labeled_ok) {
  auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  auto group = cg::labeled_partition(warp, in[I] & 3);
  out[I] = cg::reduce(group, in[I], cg::plus<int>());
}
// A group of which a lane comes later goes on later; the others do not wait for it.
KERNEL(late_lane_ok) {
  unsigned members = T % 32 < 16 ? 0xffffu : 0xffff0000u;
  int sum = 0;
  if (T % 32 == 31)
    for (int k = 0; k < in[I] % 7; ++k)
      sum += in[I + k];
  sum += __reduce_add_sync(members, in[I]);
  out[I] = T % 32 == 31 ? 0 : sum;
}
// What lanes write for each other is ordered for those that meet.
template <unsigned low, unsigned high, bool shuffles> __device__ void exchange(const int *in, int *out) {
  __shared__ int s[256];
  s[T] = in[I];
  int v = 0;
  unsigned members = T % 32 < 16 ? low : high;
  if (shuffles)
    v = __shfl_xor_sync(members, T, 1) * 0;
  else
    __syncwarp(members);
  out[I] = s[T ^ 16] + v;
}
KERNEL(exchange_ok) { exchange<~0u, ~0u, false>(in, out); }
KERNEL(exchange_shuffle_ok) { exchange<~0u, ~0u, true>(in, out); }
KERNEL(exchange_halves_bad) { exchange<0xffff, 0xffff0000, false>(in, out); }
KERNEL(exchange_shuffle_bad) { exchange<0xffff, 0xffff0000, true>(in, out); }
template <unsigned distance> __device__ void near(const int *in, int *out) {
  __shared__ int s[256];
  s[T] = in[I];
  __syncwarp(0xffu << (T % 32 / 8 * 8));
  out[I] = s[T ^ distance];
}
KERNEL(quarters_ok) { near<5>(in, out); }
KERNEL(quarters_bad) { near<8>(in, out); }
// Half of the lanes leave; the others meet, and read what those wrote.
template <bool met> __device__ void halfWarp(const int *in, int *out) {
  __shared__ int s[256];
  s[T] = in[I];
  out[I] = 0;
  if (met)
    __syncwarp();
  if (T % 32 < 16) {
    __syncwarp(0xffff);
    out[I] = s[T + 16];
  }
}
KERNEL(half_ok) { halfWarp<true>(in, out); }
KERNEL(half_bad) { halfWarp<false>(in, out); }
// By way of a lane that is in both groups.
template <bool chained> __device__ void chain(const int *in, int *out) {
  __shared__ int s[256];
  out[I] = 0;
  if (T % 32 == 0)
    s[T] = in[I];
  if (T % 32 <= 8)
    __syncwarp(0x1ff);
  if (T % 32 >= (chained ? 8 : 9))
    __syncwarp(chained ? 0xffffff00u : 0xfffffe00u);
  if (T % 32 == 31)
    out[I] = s[T - 31];
}
KERNEL(chain_ok) { chain<true>(in, out); }
KERNEL(chain_bad) { chain<false>(in, out); }
KERNEL(names_others_bad) { out[I] = __reduce_add_sync(T % 32 < 16 ? 0xffffu : 0xffffffffu, in[I]); }
KERNEL(not_itself_bad) { out[I] = __reduce_add_sync(T % 32 < 16 ? 0xffffu : 0x7fff0000u, in[I]); }

//===------------------------------ orders of blocks ------------------------------===//

// A grid barrier that waits for `missing` blocks too few.
template <int missing> __device__ void gridBarrier(const int *in, int *out, int *aux) {
  aux[64 + I] = in[I];
  __syncthreads();
  if (T == 0) {
    __threadfence();
    atomicAdd(aux, 1);
    while (*(volatile int *)aux < int(gridDim.x) - missing) {
    }
    __threadfence();
  }
  __syncthreads();
  out[I] = aux[64 + (I + DIM) % (gridDim.x * DIM)];
}
KERNEL(grid_barrier_ok) { gridBarrier<0>(in, out, aux); }
KERNEL(grid_barrier_random_bad) { gridBarrier<1>(in, out, aux); } // not in every order
KERNEL(ticket) {
  if (T == 0)
    out[B] = atomicAdd(aux, 1);
}
// Each block counts on the one before to be there.
KERNEL(in_turn_ok) {
  if (T == 0) {
    while (atomicAdd(aux, 0) < int(B)) {
    }
    out[B] = in[B];
    __threadfence();
    atomicAdd(aux, 1);
  }
}
KERNEL(grid_sync_ok) {
  if (T == 0)
    atomicAdd(aux, 1);
  aux[64 + I] = in[I];
  cg::this_grid().sync();
  out[I] = aux[64 + (I + DIM) % (gridDim.x * DIM)] + 1000 * *(volatile int *)aux;
  cg::this_grid().sync();
  aux[64 + I] = 0;
}

//===------------------------------ copies in flight ------------------------------===//

__device__ void copy4(void *to, const void *from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\ncp.async.commit_group;" ::"r"(
                   (unsigned)__cvta_generic_to_shared(to)),
               "l"(from)
               : "memory");
}
// `count` copies by one statement into a ring of four words, then the first tile is read.
template <int count> __device__ void ring(const int *in, int *out) {
  __shared__ int s[4][64];
#pragma unroll 1
  for (int i = 0; i < count; ++i)
    copy4(&s[i % 4][T], in + i * 64 + T);
  asm volatile("cp.async.wait_group %0;" ::"n"(count - 1) : "memory");
  __syncthreads();
  out[I] = s[0][T ^ 1];
  asm volatile("cp.async.wait_all;" ::: "memory");
}
KERNEL(copies_ok) { ring<4>(in, out); }
KERNEL(copies_overlap_bad) { ring<5>(in, out); }
// Several threads bring the same data to the same place.
KERNEL(copies_same_ok) {
  __shared__ int s[64];
  copy4(&s[T / 2], in + T / 2);
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  out[I] = s[T / 2];
}

//===------------------------------ the read-only path ------------------------------===//

__device__ int readOnly(const int *p) {
  int v;
  asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
KERNEL(read_only_ok) { out[I] = readOnly(in + I) + readOnly(in + (I ^ 1)); }
KERNEL(read_only_same_bad) {
  aux[I] = in[I];
  out[I] = readOnly(aux + I);
}
KERNEL(read_only_block_bad) {
  aux[I] = in[I];
  __syncthreads();
  out[I] = readOnly(aux + (I ^ 33));
}
KERNEL(read_only_bytes_bad) {
  ((char *)aux)[4 * I + 1] = 1;
  __syncthreads();
  out[I] = readOnly(aux + (I ^ 33));
}
KERNEL(read_only_other_ok) { // other words of the same array
  aux[2 * I] = in[I];
  __syncthreads();
  out[I] = readOnly(aux + 2 * (I ^ 33) + 1);
}

//===------------------------------ initialisation ------------------------------===//

// The system's shared memory, where a tile of two warps keeps its state.
KERNEL(wide_tile_ok) {
  auto block = cg::this_thread_block();
  auto tile = cg::tiled_partition<64>(block);
  out[I] = cg::reduce(tile, in[I], cg::plus<int>());
}
