// Kernels with a planted fault (bad) and their correct twins (ok), for tests/unit/SimRacesTest.cpp, which runs
// them all with the same arguments; races.ptx is made by
//   nvcc -ptx -arch=sm_80 -lineinfo races.cu && sed -i 's,^\(\t\.file\t[0-9]* "\).*/,\1,' races.ptx
#include <cstdint>

#define KERNEL(name) extern "C" __global__ void name(const int *in, int *out, int *aux, int n)
#define T threadIdx.x
#define B blockIdx.x
#define DIM blockDim.x

//===------------------------------ blocks ------------------------------===//

// The last block to finish adds up what all left.
template <bool fence> __device__ void lastBlock(const int *in, int *out, int *aux) {
  __shared__ int s[256];
  __shared__ bool last;
  s[T] = in[B * DIM + T];
  __syncthreads();
  for (int d = DIM / 2; d; d /= 2) {
    if (T < d)
      s[T] += s[T + d];
    __syncthreads();
  }
  if (T == 0) {
    aux[1 + B] = s[0];
    if (fence)
      __threadfence();
    last = atomicAdd(&aux[0], 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && T == 0) {
    int sum = 0;
    for (int b = 0; b < gridDim.x; ++b)
      sum += aux[1 + b];
    out[0] = sum;
  }
}
KERNEL(last_block_ok) { lastBlock<true>(in, out, aux); }
KERNEL(last_block_bad) { lastBlock<false>(in, out, aux); }

// All threads write, all fence, one counts behind the barrier.
KERNEL(last_block_all_ok) {
  __shared__ bool last;
  aux[64 + B * DIM + T] = in[B * DIM + T] * 2;
  __threadfence();
  __syncthreads();
  if (T == 0)
    last = atomicInc((unsigned *)&aux[0], gridDim.x) == gridDim.x - 1;
  __syncthreads();
  if (last)
    for (int b = 0; b < gridDim.x; ++b)
      out[b * DIM + T] = aux[64 + b * DIM + DIM - 1 - T];
}

// Block 0 hands data to all others by a flag.
template <bool producer, bool consumer> __device__ void flag(const int *in, int *out, int *aux) {
  volatile int *ready = aux;
  if (B == 0) {
    aux[64 + T] = in[T] + 1;
    __syncthreads();
    if (T == 0) {
      if (producer)
        __threadfence();
      *ready = 1;
    }
  } else {
    if (T == 0) {
      while (!*ready) {
      }
      if (consumer)
        __threadfence();
      out[B] = aux[64 + B];
    }
    __syncthreads();
  }
}
KERNEL(flag_ok) { flag<true, true>(in, out, aux); }
KERNEL(flag_producer_bad) { flag<false, true>(in, out, aux); }
KERNEL(flag_consumer_bad) { flag<true, false>(in, out, aux); }

// The same by release and acquire; the data is read by other threads behind the barrier.
template <bool release> __device__ void acquire(const int *in, int *out, int *aux) {
  if (B == gridDim.x - 1) {
    aux[64 + T] = in[T] + 1;
    __syncthreads();
    if (T == 0) {
      if (release)
        asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(aux), "r"(1) : "memory");
      else
        asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(aux), "r"(1) : "memory");
    }
  } else {
    if (T == 0) {
      int got;
      do
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(got) : "l"(aux) : "memory");
      while (!got);
    }
    __syncthreads();
    out[B * DIM + T] = aux[64 + T];
  }
}
KERNEL(acquire_ok) { acquire<true>(in, out, aux); }
KERNEL(acquire_bad) { acquire<false>(in, out, aux); }

// Inclusive scan over blocks with look-back: aggregates and prefixes behind flags.
template <bool fence> __device__ void lookBack(const int *in, int *out, int *aux) {
  __shared__ int s[256], before, ticket;
  volatile int *status = aux + 64;
  if (T == 0)
    ticket = atomicAdd(&aux[0], 1);
  __syncthreads();
  int tile = ticket, i = tile * DIM + T;
  s[T] = in[i];
  __syncthreads();
  for (int d = 1; d < DIM; d *= 2) {
    int v = T >= d ? s[T - d] : 0;
    __syncthreads();
    s[T] += v;
    __syncthreads();
  }
  if (T == 0) {
    int sum = s[DIM - 1];
    aux[128 + tile] = sum; // aggregate
    if (fence)
      __threadfence();
    status[tile] = 1;
    int prefix = 0;
    for (int b = tile - 1; b >= 0;) {
      int got = status[b];
      if (!got)
        continue;
      __threadfence();
      if (got == 2) {
        prefix += aux[192 + b];
        break;
      }
      prefix += aux[128 + b];
      --b;
    }
    aux[192 + tile] = prefix + sum;
    __threadfence();
    status[tile] = 2;
    before = prefix;
  }
  __syncthreads();
  out[i] = before + s[T];
}
KERNEL(look_back_ok) { lookBack<true>(in, out, aux); }
KERNEL(look_back_bad) { lookBack<false>(in, out, aux); }

// Status and value in one 64-bit word need no fence.
KERNEL(look_back_packed_ok) {
  volatile unsigned long long *status = (unsigned long long *)(aux + 64);
  if (T == 0) {
    unsigned long long sum = in[B];
    if (B > 0) {
      unsigned long long got;
      do
        got = status[B - 1];
      while (!(got >> 32));
      sum += (unsigned)got;
    }
    status[B] = 1ull << 32 | sum;
    out[B] = int(sum);
  }
}

// All blocks wait for each other between two phases.
template <bool barrier> __device__ void gridBarrier(const int *in, int *out, int *aux) {
  aux[64 + B * DIM + T] = in[B * DIM + T];
  if (barrier) {
    __syncthreads();
    if (T == 0) {
      __threadfence();
      atomicAdd(&aux[0], 1);
      while (atomicAdd(&aux[0], 0) < gridDim.x) {
      }
      __threadfence();
    }
    __syncthreads();
  }
  int other = (B + 1) % gridDim.x;
  out[B * DIM + T] = aux[64 + other * DIM + T];
}
KERNEL(grid_barrier_ok) { gridBarrier<true>(in, out, aux); }
KERNEL(grid_barrier_bad) { gridBarrier<false>(in, out, aux); }

// A lock around a plain counter, taken by a thread of each block.
template <bool lock, bool fence> __device__ void locked(int *aux) {
  if (T != 0)
    return;
  if (lock)
    while (atomicCAS(&aux[0], 0, 1) != 0) {
    }
  if (fence)
    __threadfence();
  aux[64] += 1;
  if (fence)
    __threadfence();
  if (lock)
    atomicExch(&aux[0], 0);
}
KERNEL(lock_ok) { locked<true, true>(aux); }
KERNEL(lock_fence_bad) { locked<true, false>(aux); }
KERNEL(lock_none_bad) { locked<false, true>(aux); }

// The same by every thread: lanes of a warp hold it one after the other.
KERNEL(lock_lanes_ok) {
  bool done = false;
  while (!done) {
    if (atomicCAS(&aux[0], 0, 1) == 0) {
      __threadfence();
      aux[64] += 1;
      __threadfence();
      atomicExch(&aux[0], 0);
      done = true;
    }
  }
}
// As it is often written: some lanes spin while one of them has the lock.
KERNEL(lock_spin_ok) {
  while (atomicCAS(&aux[0], 0, 1) != 0) {
  }
  __threadfence();
  aux[64] += 1;
  __threadfence();
  atomicExch(&aux[0], 0);
}

// Neighbours of other blocks, in place or not.
KERNEL(stencil_ok) {
  int i = B * DIM + T;
  out[i] = in[i] + (i + 1 < n ? in[i + 1] : 0);
}
KERNEL(stencil_bad) { // reads to the right what the next block writes
  int i = B * DIM + T;
  int v = aux[64 + i] + aux[64 + (i + 1) % n];
  __syncthreads();
  aux[64 + i] = v;
}

// Tiles that overlap by one element.
KERNEL(tiles_ok) { out[B * DIM + T] = int(B + T); }
KERNEL(tiles_bad) { out[B * (DIM - 1) + T] = int(B * 7 + T); }

KERNEL(total_ok) { atomicAdd(&out[0], in[B * DIM + T]); }
KERNEL(total_bad) {
  if (T == 0)
    out[0] += in[B];
}

// Every block says the same.
KERNEL(found_ok) {
  if (in[B * DIM + T] >= 0)
    out[0] = 1;
}

// Tiles handed out one by one.
template <bool second> __device__ void tickets(const int *in, int *out, int *aux, int n) {
  __shared__ int tile;
  for (;;) {
    if (T == 0)
      tile = atomicAdd(&aux[0], int(DIM));
    __syncthreads();
    int i = tile + int(T);
    if (tile >= n)
      return;
    out[i] = in[i] * 3;
    if (second)
      __syncthreads();
  }
}
KERNEL(tickets_ok) { tickets<true>(in, out, aux, n); }
KERNEL(tickets_bad) { tickets<false>(in, out, aux, n); }

// Places of an output taken by an atomic.
KERNEL(compact_ok) {
  int v = in[B * DIM + T];
  if (v & 1)
    out[atomicAdd(&aux[0], 1)] = v;
}

// Looks before it takes part in an atomic minimum.
KERNEL(guess_ok) {
  int v = in[B * DIM + T];
  if (out[0] > v)
    atomicMin(&out[0], v);
}

//===------------------------------ one block ------------------------------===//

template <bool sync> __device__ void scratch(const int *in, int *out, int *aux) {
  int *mine = aux + B * DIM;
  mine[T] = in[B * DIM + T];
  if (sync)
    __syncthreads();
  out[B * DIM + T] = mine[DIM - 1 - T];
}
KERNEL(scratch_ok) { scratch<true>(in, out, aux); }
KERNEL(scratch_bad) { scratch<false>(in, out, aux); }

// Through 16-bit and 8-bit elements.
template <class E, bool sync> __device__ void narrow(const int *in, int *out, int *aux) {
  E *mine = (E *)(aux + B * DIM);
  __shared__ E s[256];
  mine[T] = E(in[T]);
  s[T] = E(in[T] + 1);
  if (sync)
    __syncthreads();
  out[B * DIM + T] = mine[DIM - 1 - T] + s[T ^ 33];
}
KERNEL(short_ok) { narrow<short, true>(in, out, aux); }
KERNEL(short_bad) { narrow<short, false>(in, out, aux); }
KERNEL(char_ok) { narrow<unsigned char, true>(in, out, aux); }
KERNEL(char_bad) { narrow<unsigned char, false>(in, out, aux); }

template <bool sync> __device__ void histogram(const int *in, int *out) {
  __shared__ int s[64];
  if (T < 64)
    s[T] = 0;
  __syncthreads();
  atomicAdd(&s[in[B * DIM + T] & 63], 1);
  if (sync)
    __syncthreads();
  if (T < 64)
    atomicAdd(&out[T], s[T]);
}
KERNEL(histogram_ok) { histogram<true>(in, out); }
KERNEL(histogram_bad) { histogram<false>(in, out); }
KERNEL(histogram_plain_bad) {
  __shared__ int s[64];
  if (T < 64)
    s[T] = 0;
  __syncthreads();
  s[in[B * DIM + T] & 63] += 1;
  __syncthreads();
  if (T < 64)
    atomicAdd(&out[T], s[T]);
}

template <bool sync> __device__ void reduce(const int *in, int *out) {
  __shared__ int s[256];
  s[T] = in[B * DIM + T];
  __syncthreads();
  for (int d = DIM / 2; d; d /= 2) {
    if (T < d)
      s[T] += s[T + d];
    if (sync)
      __syncthreads();
  }
  if (T == 0)
    out[B] = s[0];
}
KERNEL(reduce_ok) { reduce<true>(in, out); }
KERNEL(reduce_bad) { reduce<false>(in, out); }

// The tail of a reduction in one warp: by volatile, as before Volta; with and without __syncwarp.
KERNEL(reduce_volatile_ok) {
  __shared__ int s[64];
  s[T] = in[B * DIM + T];
  s[T + 32] = 0;
  __syncthreads();
  volatile int *v = s;
  for (int d = 32; d; d /= 2)
    if (T < 32)
      v[T] += v[T + d];
  if (T == 0)
    out[B] = v[0];
}
template <bool sync> __device__ void reduceWarp(const int *in, int *out) {
  __shared__ int s[64];
  s[T] = in[B * DIM + T];
  s[T + 32] = 0;
  __syncthreads();
  for (int d = 16; d; d /= 2) {
    int v = s[T + d];
    if (sync)
      __syncwarp();
    s[T] += v;
    if (sync)
      __syncwarp();
  }
  if (T == 0)
    out[B] = s[0];
}
KERNEL(reduce_warp_ok) { reduceWarp<true>(in, out); }
KERNEL(reduce_warp_bad) { reduceWarp<false>(in, out); }

// Lanes of a warp exchange through shared and through global memory.
template <bool sync> __device__ void exchange(const int *in, int *out, int *aux) {
  __shared__ int s[256];
  s[T] = in[B * DIM + T];
  aux[B * DIM + T] = in[B * DIM + T];
  if (sync)
    __syncwarp();
  out[B * DIM + T] = s[T ^ 1];
  out[B * DIM + T] += aux[B * DIM + (T ^ 2)];
}
KERNEL(exchange_ok) { exchange<true>(in, out, aux); }
KERNEL(exchange_bad) { exchange<false>(in, out, aux); }
// A shuffle brings the lanes together as well.
KERNEL(exchange_shuffle_ok) {
  __shared__ int s[256];
  s[T] = in[B * DIM + T];
  int other = __shfl_xor_sync(~0u, in[B * DIM + T], 1);
  out[B * DIM + T] = s[T ^ 1] - other;
}
// Lanes that took different ways.
template <bool sync> __device__ void ways(const int *in, int *out) {
  __shared__ int s[32];
  if (T < 16)
    s[T] = in[T];
  else
    s[T] = in[T] * 2;
  if (sync)
    __syncwarp();
  out[T] = s[31 - T];
}
KERNEL(ways_ok) { ways<true>(in, out); }
KERNEL(ways_bad) { ways<false>(in, out); }

// One instruction, one address: the same value, and different ones.
KERNEL(one_word_ok) { out[B] = in[B]; }
KERNEL(one_word_bad) { out[B] = in[T]; }
KERNEL(one_shared_ok) {
  __shared__ int s;
  s = in[B];
  __syncthreads();
  out[B * DIM + T] = s;
}
KERNEL(one_shared_bad) {
  __shared__ int s;
  s = in[T & 31];
  __syncthreads();
  out[B * DIM + T] = s;
}

// Atomics on global memory, then a plain look at the sum.
template <bool sync> __device__ void sum(const int *in, int *out, int *aux) {
  atomicAdd(&aux[B], in[B * DIM + T]);
  if (sync)
    __syncthreads();
  if (T == 0)
    out[B] = aux[B];
}
KERNEL(sum_ok) { sum<true>(in, out, aux); }
KERNEL(sum_bad) { sum<false>(in, out, aux); }

// A value for all threads of the block, and the loop around it.
template <bool sync> __device__ void broadcast(const int *in, int *out) {
  __shared__ int s;
  int sum = 0;
  for (int k = 0; k < 4; ++k) {
    if (T == 0)
      s = in[k];
    __syncthreads();
    sum += s;
    if (sync)
      __syncthreads();
  }
  out[B * DIM + T] = sum;
}
KERNEL(broadcast_ok) { broadcast<true>(in, out); }
KERNEL(broadcast_bad) { broadcast<false>(in, out); }

// Asynchronous copies into a ring of two slots; `keep`: groups that the wait leaves in flight.
template <int keep, bool barrier, bool commitFirst> __device__ void ring(const int *in, int *out, int n) {
  __shared__ __align__(16) int s[2][256 * 4];
  int sum = 0;
  auto copy = [&](int k) {
    unsigned to = unsigned(__cvta_generic_to_shared(&s[k & 1][T * 4]));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(in + (k * DIM + T) * 4 % n) : "memory");
  };
  if (commitFirst)
    asm volatile("cp.async.commit_group;" ::: "memory");
  copy(0);
  if (!commitFirst)
    asm volatile("cp.async.commit_group;" ::: "memory");
  for (int k = 0; k < 4; ++k) {
    copy(k + 1);
    asm volatile("cp.async.commit_group;" ::: "memory");
    asm volatile("cp.async.wait_group %0;" ::"n"(keep) : "memory");
    if (barrier)
      __syncthreads();
    sum += s[k & 1][(T ^ 32) * 4 + 1];
    __syncthreads();
  }
  asm volatile("cp.async.wait_all;" ::: "memory");
  out[B * DIM + T] = sum;
}
KERNEL(ring_ok) { ring<1, true, false>(in, out, n); }
KERNEL(ring_wait_bad) { ring<2, true, false>(in, out, n); }
KERNEL(ring_barrier_bad) { ring<1, false, false>(in, out, n); }
KERNEL(ring_commit_bad) { ring<1, true, true>(in, out, n); }
// Lanes read what other lanes of their warp copied.
template <bool sync> __device__ void copied(const int *in, int *out) {
  __shared__ __align__(16) int s[256 * 4];
  unsigned to = unsigned(__cvta_generic_to_shared(&s[T * 4]));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(in + T * 4) : "memory");
  asm volatile("cp.async.wait_all;" ::: "memory");
  if (sync)
    __syncwarp();
  out[B * DIM + T] = s[(T ^ 1) * 4 + 2];
}
KERNEL(copied_ok) { copied<true>(in, out); }
KERNEL(copied_bad) { copied<false>(in, out); }

//===------------------------------ other faults ------------------------------===//

KERNEL(bounds_ok) {
  int i = B * DIM + T;
  if (i < n)
    out[i] = in[i];
}
KERNEL(bounds_bad) {
  int i = B * DIM + T;
  if (i <= n - 1)
    out[i] = in[i + 1];
}
KERNEL(bounds_shared_bad) {
  extern __shared__ int d[];
  d[T] = in[T];
  d[T + 1] = in[T];
  __syncthreads();
  out[B * DIM + T] = d[T];
}
KERNEL(aligned_ok) { ((int4 *)out)[B * DIM / 4 + T / 4] = ((const int4 *)in)[T / 4]; }
KERNEL(aligned_bad) {
  if (T == 0)
    *(int4 *)out = *(const int4 *)(in + 1);
}
KERNEL(unset_ok) {
  __shared__ int s[257];
  s[T] = in[T];
  if (T == 0)
    s[DIM] = 0;
  __syncthreads();
  out[B * DIM + T] = s[T + 1];
}
KERNEL(unset_bad) {
  __shared__ int s[257];
  s[T] = in[T];
  __syncthreads();
  out[B * DIM + T] = s[T + 1];
}
KERNEL(unset_global_bad) { out[B * DIM + T] = out[B * DIM + T] + 1; }
KERNEL(divergent_ok) {
  __shared__ int s[256];
  if (T < 20)
    s[T] = in[T];
  __syncthreads();
  if (T < 20)
    out[B * DIM + T] = s[19 - T];
}
KERNEL(divergent_bad) {
  __shared__ int s[256];
  if (T < 20) {
    s[T] = in[T];
    __syncthreads();
    out[B * DIM + T] = s[19 - T];
  }
}
KERNEL(deadlock_bad) {
  if (T < 32)
    asm volatile("bar.sync 1, 64;" ::: "memory");
  else
    asm volatile("bar.sync 2, 64;" ::: "memory");
  out[B * DIM + T] = 1;
}
KERNEL(endless_bad) {
  volatile int *v = aux;
  while (*v == 0) {
  }
  out[B * DIM + T] = 1;
}
KERNEL(no_way_out_bad) {
  for (int i = 0;; ++i)
    *(volatile int *)&out[B * DIM + T] = i;
}
// A compare-and-swap around an operation that has no atomic of its own begins with a guess.
KERNEL(guess_swap_ok) {
  __shared__ int s;
  if (T == 0)
    s = 0;
  __syncthreads();
  for (int *p : {&s, &aux[0]}) {
    int old = *p, seen;
    do {
      seen = old;
      old = atomicCAS(p, seen, max(seen, in[B * DIM + T]));
    } while (old != seen);
  }
  __syncthreads();
  out[B * DIM + T] = s;
}
