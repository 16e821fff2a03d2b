// Kernels as other people write them, for sim_bench --others: what the simulator's checks cost on ordinary loads,
// stores and barriers. The PTX beside it: nvcc -arch=compute_80 -ptx -o ordinary.ptx ordinary.cu

// Sum of a block's part, by a tree in shared memory and then within a warp.
extern "C" __global__ void __launch_bounds__(256) reduction(const float *x, float *sums, int n) {
  __shared__ float s[256];
  float sum = 0;
  for (int k = blockIdx.x * 256 + threadIdx.x; k < n; k += 256 * gridDim.x)
    sum += x[k];
  s[threadIdx.x] = sum;
  __syncthreads();
  for (int half = 128; half >= 32; half /= 2) {
    if (threadIdx.x < half)
      s[threadIdx.x] += s[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x < 32) {
    float v = s[threadIdx.x];
    for (int step = 16; step; step /= 2)
      v += __shfl_down_sync(0xFFFFFFFF, v, step);
    if (threadIdx.x == 0)
      sums[blockIdx.x] = v;
  }
}

// 32 x 32 tiles, blocks of (32, 8), rows of 33 words so that no banks conflict.
extern "C" __global__ void __launch_bounds__(256) transpose(const float *x, float *y, int n) {
  __shared__ float tile[32][33];
  int column = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 32 + threadIdx.y;
  for (int k = 0; k < 32; k += 8)
    tile[threadIdx.y + k][threadIdx.x] = x[(row + k) * n + column];
  __syncthreads();
  column = blockIdx.y * 32 + threadIdx.x, row = blockIdx.x * 32 + threadIdx.y;
  for (int k = 0; k < 32; k += 8)
    y[(row + k) * n + column] = tile[threadIdx.x][threadIdx.y + k];
}

// A row a block: mean and variance over the block, then scale and shift.
extern "C" __global__ void __launch_bounds__(256)
    layer_norm(const float *x, const float *scale, const float *shift, float *y, int n) {
  __shared__ float sums[8], squares[8];
  const float *in = x + blockIdx.x * (size_t)n;
  float sum = 0, square = 0;
  for (int k = threadIdx.x; k < n; k += 256) {
    float v = in[k];
    sum += v;
    square += v * v;
  }
  for (int step = 16; step; step /= 2) {
    sum += __shfl_xor_sync(0xFFFFFFFF, sum, step);
    square += __shfl_xor_sync(0xFFFFFFFF, square, step);
  }
  if (threadIdx.x % 32 == 0) {
    sums[threadIdx.x / 32] = sum;
    squares[threadIdx.x / 32] = square;
  }
  __syncthreads();
  sum = square = 0;
  for (int w = 0; w < 8; ++w) {
    sum += sums[w];
    square += squares[w];
  }
  float mean = sum / n, factor = rsqrtf(square / n - mean * mean + 1e-5f);
  for (int k = threadIdx.x; k < n; k += 256)
    y[blockIdx.x * (size_t)n + k] = (in[k] - mean) * factor * scale[k] + shift[k];
}

// 64 x 64 tiles of C, 4 x 4 a thread, both operands through shared memory.
extern "C" __global__ void __launch_bounds__(256) sgemm(const float *a, const float *b, float *c, int n) {
  __shared__ float as[16][64 + 4], bs[16][64];
  int t = threadIdx.x, tx = t % 16, ty = t / 16;
  const float *rows = a + (size_t)blockIdx.y * 64 * n, *columns = b + blockIdx.x * 64;
  float sum[4][4] = {};
  for (int k0 = 0; k0 < n; k0 += 16) {
    float4 va = *(const float4 *)(rows + (size_t)(t / 4) * n + k0 + t % 4 * 4);
    float4 vb = *(const float4 *)(columns + (size_t)(k0 + t / 16) * n + t % 16 * 4);
    as[t % 4 * 4][t / 4] = va.x;
    as[t % 4 * 4 + 1][t / 4] = va.y;
    as[t % 4 * 4 + 2][t / 4] = va.z;
    as[t % 4 * 4 + 3][t / 4] = va.w;
    *(float4 *)&bs[t / 16][t % 16 * 4] = vb;
    __syncthreads();
    for (int k = 0; k < 16; ++k) {
      float x[4], y[4];
      *(float4 *)x = *(float4 *)&as[k][ty * 4];
      *(float4 *)y = *(float4 *)&bs[k][tx * 4];
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
          sum[i][j] += x[i] * y[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i)
    *(float4 *)&c[(size_t)(blockIdx.y * 64 + ty * 4 + i) * n + blockIdx.x * 64 + tx * 4] =
        make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
}

// The textbook's product: 32 x 32 tiles, an element a thread.
extern "C" __global__ void __launch_bounds__(1024) matmul(const float *a, const float *b, float *c, int n) {
  __shared__ float as[32][32], bs[32][32];
  int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 32 + y, column = blockIdx.x * 32 + x;
  float sum = 0;
  for (int k0 = 0; k0 < n; k0 += 32) {
    as[y][x] = a[row * n + k0 + x];
    bs[y][x] = b[(k0 + y) * n + column];
    __syncthreads();
    for (int k = 0; k < 32; ++k)
      sum += as[y][k] * bs[k][x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

// Inclusive sums of a block's 512 elements, up and down a tree in shared memory.
extern "C" __global__ void __launch_bounds__(256) scan(const float *x, float *y, int n) {
  __shared__ float s[512];
  int t = threadIdx.x, base = blockIdx.x * 512;
  s[t] = x[base + t];
  s[t + 256] = x[base + t + 256];
  for (int step = 1; step < 512; step *= 2) {
    __syncthreads();
    int k = (t + 1) * step * 2 - 1;
    if (k < 512)
      s[k] += s[k - step];
  }
  for (int step = 128; step; step /= 2) {
    __syncthreads();
    int k = (t + 1) * step * 2 - 1;
    if (k + step < 512)
      s[k + step] += s[k];
  }
  __syncthreads();
  y[base + t] = s[t];
  y[base + t + 256] = s[t + 256];
}

// y = a x + y over the grid.
extern "C" __global__ void __launch_bounds__(256) saxpy(const float *x, float *y, float a, int n) {
  for (int k = blockIdx.x * 256 + threadIdx.x; k < n; k += 256 * gridDim.x)
    y[k] = a * x[k] + y[k];
}
