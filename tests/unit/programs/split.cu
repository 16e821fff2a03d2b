// clang++-22 -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=sm_80 -O1 -fno-unroll-loops -std=c++20 -S
// makes split.ptx of it; `//@` lines are written by hand.
// Forward attention of head dimension 16, split along the keys: `partial` leaves each row's maximum, sum and
// weighted values of a quarter of the keys in the workspace, `merge` puts the quarters together.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
using bf16 = unsigned short;
constexpr int dim = 16, splits = 4;

struct Array {
  const bf16 *base;
  long batch, head, row;
};
struct Partial {
  Array q, k, v;
  float *sums;
  int *blocks;
  int lengthQ, lengthKv, group, headsQ;
  float scale;
};
struct Merge {
  float *sums;
  int *blocks;
  bf16 *o;
  long oBatch, oHead, oRow;
  float *lse;
  long lseBatch, lseHead;
  int lengthQ, headsQ, batch, wanted;
};

static inline __device__ float number(bf16 bits) {
  unsigned wide = unsigned(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, 4);
  return value;
}
static inline __device__ bf16 rounded(float value) {
  unsigned bits;
  __builtin_memcpy(&bits, &value, 4);
  return bf16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
static inline __device__ float exp2(float x) { return __nvvm_ex2_approx_f(x); }
static inline __device__ float log2(float x) { return __nvvm_lg2_approx_f(x); }
constexpr float log2e = 1.44269504f;

extern "C" __global__ void partial(Partial p) {
  int row = __nvvm_read_ptx_sreg_ctaid_x() * 64 + __nvvm_read_ptx_sreg_tid_x();
  int head = __nvvm_read_ptx_sreg_ctaid_y(), z = __nvvm_read_ptx_sreg_ctaid_z();
  int batch = z / splits, split = z % splits;
  if (__nvvm_read_ptx_sreg_tid_x() == 0)
    __nvvm_atom_add_gen_i(p.blocks, 1);
  if (row >= p.lengthQ)
    return;
  const bf16 *q = p.q.base + batch * p.q.batch + head * p.q.head + row * p.q.row;
  int share = (p.lengthKv + splits - 1) / splits, begin = split * share;
  int end = begin + share < p.lengthKv ? begin + share : p.lengthKv;
  float most = -__builtin_inff(), sum = 0, values[dim] = {};
  for (int key = begin; key < end; ++key) {
    const bf16 *k = p.k.base + batch * p.k.batch + head / p.group * p.k.head + key * p.k.row;
    const bf16 *v = p.v.base + batch * p.v.batch + head / p.group * p.v.head + key * p.v.row;
    float score = 0;
    for (int d = 0; d < dim; ++d)
      score += number(q[d]) * number(k[d]);
    score *= p.scale * log2e;
    float next = score > most ? score : most, correction = exp2(most - next), weight = exp2(score - next);
    sum = sum * correction + weight;
    for (int d = 0; d < dim; ++d)
      values[d] = values[d] * correction + weight * number(v[d]);
    most = next;
  }
  float *sums = p.sums + (((long)z * p.headsQ + head) * p.lengthQ + row) * (dim + 2);
  sums[0] = most;
  sums[1] = sum;
  for (int d = 0; d < dim; ++d)
    sums[2 + d] = values[d];
}

extern "C" __global__ void merge(Merge p) {
  int row = __nvvm_read_ptx_sreg_ctaid_x() * 64 + __nvvm_read_ptx_sreg_tid_x();
  int head = __nvvm_read_ptx_sreg_ctaid_y(), batch = __nvvm_read_ptx_sreg_ctaid_z();
  if (row >= p.lengthQ)
    return;
  float most = -__builtin_inff(), sum = 0, values[dim] = {};
  for (int split = 0; split < splits; ++split) {
    const float *sums = p.sums + (((long)(batch * splits + split) * p.headsQ + head) * p.lengthQ + row) * (dim + 2);
    if (sums[1] == 0)
      continue;
    float next = sums[0] > most ? sums[0] : most, old = exp2(most - next), now = exp2(sums[0] - next);
    sum = sum * old + sums[1] * now;
    for (int d = 0; d < dim; ++d)
      values[d] = values[d] * old + sums[2 + d] * now;
    most = next;
  }
  // Whoever forgot to zero the counter sees it in the result.
  float factor = *p.blocks == p.wanted ? 1 / sum : 0;
  for (int d = 0; d < dim; ++d)
    p.o[batch * p.oBatch + head * p.oHead + row * p.oRow + d] = rounded(values[d] * factor);
  p.lse[batch * p.lseBatch + head * p.lseHead + row] = (most + log2(sum)) / log2e;
}
