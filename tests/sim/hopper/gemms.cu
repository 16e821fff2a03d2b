// C = A B^T (A row-major M x K, B row-major N x K, both bf16) in the shapes that Hopper kernels have. A warpgroup loads
// by TMA into a ring of stages, one or two multiply by wgmma, 64 rows each; tiles are 64 wide in K and in N.
//   multicastGemm   a cluster of two blocks along N: each loads one half of the rows of A for both
//   splitGemm       a cluster of two blocks along K: partial sums are added over distributed shared memory
//   persistentGemm  blocks go from tile to tile; C leaves by TMA stores while the next tile is multiplied
#include "primitives.cuh"

constexpr int kTileK = 64, kTileN = 64, kPanel = 64 * kTileK * 2; // bytes of 64 rows

/// Stages of 64 * `groups` rows of A and 64 of B.
template <int stages, int groups> struct Ring {
  static constexpr int kStageBytes = (groups + 1) * kPanel;
  uint32_t tiles, bars;
  __device__ uint32_t a(int s) const { return tiles + s * kStageBytes; }
  __device__ uint32_t b(int s) const { return a(s) + groups * kPanel; }
  __device__ uint32_t full(int s) const { return bars + 8 * s; }
  __device__ uint32_t empty(int s) const { return bars + 8 * (stages + s); }
  __device__ void begin(int consumers) const {
    if (threadIdx.x == 0) {
#pragma unroll 1
      for (int s = 0; s < stages; ++s) {
        init(full(s), 1);
        init(empty(s), consumers);
      }
      initFence();
    }
  }
};

/// Which stage, and how often it was used.
template <int stages> struct Turn {
  int stage = 0, parity = 0;
  __device__ void next() {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

/// `steps` products of the warpgroup's 64 rows; the stage before is handed back when its products have ended.
template <int stages, int groups, class Arrive>
DEVICE void consume(const Ring<stages, groups> &ring, Turn<stages> &turn, int group, int steps, float (&d)[32], Arrive handBack) {
  int before = 0;
#pragma unroll 1
  for (int k = 0; k < steps; ++k) {
    waitForCluster(ring.full(turn.stage), turn.parity);
    uint64_t a = descriptor(ring.a(turn.stage) + group * kPanel), b = descriptor(ring.b(turn.stage));
    fenceRegisters();
#pragma unroll
    for (int j = 0; j < kTileK / 16; ++j)
      multiply(d, a + 2 * j, b + 2 * j, k + j > 0);
    commitProducts();
    if (k > 0) {
      products<1>();
      handBack(before);
    }
    before = turn.stage;
    turn.next();
  }
  products<0>();
  handBack(before);
}

/// Row and column of d[4 * j + r] are the first ones plus 8 * (r / 2) and 8 * j + r % 2.
DEVICE void place(int t, int &row, int &column) {
  row = t / 32 % 4 * 16 + t % 32 / 4;
  column = t % 4 * 2;
}

//===------------------------------ multicast ------------------------------===//

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
    multicastGemm(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float *c, int n, int k) {
  constexpr int stages = 4, groups = 2;
  extern __shared__ __align__(1024) uint8_t tiles[];
  __shared__ __align__(8) uint64_t bars[2 * stages];
  Ring<stages, groups> ring{shared(tiles), shared(bars)};
  ring.begin(2 * groups); // of both blocks
  clusterSync();
  int steps = k / kTileK;
  Turn<stages> turn;
  if (threadIdx.x < 128) {
    fewer<24>();
    if (threadIdx.x == 0) {
      uint32_t me = rank();
#pragma unroll 1
      for (int i = 0; i < steps; ++i) {
        waitForCluster(ring.empty(turn.stage), turn.parity ^ 1);
        expect(ring.full(turn.stage), ring.kStageBytes);
        loadForAll(ring.a(turn.stage) + me * kPanel, &a, ring.full(turn.stage), i * kTileK, blockIdx.y * 128 + me * 64, 3);
        load(ring.b(turn.stage), &b, ring.full(turn.stage), i * kTileK, blockIdx.x * kTileN);
        turn.next();
      }
    }
  } else {
    more<240>();
    int t = threadIdx.x - 128, row, column;
    float d[32];
    consume(ring, turn, t / 128, steps, d, [&](int s) {
      if (t % 128 < 2) // one thread for each block
        arriveAt(ring.empty(s), t % 128);
    });
    place(t, row, column);
    float *out = c + (size_t)(blockIdx.y * 128 + t / 128 * 64 + row) * n + blockIdx.x * kTileN + column;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      *(float2 *)(out + 8 * j) = make_float2(d[4 * j], d[4 * j + 1]);
      *(float2 *)(out + (size_t)8 * n + 8 * j) = make_float2(d[4 * j + 2], d[4 * j + 3]);
    }
  }
  clusterSync(); // the other block still writes here, and arrives
}

//===------------------------------ split K ------------------------------===//

extern "C" __global__ void __cluster_dims__(1, 1, 2) __launch_bounds__(256, 1)
    splitGemm(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float *c, int n, int k) {
  constexpr int stages = 3, groups = 1, pitch = kTileN + 8;
  extern __shared__ __align__(1024) uint8_t tiles[];
  __shared__ __align__(8) uint64_t bars[2 * stages];
  __shared__ float partial[64 * pitch];
  Ring<stages, groups> ring{shared(tiles), shared(bars)};
  ring.begin(groups);
  __syncthreads();
  int steps = k / kTileK / 2, first = blockIdx.z * steps;
  Turn<stages> turn;
  if (threadIdx.x < 128) {
    if (threadIdx.x == 0) {
#pragma unroll 1
      for (int i = 0; i < steps; ++i) {
        waitFor(ring.empty(turn.stage), turn.parity ^ 1);
        expect(ring.full(turn.stage), ring.kStageBytes);
        load(ring.a(turn.stage), &a, ring.full(turn.stage), (first + i) * kTileK, blockIdx.y * 64);
        load(ring.b(turn.stage), &b, ring.full(turn.stage), (first + i) * kTileK, blockIdx.x * kTileN);
        turn.next();
      }
    }
    __syncwarp();
  } else {
    int t = threadIdx.x - 128, row, column;
    float d[32];
    consume(ring, turn, 0, steps, d, [&](int s) {
      if (t == 0)
        arrive(ring.empty(s));
    });
    place(t, row, column);
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r)
        partial[(row + 8 * (r / 2)) * pitch + column + 8 * j + r % 2] = d[4 * j + r];
  }
  clusterSync();
  uint32_t me = rank();
#pragma unroll 1
  for (int e = threadIdx.x; e < 32 * kTileN; e += 256) { // each block adds up one half of the rows
    int row = me * 32 + e / kTileN, column = e % kTileN;
    float *mine = &partial[row * pitch + column];
    c[(size_t)(blockIdx.y * 64 + row) * n + blockIdx.x * kTileN + column] = *mine + fromBlock(shared(mine), me ^ 1);
  }
  clusterSync(); // the other block still reads here
}

//===------------------------------ persistent ------------------------------===//

extern "C" __global__ void __launch_bounds__(384, 1)
    persistentGemm(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap c,
                   int tilesN, int tiles, int k) {
  constexpr int stages = 4, groups = 2;
  extern __shared__ __align__(1024) uint8_t memory[]; // the ring, then 64 x 64 floats for each group, in two halves
  __shared__ __align__(8) uint64_t bars[2 * stages];
  Ring<stages, groups> ring{shared(memory), shared(bars)};
  ring.begin(groups);
  __syncthreads();
  int steps = k / kTileK;
  Turn<stages> turn;
  if (threadIdx.x < 128) {
    fewer<24>();
    if (threadIdx.x == 0)
#pragma unroll 1
      for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        int x = tile % tilesN, y = tile / tilesN;
#pragma unroll 1
        for (int i = 0; i < steps; ++i) {
          waitFor(ring.empty(turn.stage), turn.parity ^ 1);
          expect(ring.full(turn.stage), ring.kStageBytes);
          load(ring.a(turn.stage), &a, ring.full(turn.stage), i * kTileK, y * 128);
          load(ring.b(turn.stage), &b, ring.full(turn.stage), i * kTileK, x * kTileN);
          turn.next();
        }
      }
    return;
  }
  more<240>();
  int t = threadIdx.x - 128, group = t / 128, row, column;
  uint32_t staged = shared(memory) + stages * ring.kStageBytes + group * 16384;
  place(t, row, column);
  float d[32];
#pragma unroll 1
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    consume(ring, turn, group, steps, d, [&](int s) {
      if (t % 128 == 0)
        arrive(ring.empty(s));
    });
    if (t % 128 == 0)
      storesHaveRead<0>(); // of the tile before
    sync<128>(1 + group);
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int r = 0; r < 2; ++r) { // rows of 128 bytes, swizzled
        int y = row + 8 * r, x = column + 8 * j, chunk = x % 32 / 4 ^ y % 8;
        asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(staged + x / 32 * 8192 + y * 128 + chunk * 16 + x % 4 * 4),
                     "f"(d[4 * j + 2 * r]), "f"(d[4 * j + 2 * r + 1])
                     : "memory");
      }
    proxyFence();
    sync<128>(1 + group);
    if (t % 128 == 0) {
      int x = tile % tilesN * kTileN, y = tile / tilesN * 128 + group * 64;
      store(&c, staged, x, y);
      store(&c, staged + 8192, x + 32, y);
      commitStores();
    }
  }
  if (t % 128 == 0)
    storesHaveEnded();
}
