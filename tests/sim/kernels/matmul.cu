// C = A B with mma.sync, ldmatrix and cp.async in two stages; A row-major M x K, B row-major K x N (bf16), C f32.
// A block of 4 warps makes 64 x 64; the matmul.ptx beside it is made by  nvcc -ptx -arch=sm_80 -lineinfo matmul.cu
#include <cstdint>

static __device__ unsigned smem(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

extern "C" __global__ void __launch_bounds__(128) matmul(const uint16_t *a, const uint16_t *b, float *c, int m, int n, int k) {
  __shared__ __align__(16) uint16_t sa[2][64 * 40], sb[2][32 * 72]; // padded rows
  int t = threadIdx.x, lane = t % 32, warp = t / 32;
  int row0 = blockIdx.y * 64, col0 = blockIdx.x * 64;
  auto fetch = [&](int stage, int k0) {
    for (int i = t; i < 64 * 4; i += 128) { // A: 64 rows of 4 chunks
      int r = i / 4, ch = i % 4;
      int bytes = row0 + r < m && k0 + ch * 8 < k ? 16 : 0;
      const uint16_t *src = a + (size_t)(bytes ? row0 + r : 0) * k + (bytes ? k0 + ch * 8 : 0);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem(&sa[stage][r * 40 + ch * 8])), "l"(src), "r"(bytes));
    }
    for (int i = t; i < 32 * 8; i += 128) { // B: 32 rows of 8 chunks
      int r = i / 8, ch = i % 8;
      int bytes = k0 + r < k && col0 + ch * 8 < n ? 16 : 0;
      const uint16_t *src = b + (size_t)(bytes ? k0 + r : 0) * n + (bytes ? col0 + ch * 8 : 0);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem(&sb[stage][r * 72 + ch * 8])), "l"(src), "r"(bytes));
    }
    asm volatile("cp.async.commit_group;");
  };
  float acc[8][4] = {};
  fetch(0, 0);
  int steps = (k + 31) / 32;
  for (int s = 0; s < steps; ++s) {
    if (s + 1 < steps)
      fetch((s + 1) & 1, (s + 1) * 32);
    else
      asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.wait_group 1;" ::: "memory");
    __syncthreads();
    for (int kk = 0; kk < 2; ++kk) {
      unsigned af[4];
      unsigned at = smem(&sa[s & 1][(warp * 16 + lane % 16) * 40 + kk * 16 + lane / 16 * 8]);
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(af[0]), "=r"(af[1]), "=r"(af[2]), "=r"(af[3]) : "r"(at));
      for (int j = 0; j < 8; j += 2) {
        unsigned bf[4];
        unsigned bt = smem(&sb[s & 1][(kk * 16 + lane % 16) * 72 + j * 8 + lane / 16 * 8]);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(bf[0]), "=r"(bf[1]), "=r"(bf[2]), "=r"(bf[3]) : "r"(bt));
        for (int h = 0; h < 2; ++h)
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                       : "+f"(acc[j + h][0]), "+f"(acc[j + h][1]), "+f"(acc[j + h][2]), "+f"(acc[j + h][3])
                       : "r"(af[0]), "r"(af[1]), "r"(af[2]), "r"(af[3]), "r"(bf[2 * h]), "r"(bf[2 * h + 1]));
      }
    }
    __syncthreads();
  }
  for (int j = 0; j < 8; ++j)
    for (int h = 0; h < 4; ++h) {
      int r = row0 + warp * 16 + lane / 4 + h / 2 * 8, col = col0 + j * 8 + lane % 4 * 2 + h % 2;
      if (r < m && col < n)
        c[(size_t)r * n + col] = acc[j][h];
    }
}
