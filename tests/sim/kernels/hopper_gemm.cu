// C = A B^T on Hopper: A row-major M x K, B row-major N x K (bf16), C row-major M x N (f32); M, N multiples of 128, K
// of 64. A block makes 128 x 128 with one warpgroup that loads and two that multiply, 64 rows each:
//   copyGemm  the loading warpgroup copies by cp.async and st.shared into the swizzled tiles,
//   tmaGemm   one of its threads issues bulk tensor copies.
// Four stages of a ring, handed over by mbarriers. The hopper_gemm.ptx beside it is made by
//   nvcc -ptx -arch=compute_90a -std=c++17 -lineinfo hopper_gemm.cu
#include <cstdint>

constexpr int kStages = 4, kTile = 128, kK = 64, kTileBytes = kTile * kK * 2;

struct __align__(64) TensorMap {
  uint64_t opaque[16];
};

static __device__ __forceinline__ uint32_t shared(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
static __device__ __forceinline__ void init(uint32_t bar, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count));
}
static __device__ __forceinline__ void arrive(uint32_t bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}
static __device__ __forceinline__ void expect(uint32_t bar, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
static __device__ __forceinline__ void waitFor(uint32_t bar, uint32_t parity) {
  asm volatile("{\n.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra WAIT;\n}" ::"r"(bar),
               "r"(parity)
               : "memory");
}
static __device__ __forceinline__ void load(uint32_t to, const TensorMap *map, uint32_t bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                   to),
               "l"(map), "r"(x), "r"(y), "r"(bar)
               : "memory");
}

#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D16(i) D4(i), D4(i + 4), D4(i + 8), D4(i + 12)
static __device__ __forceinline__ void multiply(float (&d)[64], uint64_t a, uint64_t b, int accumulate) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
               "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, "
               "%33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, "
               "%54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, p, 1, 1, 0, 0;\n}"
               : D16(0), D16(16), D16(32), D16(48)
               : "l"(a), "l"(b), "r"(accumulate));
}
/// Rows of 128 bytes, swizzled over 1024.
static __device__ __forceinline__ uint64_t descriptor(uint32_t address) {
  return (uint64_t)((address & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

struct Ring {
  uint32_t tiles, full, empty;
  __device__ uint32_t a(int s) const { return tiles + s * 2 * kTileBytes; }
  __device__ uint32_t b(int s) const { return a(s) + kTileBytes; }
  __device__ uint32_t isFull(int s) const { return full + 8 * s; }
  __device__ uint32_t isEmpty(int s) const { return empty + 8 * s; }
};

static __device__ __forceinline__ Ring makeRing(uint8_t *tiles, uint64_t *bars, int producers) {
  Ring r{shared(tiles), shared(bars), shared(bars + kStages)};
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      init(r.isFull(s), producers);
      init(r.isEmpty(s), 2);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  return r;
}

/// 64 rows of the tile by one warpgroup.
static __device__ __forceinline__ void consume(const Ring &r, float *c, int n, int steps) {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
  int t = threadIdx.x - 128, group = t / 128;
  float d[64];
#pragma unroll 1
  for (int k = 0; k < steps; ++k) {
    int s = k % kStages;
    waitFor(r.isFull(s), k / kStages & 1);
    uint64_t a = descriptor(r.a(s) + group * 64 * 128), b = descriptor(r.b(s));
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int j = 0; j < kK / 16; ++j)
      multiply(d, a + 2 * j, b + 2 * j, k + j > 0);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    if (k > 0) { // the products of the step before have ended
      asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
      if (t % 128 == 0)
        arrive(r.isEmpty((k - 1) % kStages));
    }
  }
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  int warp = t / 32, lane = t % 32, row = blockIdx.y * kTile + warp * 16 + lane / 4;
  float *out = c + (size_t)row * n + blockIdx.x * kTile + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < 16; ++j) {
    *(float2 *)(out + 8 * j) = make_float2(d[4 * j], d[4 * j + 1]);
    *(float2 *)(out + (size_t)8 * n + 8 * j) = make_float2(d[4 * j + 2], d[4 * j + 3]);
  }
}

extern "C" __global__ void __launch_bounds__(384, 1) copyGemm(const uint16_t *a, const uint16_t *b, float *c, int n, int k) {
  extern __shared__ __align__(1024) uint8_t tiles[];
  __shared__ __align__(8) uint64_t bars[2 * kStages];
  Ring r = makeRing(tiles, bars, 128);
  int steps = k / kK;
  if (threadIdx.x >= 128)
    return consume(r, c, n, steps);
  asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
    int s = i % kStages;
    if (i >= kStages)
      waitFor(r.isEmpty(s), i / kStages + 1 & 1);
    for (int chunk = threadIdx.x; chunk < kTile * 8; chunk += 128) { // 16 bytes each
      int row = chunk / 8, at = chunk % 8, to = row * 128 + (at ^ row % 8) * 16;
      const uint16_t *from = a + (size_t)(blockIdx.y * kTile + row) * k + i * kK + at * 8;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(r.a(s) + to), "l"(from) : "memory");
      uint4 v = *(const uint4 *)(b + (size_t)(blockIdx.x * kTile + row) * k + i * kK + at * 8);
      asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(r.b(s) + to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                   : "memory");
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    arrive(r.isFull(s));
  }
}

extern "C" __global__ void __launch_bounds__(384, 1) tmaGemm(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                                                 float *c, int n, int k) {
  extern __shared__ __align__(1024) uint8_t tiles[];
  __shared__ __align__(8) uint64_t bars[2 * kStages];
  Ring r = makeRing(tiles, bars, 1);
  int steps = k / kK;
  if (threadIdx.x >= 128)
    return consume(r, c, n, steps);
  asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
  if (threadIdx.x != 0)
    return;
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
    int s = i % kStages;
    waitFor(r.isEmpty(s), i / kStages + 1 & 1); // the first turn passes at once
    expect(r.isFull(s), 2 * kTileBytes);
    load(r.a(s), &a, r.isFull(s), i * kK, blockIdx.y * kTile);
    load(r.b(s), &b, r.isFull(s), i * kK, blockIdx.x * kTile);
  }
}
