// Small kernels for the simulator's tests; basics.ptx is made by
//   nvcc -ptx -arch=sm_80 -lineinfo basics.cu
#include <cstdint>

extern "C" __global__ void vectorAdd(const float *a, const float *b, float *c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    c[i] = a[i] + b[i];
}

// Sum of a block's values: shuffles, then one value a warp through shared memory.
extern "C" __global__ void reduceSum(const float *a, float *out, int n) {
  __shared__ float s[32];
  float v = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    v += a[i];
  for (int d = 16; d; d /= 2)
    v += __shfl_xor_sync(~0u, v, d);
  if (threadIdx.x % 32 == 0)
    s[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x < 32) {
    v = threadIdx.x < blockDim.x / 32 ? s[threadIdx.x] : 0.0f;
    for (int d = 16; d; d /= 2)
      v += __shfl_down_sync(~0u, v, d);
    if (threadIdx.x == 0)
      out[blockIdx.x] = v;
  }
}

// Inclusive scan of one block (Hillis-Steele, two buffers).
extern "C" __global__ void scan(const int *a, int *out, int n) {
  __shared__ int s[2][256];
  int t = threadIdx.x, from = 0;
  s[0][t] = t < n ? a[t] : 0;
  __syncthreads();
  for (int d = 1; d < 256; d *= 2) {
    s[1 - from][t] = s[from][t] + (t >= d ? s[from][t - d] : 0);
    from = 1 - from;
    __syncthreads();
  }
  if (t < n)
    out[t] = s[from][t];
}

extern "C" __global__ void histogram(const unsigned char *a, unsigned *bins, int n) {
  __shared__ unsigned s[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x)
    s[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&s[a[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x)
    atomicAdd(&bins[i], s[i]);
}

// Every thread sorts 16 values in local memory.
extern "C" __global__ void sortLocal(int *a, int n) {
  int v[16];
  int *mine = a + (blockIdx.x * blockDim.x + threadIdx.x) * 16;
  if (blockIdx.x * blockDim.x + threadIdx.x >= n)
    return;
  for (int i = 0; i < 16; ++i)
    v[i] = mine[i];
#pragma unroll 1
  for (int i = 1; i < 16; ++i) {
    int x = v[i], j = i;
#pragma unroll 1
    while (j > 0 && v[j - 1] > x) {
      v[j] = v[j - 1];
      --j;
    }
    v[j] = x;
  }
  for (int i = 0; i < 16; ++i)
    mine[i] = v[i];
}

extern "C" __global__ void transpose(const float *a, float *b, int rows, int cols) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x;
  for (int y = threadIdx.y; y < 32; y += blockDim.y)
    if (x < cols && blockIdx.y * 32 + y < rows)
      tile[y][threadIdx.x] = a[(blockIdx.y * 32 + y) * cols + x];
  __syncthreads();
  int r = blockIdx.y * 32 + threadIdx.x;
  for (int y = threadIdx.y; y < 32; y += blockDim.y)
    if (r < rows && blockIdx.x * 32 + y < cols)
      b[(blockIdx.x * 32 + y) * rows + r] = tile[threadIdx.x][y];
}

// Divisions by run-time values, 64-bit products, double.
extern "C" __global__ void divide(const int *a, const int *b, int *q, long long *m, double *d, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  q[2 * i] = a[i] / b[i];
  q[2 * i + 1] = a[i] % b[i];
  m[i] = (long long)a[i] * b[i] / (b[i] + 7LL * i + 1000000007LL);
  d[i] = (double)a[i] / b[i] + sqrt((double)i);
}

// A different number of iterations for each lane, and a branch inside.
extern "C" __global__ void collatz(const unsigned *a, unsigned *steps, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n)
    return;
  unsigned x = a[i], s = 0;
  while (x != 1) {
    if (x & 1)
      x = 3 * x + 1;
    else
      x >>= 1;
    ++s;
  }
  steps[i] = s;
}
