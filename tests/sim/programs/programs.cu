// Ordinary CUDA kernels for the simulator; programs.py runs them and compares with numpy. programs.ptx is what
//   nvcc -std=c++17 -arch=sm_80 -ptx programs.cu
// of CUDA 13.0 printed, for machines without nvcc.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda/barrier>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <mma.h>

namespace cg = cooperative_groups;
using namespace nvcuda;

// Inclusive scan of one block of 256, by warps.
extern "C" __global__ void scan(int *out, const int *in, int n) {
  __shared__ int sums[8];
  int i = threadIdx.x, lane = i & 31, warp = i >> 5;
  int v = i < n ? in[i] : 0;
  for (int d = 1; d < 32; d *= 2) {
    int left = __shfl_up_sync(~0u, v, d);
    if (lane >= d)
      v += left;
  }
  if (lane == 31)
    sums[warp] = v;
  __syncthreads();
  if (warp == 0 && lane < 8) {
    int s = sums[lane];
    for (int d = 1; d < 8; d *= 2) {
      int left = __shfl_up_sync(0xFF, s, d);
      if (lane >= d)
        s += left;
    }
    sums[lane] = s;
  }
  __syncthreads();
  if (warp > 0)
    v += sums[warp - 1];
  if (i < n)
    out[i] = v;
}

// 64 bins, in shared memory first.
extern "C" __global__ void histogram(unsigned *bins, const unsigned char *in, int n) {
  __shared__ unsigned local[64];
  if (threadIdx.x < 64)
    local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[in[i] & 63], 1u);
  __syncthreads();
  if (threadIdx.x < 64 && local[threadIdx.x])
    atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}

// Each thread sorts 24 values in local memory, by insertion: loops of different lengths.
extern "C" __global__ void sort_local(float *data, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  float v[24];
  for (int k = 0; k < 24; ++k)
    v[k] = data[i * 24 + k];
  for (int k = 1; k < 24; ++k) {
    float x = v[k];
    int j = k;
    while (j > 0 && v[j - 1] > x) {
      v[j] = v[j - 1];
      --j;
    }
    v[j] = x;
  }
  for (int k = 0; k < 24; ++k)
    data[i * 24 + k] = v[k];
}

// Bitonic sort of a block's 256 values in shared memory.
extern "C" __global__ void sort_shared(int *data) {
  __shared__ int s[256];
  unsigned i = threadIdx.x;
  s[i] = data[blockIdx.x * 256 + i];
  __syncthreads();
  for (unsigned k = 2; k <= 256; k *= 2)
    for (unsigned j = k / 2; j > 0; j /= 2) {
      unsigned other = i ^ j;
      if (other > i) {
        int a = s[i], b = s[other];
        if ((a > b) == ((i & k) == 0)) {
          s[i] = b;
          s[other] = a;
        }
      }
      __syncthreads();
    }
  data[blockIdx.x * 256 + i] = s[i];
}

// The last block to finish sums the blocks' results: a counter, fences, and order between blocks.
__device__ unsigned finished = 0;
extern "C" __global__ void reduce(double *total, double *partial, const float *in, int n) {
  __shared__ double s[256];
  __shared__ bool last;
  double v = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    v += in[i];
  s[threadIdx.x] = v;
  __syncthreads();
  for (int half = 128; half > 0; half /= 2) {
    if (threadIdx.x < half)
      s[threadIdx.x] += s[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = s[0];
    __threadfence();
    last = atomicInc(&finished, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    __threadfence();
    double sum = 0;
    for (int b = 0; b < gridDim.x; ++b)
      sum += ((volatile double *)partial)[b];
    *total = sum;
  }
}

extern "C" __global__ void transpose(float *out, const float *in, int rows, int columns) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x;
  for (int k = threadIdx.y; k < 32; k += 8) {
    int y = blockIdx.y * 32 + k;
    if (x < columns && y < rows)
      tile[k][threadIdx.x] = in[y * columns + x];
  }
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  for (int k = threadIdx.y; k < 32; k += 8) {
    int y = blockIdx.x * 32 + k;
    if (x < rows && y < columns)
      out[y * rows + x] = tile[threadIdx.x][k];
  }
}

// C = A B by wmma: a warp a tile of 16 x 16.
template <class T> __device__ void wmma_tile(float *c, const T *a, const T *b, int n, int k) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::row_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
  wmma::fill_fragment(fc, 0.0f);
  for (int i = 0; i < k; i += 16) {
    wmma::load_matrix_sync(fa, a + blockIdx.y * 16 * k + i, k);
    wmma::load_matrix_sync(fb, b + i * n + blockIdx.x * 16, n);
    wmma::mma_sync(fc, fa, fb, fc);
  }
  for (int e = 0; e < fc.num_elements; ++e)
    fc.x[e] *= 0.5f;
  wmma::store_matrix_sync(c + blockIdx.y * 16 * n + blockIdx.x * 16, fc, n, wmma::mem_row_major);
}
extern "C" __global__ void matmul_wmma(float *c, const __half *a, const __half *b, int n, int k) {
  wmma_tile(c, a, b, n, k);
}
extern "C" __global__ void matmul_wmma_int8(int *c, const signed char *a, const signed char *b, int n, int k) {
  __shared__ __align__(32) signed char sa[16 * 16];
  wmma::fragment<wmma::matrix_a, 16, 16, 16, signed char, wmma::col_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, signed char, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, int> fc;
  wmma::fill_fragment(fc, 0);
  for (int i = 0; i < k; i += 16) {
    for (int e = threadIdx.x; e < 256; e += 32) // transposed on the way
      sa[e % 16 * 16 + e / 16] = a[(blockIdx.y * 16 + e / 16) * k + i + e % 16];
    __syncwarp();
    wmma::load_matrix_sync(fa, sa, 16);
    wmma::load_matrix_sync(fb, b + blockIdx.x * 16 * k + i, k);
    wmma::mma_sync(fc, fa, fb, fc);
    __syncwarp();
  }
  wmma::store_matrix_sync(c + blockIdx.y * 16 * n + blockIdx.x * 16, fc, n, wmma::mem_row_major);
}

// C = A B^T by mma.sync, with ldmatrix, and cp.async in two stages; a block of 4 warps a tile of 64 x 32.
extern "C" __global__ void matmul_mma(float *c, const __nv_bfloat16 *a, const __nv_bfloat16 *b, int n, int k) {
  __shared__ __align__(16) __nv_bfloat16 sa[2][64 * 24], sb[2][32 * 24]; // rows of 16, padded against conflicts
  int t = threadIdx.x, warp = t / 32, lane = t % 32;
  auto fetch = [&](int stage, int i) {
    __pipeline_memcpy_async(&sa[stage][t / 2 * 24 + t % 2 * 8], a + (blockIdx.y * 64 + t / 2) * k + i + t % 2 * 8, 16);
    if (t < 64)
      __pipeline_memcpy_async(&sb[stage][t / 2 * 24 + t % 2 * 8], b + (blockIdx.x * 32 + t / 2) * k + i + t % 2 * 8, 16);
    __pipeline_commit();
  };
  float d[4][4] = {};
  fetch(0, 0);
  for (int i = 0, stage = 0; i < k; i += 16, stage ^= 1) {
    if (i + 16 < k)
      fetch(stage ^ 1, i + 16);
    else
      __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    unsigned x[4], y[2];
    unsigned at = (unsigned)__cvta_generic_to_shared(&sa[stage][(warp * 16 + lane % 16) * 24 + lane / 16 * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at));
    for (int j = 0; j < 4; ++j) {
      at = (unsigned)__cvta_generic_to_shared(&sb[stage][(j * 8 + lane % 8) * 24 + lane / 8 % 2 * 8]);
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(y[0]), "=r"(y[1]) : "r"(at));
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                   "{%0, %1, %2, %3};"
                   : "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
                   : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    }
    __syncthreads();
  }
  int row = blockIdx.y * 64 + warp * 16 + lane / 4, column = blockIdx.x * 32 + lane % 4 * 2;
  for (int j = 0; j < 4; ++j) {
    *(float2 *)&c[row * n + column + j * 8] = make_float2(d[j][0], d[j][1]);
    *(float2 *)&c[(row + 8) * n + column + j * 8] = make_float2(d[j][2], d[j][3]);
  }
}

extern "C" __global__ void half_arithmetic(__half *out, __half2 *out2, const __half *x, const __half *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  __half a = x[i], b = y[i];
  __half r = __hfma(a, b, __hsub(a, b));
  r = __hgt(r, __float2half(1.0f)) ? __hdiv(a, b) : __hmul(r, __float2half(0.5f));
  out[i] = r;
  if (i % 2 == 0) {
    __half2 p = __halves2half2(a, x[i + 1]), q = __halves2half2(b, y[i + 1]);
    out2[i / 2] = __hadd2(__hmul2(p, q), __hmax2(p, q));
  }
}

extern "C" __global__ void double_arithmetic(double *out, const double *x, const double *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    out[i] = sqrt(x[i] * x[i] + y[i] * y[i]) / (1.0 + fabs(x[i])) + pow(fabs(x[i]), y[i]) + exp(-fabs(y[i])) * sin(x[i]);
}

extern "C" __global__ void divide(int *qi, int *ri, unsigned *qu, long long *ql, unsigned long long *ru, float *qf, double *qd, const int *a,
                                  const int *b, const long long *c, const long long *d, const float *e, const float *f, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  qi[i] = a[i] / b[i];
  ri[i] = a[i] % b[i];
  qu[i] = (unsigned)a[i] / (unsigned)b[i] + (unsigned)a[i] % 10u;
  ql[i] = c[i] / d[i] - c[i] / 1000003;
  ru[i] = (unsigned long long)c[i] % (unsigned long long)d[i];
  qf[i] = e[i] / f[i];
  qd[i] = (double)e[i] / (double)f[i];
}

// Every way out of a loop, in lanes that differ.
extern "C" __global__ void control(int *out, const int *in, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, s = 0;
  for (int k = 0; k < n; ++k) {
    int v = in[i * n + k];
    if (v < 0)
      break;
    if (v & 1)
      continue;
    switch (v >> 1 & 7) {
    case 0:
      s += 3;
      break;
    case 1:
      s *= 2;
    case 2:
      s -= 5;
      break;
    case 3:
      s ^= 77;
      break;
    case 4: {
      int m = v;
      do
        s += m & 3;
      while (m >>= 2);
      break;
    }
    case 5:
      if (s > 500) {
        out[i] = -s;
        return;
      }
      [[fallthrough]];
    default:
      while (s > 100)
        s -= 7;
    }
  }
  out[i] = s;
}

// A function out of line, and variables of every kind.
struct Item {
  int weight;
  float value[3];
};
__device__ float table[8] = {1, 2, 4, 8, 16, 32, 64, 128};
__device__ float *tables[2] = {table, table + 4};
__constant__ Item items[3] = {{1, {1, 2, 3}}, {2, {4, 5, 6}}, {3, {7, 8, 9}}};
__device__ __noinline__ float polynomial(float x, const float *c, int n) {
  float r = 0;
  for (int k = n - 1; k >= 0; --k)
    r = r * x + c[k];
  return r;
}
extern "C" __global__ void variables(float *out, const float *x, Item item, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  float own[4] = {x[i], 1, item.value[i % 3], 2};
  const float *c = i & 1 ? own : items[i % 3].value;
  out[i] = polynomial(0.5f, c, 3) * item.weight + tables[i & 1][i % 4] + polynomial(x[i], table, items[i % 3].weight);
}

// Cooperative groups, and a barrier object of libcu++ between a producer and its consumers.
extern "C" __global__ void groups(int *out, const int *in) {
  using Barrier = cuda::barrier<cuda::thread_scope_block>;
  __shared__ Barrier ready;
  __shared__ int s[128];
  auto block = cg::this_thread_block();
  if (block.thread_rank() == 0)
    init(&ready, blockDim.x);
  block.sync();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  auto tile = cg::tiled_partition<8>(block);
  s[threadIdx.x] = cg::reduce(tile, in[i], cg::plus<int>());
  ready.arrive_and_wait();
  int other = s[threadIdx.x ^ 8];
  if (in[i] & 1) {
    auto odd = cg::coalesced_threads();
    other += odd.size() * 1000 + odd.shfl(in[i], 0);
  }
  out[i] = other;
}
