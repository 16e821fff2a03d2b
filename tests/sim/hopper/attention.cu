// Attention forward in FlashAttention-3's shape, head dim 64, bf16: one warpgroup loads Q, K and V by TMA, two multiply,
// 64 queries each, and take turns: while one issues its products, the other computes its softmax. Inside a warpgroup the
// scores of the next keys are multiplied while P V of those before them runs. O leaves by TMA from where Q was.
//
// O[q][d] = sum over k of softmax(scale * Q K^T)[q][k] V[k][d]; causal: query q sees the keys up to q + lenK - lenQ. A
// query that sees none gives 0 and an LSE of -inf. LSE is in natural logarithms.
#include "primitives.cuh"

constexpr int kQueries = 128, kKeys = 64, kDim = 64, kStages = 2;
constexpr int kRowBytes = kDim * 2, kTileBytes = kKeys * kRowBytes; // of K or V
constexpr int kConsumers = 2;

struct Shared {
  uint32_t q, k, v, bars; // k, v: kStages tiles
  __device__ uint32_t qFull() const { return bars; }
  __device__ uint32_t kFull(int s) const { return bars + 8 * (1 + s); }
  __device__ uint32_t kEmpty(int s) const { return bars + 8 * (1 + kStages + s); }
  __device__ uint32_t vFull(int s) const { return bars + 8 * (1 + 2 * kStages + s); }
  __device__ uint32_t vEmpty(int s) const { return bars + 8 * (1 + 3 * kStages + s); }
};
constexpr int kBars = 1 + 4 * kStages;

/// Which slot of a ring, and in which of its rounds.
struct Slot {
  int index = 0, parity = 0;
  __device__ void next() {
    if (++index == kStages) {
      index = 0;
      parity ^= 1;
    }
  }
};

struct Problem {
  int lenQ, lenK;
  float scaleLog2; // scale * log2(e)
};

/// Blocks of keys that the block of queries from `first` on sees.
template <bool causal> DEVICE int keyBlocks(const Problem &p, int first) {
  int end = p.lenK;
  if (causal)
    end = min(end, min(first + kQueries, p.lenQ) + p.lenK - p.lenQ);
  return max(0, (end + kKeys - 1) / kKeys);
}

//===------------------------------ the loading warpgroup ------------------------------===//

DEVICE void produce(const Shared &s, const TensorMap *q, const TensorMap *k, const TensorMap *v, int first, int blocks) {
  fewer<24>();
  if (threadIdx.x != 0)
    return;
  if (blocks) {
    expect(s.qFull(), kQueries * kRowBytes);
    load(s.q, q, s.qFull(), 0, first);
    load(s.q + kQueries / 2 * kRowBytes, q, s.qFull(), 0, first + kQueries / 2);
  }
  Slot slot;
#pragma unroll 1
  for (int n = blocks - 1; n >= 0; --n) { // from the diagonal to the left
    waitFor(s.kEmpty(slot.index), slot.parity ^ 1);
    expect(s.kFull(slot.index), kTileBytes);
    load(s.k + slot.index * kTileBytes, k, s.kFull(slot.index), 0, n * kKeys);
    waitFor(s.vEmpty(slot.index), slot.parity ^ 1);
    expect(s.vFull(slot.index), kTileBytes);
    load(s.v + slot.index * kTileBytes, v, s.vFull(slot.index), 0, n * kKeys);
    slot.next();
  }
}

//===------------------------------ softmax ------------------------------===//

DEVICE float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE uint32_t pack(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
DEVICE float quadMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
DEVICE float quadSum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}

/// Of the two rows of a thread: row r of an accumulator is d[4 * j + 2 * r] and the next one.
struct Softmax {
  float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}; // sum: of the thread's own columns

  /// Scores become exponentials; gives what the sums so far must be multiplied by.
  __device__ void step(float (&s)[32], float scale, float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float m = most[r];
#pragma unroll
      for (int j = 0; j < 8; ++j)
        m = fmaxf(m, fmaxf(s[4 * j + 2 * r], s[4 * j + 2 * r + 1]));
      m = quadMax(m);
      float reference = m == -INFINITY ? 0 : m * scale;
      factor[r] = exp2Fast(most[r] * scale - reference);
      most[r] = m;
      float total = 0;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float &x = s[4 * j + 2 * r + c];
          x = exp2Fast(x * scale - reference);
          total += x;
        }
      sum[r] = sum[r] * factor[r] + total;
    }
  }
};

template <bool causal> DEVICE void mask(float (&s)[32], const Problem &p, int query, int key) {
#pragma unroll
  for (int e = 0; e < 32; ++e) {
    int column = key + e / 4 * 8 + e % 2, row = query + e / 2 % 2 * 8;
    if (column >= p.lenK || (causal && column > row + p.lenK - p.lenQ))
      s[e] = -INFINITY;
  }
}

//===------------------------------ the multiplying warpgroups ------------------------------===//

/// Named barriers by which the warpgroups take turns: each waits at its own.
DEVICE void awaitTurn(int group) { sync<128 * kConsumers>(1 + group); }
DEVICE void passTurn(int group) { arriveNamed<128 * kConsumers>(1 + (group ^ 1)); }

DEVICE void scores(float (&s)[32], uint32_t q, uint32_t k) {
  uint64_t a = descriptor(q), b = descriptor(k);
#pragma unroll
  for (int j = 0; j < kDim / 16; ++j)
    multiply(s, a + 2 * j, b + 2 * j, j > 0);
  commitProducts();
}
DEVICE void addValues(float (&o)[32], const uint32_t (&p)[16], uint32_t v) {
  uint64_t b = descriptor(v);
#pragma unroll
  for (int j = 0; j < kKeys / 16; ++j)
    multiplyRegisters(o, p + 4 * j, b + j * (16 * kRowBytes / 16));
  commitProducts();
}

template <bool causal>
DEVICE void consume(const Shared &s, const Problem &p, const TensorMap *map, float *lse, int first, int blocks) {
  more<240>();
  int t = threadIdx.x - 128, group = t / 128, warp = t / 32 % 4, lane = t % 32;
  int row = group * 64 + warp * 16 + lane / 4, column = lane % 4 * 2; // of o[0]
  uint32_t q = s.q + group * 64 * kRowBytes;
  bool leads = t % 128 == 0;
  float o[32] = {}, scaled[2];
  Softmax softmax;
  if (blocks) {
    if (group == 1)
      passTurn(group);
    float x[32];
    uint32_t probabilities[16];
    Slot k, v;
    waitFor(s.qFull(), 0);
    waitFor(s.kFull(0), 0);
    awaitTurn(group);
    fenceRegisters();
    scores(x, q, s.k);
    if (group == 0 || blocks > 1)
      passTurn(group);
    products<0>();
    if (leads)
      arrive(s.kEmpty(0));
    k.next();
    mask<causal>(x, p, first + row, (blocks - 1) * kKeys + column);
    softmax.step(x, p.scaleLog2, scaled);
#pragma unroll
    for (int j = 0; j < 16; ++j)
      probabilities[j] = pack(x[2 * j], x[2 * j + 1]);
#pragma unroll 1
    for (int n = blocks - 2; n >= 0; --n) {
      waitFor(s.kFull(k.index), k.parity);
      awaitTurn(group);
      fenceRegisters();
      scores(x, q, s.k + k.index * kTileBytes);
      waitFor(s.vFull(v.index), v.parity);
      fenceRegisters(); // for ptxas, which else puts one behind the loop of the wait and serialises all products
      addValues(o, probabilities, s.v + v.index * kTileBytes);
      if (group == 0 || n > 0)
        passTurn(group);
      products<1>();
      if (leads)
        arrive(s.kEmpty(k.index));
      mask<causal>(x, p, first + row, n * kKeys + column);
      softmax.step(x, p.scaleLog2, scaled);
      products<0>();
      if (leads)
        arrive(s.vEmpty(v.index));
      k.next();
      v.next();
#pragma unroll
      for (int j = 0; j < 16; ++j)
        probabilities[j] = pack(x[2 * j], x[2 * j + 1]);
#pragma unroll
      for (int e = 0; e < 32; ++e)
        o[e] *= scaled[e / 2 % 2];
    }
    waitFor(s.vFull(v.index), v.parity);
    fenceRegisters();
    addValues(o, probabilities, s.v + v.index * kTileBytes);
    products<0>();
    if (leads)
      arrive(s.vEmpty(v.index));
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = quadSum(softmax.sum[r]);
    scaled[r] = sum > 0 ? 1 / sum : 0;
    if (column == 0 && first + row + 8 * r < p.lenQ)
      lse[first + row + 8 * r] = sum > 0 ? (softmax.most[r] * p.scaleLog2 + log2f(sum)) * 0.69314718f : -INFINITY;
  }
  // Where Q's rows of this warpgroup were; what other warps still read of it is theirs.
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      int y = row % 64 + 8 * r;
      asm volatile("st.shared.b32 [%0], %1;" ::"r"(q + y * kRowBytes + (j ^ y % 8) * 16 + column * 2),
                   "r"(pack(o[4 * j + 2 * r] * scaled[r], o[4 * j + 2 * r + 1] * scaled[r]))
                   : "memory");
    }
  proxyFence();
  sync<128>(3 + group);
  if (leads) {
    store(map, q, 0, first + group * 64);
    commitStores();
    storesHaveRead<0>();
  }
}

template <bool causal>
DEVICE void forward(const TensorMap *q, const TensorMap *k, const TensorMap *v, const TensorMap *o, float *lse, const Problem &p) {
  extern __shared__ __align__(1024) uint8_t memory[];
  __shared__ __align__(8) uint64_t bars[kBars];
  Shared s;
  s.q = shared(memory);
  s.k = s.q + kQueries * kRowBytes;
  s.v = s.k + kStages * kTileBytes;
  s.bars = shared(bars);
  int first = blockIdx.x * kQueries, blocks = keyBlocks<causal>(p, first);
  if (threadIdx.x == 0) {
    init(s.qFull(), 1);
#pragma unroll 1
    for (int n = 0; n < kStages; ++n) {
      init(s.kFull(n), 1);
      init(s.vFull(n), 1);
      init(s.kEmpty(n), kConsumers);
      init(s.vEmpty(n), kConsumers);
    }
    initFence();
  }
  __syncthreads();
  if (threadIdx.x < 128)
    produce(s, q, k, v, first, blocks);
  else
    consume<causal>(s, p, o, lse, first, blocks);
}

#define KERNEL(name, causal)                                                                                 \
  extern "C" __global__ void __launch_bounds__(384, 1)                                                       \
      name(const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k, const __grid_constant__ TensorMap v,  \
           const __grid_constant__ TensorMap o, float *lse, Problem p) {                                     \
    forward<causal>(&q, &k, &v, &o, lse, p);                                                                 \
  }
KERNEL(attention, false)
KERNEL(causalAttention, true)
