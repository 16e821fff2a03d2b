// What the kernels of this folder are made of: one function an instruction of sm_90a. PTX that the tests keep
// is made of each .cu by
//   nvcc -ptx -arch=compute_90a -std=c++17 -lineinfo X.cu && sed -i 's,^\(\t\.file\t[0-9]* "\).*/,\1,' X.ptx
#pragma once
#include <cstdint>

#define DEVICE static __device__ __forceinline__

struct __align__(64) TensorMap {
  uint64_t opaque[16];
};

DEVICE uint32_t shared(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

//===------------------------------ mbarriers ------------------------------===//

DEVICE void init(uint32_t bar, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory");
}
DEVICE void initFence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void arrive(uint32_t bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}
DEVICE void expect(uint32_t bar, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
DEVICE void waitFor(uint32_t bar, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra WAIT;\n}" ::
          "r"(bar),
      "r"(parity)
      : "memory");
}
/// The same barrier in the block of this rank.
DEVICE void arriveAt(uint32_t bar, uint32_t rank) {
  asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, "
               "%1;\nmbarrier.arrive.release.cluster.shared::cluster.b64 "
               "_, [there];\n}" ::"r"(bar),
               "r"(rank)
               : "memory");
}
/// Waits for arrivals of other blocks, too.
DEVICE void waitForCluster(uint32_t bar, uint32_t parity) {
  asm volatile("{\n.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], "
               "%1;\n@!p bra WAIT;\n}" ::"r"(bar),
               "r"(parity)
               : "memory");
}

//===------------------------------ barriers ------------------------------===//

template <int threads> DEVICE void sync(int name) {
  asm volatile("bar.sync %0, %1;" ::"r"(name), "n"(threads) : "memory");
}
template <int threads> DEVICE void arriveNamed(int name) {
  asm volatile("bar.arrive %0, %1;" ::"r"(name), "n"(threads) : "memory");
}
DEVICE uint32_t rank() {
  uint32_t r;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
DEVICE void clusterSync() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
DEVICE float fromBlock(uint32_t address, uint32_t rank) {
  float v;
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %1, %2;\nld.shared::cluster.f32 %0, [there];\n}"
      : "=f"(v)
      : "r"(address), "r"(rank)
      : "memory");
  return v;
}

//===------------------------------ copies ------------------------------===//

DEVICE void load(uint32_t to, const TensorMap *map, uint32_t bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
               "%3}], [%4];" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(bar)
               : "memory");
}
DEVICE void loadForAll(uint32_t to, const TensorMap *map, uint32_t bar, int x, int y, uint16_t blocks) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
               "cluster [%0], [%1, {%2, "
               "%3}], [%4], %5;" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(bar), "h"(blocks)
               : "memory");
}
DEVICE void store(const TensorMap *map, uint32_t from, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
               "r"(x), "r"(y), "r"(from)
               : "memory");
}
DEVICE void commitStores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int left> DEVICE void storesHaveRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(left) : "memory");
}
DEVICE void storesHaveEnded() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
DEVICE void proxyFence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

//===------------------------------ products ------------------------------===//

DEVICE void fenceRegisters() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int left> DEVICE void products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}
template <int registers> DEVICE void fewer() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers> DEVICE void more() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D32 D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28)
#define LIST32                                                                                               \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "    \
  "%22, %23, %24, %25, %26, "                                                                                \
  "%27, %28, %29, %30, %31}"

/// d += A B^T, 64 x 64 x 16: A and B with k adjacent.
DEVICE void multiply(float (&d)[32], uint64_t a, uint64_t b, int accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " LIST32
      ", %32, %33, p, 1, 1, 0, 0;\n}"
      : D32
      : "l"(a), "l"(b), "r"(accumulate));
}
/// d += A B, 64 x 64 x 16: A in registers, B with its columns adjacent.
DEVICE void multiplyRegisters(float (&d)[32], const uint32_t *a, uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " LIST32
               ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
               : D32
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
/// Rows of 128 bytes, swizzled over 1024.
DEVICE uint64_t descriptor(uint32_t address) {
  return (uint64_t)((address & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
         (uint64_t)1 << 62;
}
