// A persistent kernel over tiles in the shape that Hopper kernels have: one warp loads by TMA into a ring of slots,
// four others compute and store by TMA. tma.ptx is made by
//   nvcc -ptx -arch=compute_90a -lineinfo tma.cu
#include <cstdint>

struct alignas(64) TensorMap {
  char bytes[128];
};

constexpr int kRows = 32, kStages = 3, kTileBytes = 4096; // 32 x 32 floats, swizzled by 128 bytes

__device__ uint32_t at(const void *p) { return uint32_t(__cvta_generic_to_shared(p)); }
__device__ void init(uint64_t *bar, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at(bar)), "r"(count) : "memory");
}
__device__ void wait(uint64_t *bar, int parity) {
  asm volatile("{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra AGAIN;\n}" ::"r"(at(bar)),
               "r"(parity)
               : "memory");
}
__device__ void arrive(uint64_t *bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at(bar)) : "memory");
}

extern "C" __global__ __launch_bounds__(160) void scaleTiles(const __grid_constant__ TensorMap from,
                                                            const __grid_constant__ TensorMap to, int tilesAcross, int tiles,
                                                            float factor) {
  extern __shared__ __align__(1024) char smem[];
  __shared__ uint64_t full[kStages], empty[kStages];
  int t = threadIdx.x;
  if (t == 0) {
    for (int s = 0; s < kStages; ++s) {
      init(&full[s], 1);
      init(&empty[s], 128);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (t >= 128) {
    if (t != 128)
      return;
    int k = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, ++k) {
      int s = k % kStages, parity = k / kStages & 1;
      wait(&empty[s], parity ^ 1);
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at(&full[s])), "r"(kTileBytes) : "memory");
      asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                       at(smem + s * kTileBytes)),
                   "l"(&from), "r"(tile % tilesAcross * 32), "r"(tile / tilesAcross * kRows), "r"(at(&full[s]))
                   : "memory");
    }
    return;
  }
  int row = t / 4, chunk = t % 4 * 2, k = 0;
  int place0 = row * 128 + ((chunk ^ (row & 7)) << 4), place1 = row * 128 + (((chunk + 1) ^ (row & 7)) << 4);
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, ++k) {
    int s = k % kStages, parity = k / kStages & 1;
    wait(&full[s], parity);
    const char *slot = smem + s * kTileBytes;
    float4 a = *reinterpret_cast<const float4 *>(slot + place0), b = *reinterpret_cast<const float4 *>(slot + place1);
    arrive(&empty[s]);
    char *out = smem + (kStages + (k & 1)) * kTileBytes;
    if (t == 0) // the store before the last one has read its slot
      asm volatile("cp.async.bulk.wait_group.read 1;" ::: "memory");
    asm volatile("bar.sync 1, 128;" ::: "memory");
    *reinterpret_cast<float4 *>(out + place0) = make_float4(a.x * factor, a.y * factor, a.z * factor, a.w * factor);
    *reinterpret_cast<float4 *>(out + place1) = make_float4(b.x * factor, b.y * factor, b.z * factor, b.w * factor);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    asm volatile("bar.sync 1, 128;" ::: "memory");
    if (t == 0) {
      asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&to),
                   "r"(tile % tilesAcross * 32), "r"(tile / tilesAcross * kRows), "r"(at(out))
                   : "memory");
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    }
  }
  if (t == 0)
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}
