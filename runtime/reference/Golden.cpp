//===- Golden.cpp - attention in the order of the tiles -------------------===//
#include "runtime/reference/Golden.h"

#include "runtime/reference/Float16.h"
#include "runtime/reference/Parallel.h"

#include <array>
#include <cmath>
#include <limits>
#include <memory>

namespace attune::reference {

// Every f32 operation below is one rounding of its own, as the kernels' .rn operations are. The library is
// also compiled with -ffp-contract=off.
#pragma STDC FP_CONTRACT OFF

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr double log2e = 1.4426950408889634074;
constexpr float weightScale = 0x1p40f;
constexpr double ln2 = 0.69314718055994530942;

int64_t roundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// max.f32: the operand that is not NaN.
float maxF32(float a, float b) {
  if (std::isnan(a) || std::isnan(b))
    return std::isnan(a) ? b : a;
  return a > b ? a : b;
}

/// How scores become exponents.
class ScoreFunction {
public:
  explicit ScoreFunction(const AttentionSpec &spec) {
    double factor = spec.scale.value_or(1.0 / std::sqrt(double(spec.headDimQk)));
    identity = !spec.softcap && !spec.runtimeScale && factor > 0 && std::isnormal(float(factor * log2e)) &&
               (!spec.sink || float(factor * log2e) > 0x1p-32f);
    scale = float(factor);
    toLog2 = float(identity ? factor * log2e : log2e);
    toNatural = identity ? scale : 1.0f;
    hasCap = spec.softcap.has_value();
    cap = float(spec.softcap.value_or(0));
    inverseCap = float(1.0 / spec.softcap.value_or(1));
  }

  float operator()(float dot) const {
    if (identity)
      return dot;
    float x = dot * scale;
    if (!hasCap)
      return x;
    float e = ex2((x * inverseCap) * float(2 * log2e));
    float t = std::fma(-2.0f, rcp(e + 1.0f), 1.0f);
    return cap * t;
  }

  float toLog2;    ///< c
  float toNatural; ///< c ln 2

private:
  bool identity, hasCap;
  float scale, cap, inverseCap;
};

/// The rows of one warp, and what it keeps in registers for each.
struct Warp {
  std::vector<int64_t> rows;             ///< in the block
  std::vector<float> maximum;            ///< the reference: 0 before the row has seen a key
  std::vector<float> limit;              ///< a score above it moves the reference
  std::vector<std::array<float, 4>> sum; ///< by the lane of the quad: lane t holds keys 8 n + 2 t and + 1
  std::vector<float> output;             ///< rows x padded dims
};

/// One CTA: block_q rows of one query head.
class Block {
public:
  Block(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs, const GoldenOptions &options)
      : spec(spec), problem(problem), inputs(inputs), options(options), score(spec),
        paddedQk(roundUp(spec.headDimQk, 16)), paddedV(roundUp(spec.headDimV, 16)),
        query(spec.dtype, options.blockQ, paddedQk), keys(spec.dtype, paddedQk, options.blockKv),
        values(spec.dtype, options.blockKv, paddedV), finiteValues(spec.dtype, options.blockKv, paddedV),
        probabilities(spec.dtype, 1, options.blockKv), scores(options.blockKv) {}

  void compute(int batch, int head, int64_t firstRow, uint16_t *o, float *lse) {
    batchIndex = batch;
    headIndex = head;
    first = firstRow;
    loadQuery();
    // The keys that some row keeps, which are visited, and those that all rows keep: limits grow with the
    // row, so the first and the last decide. Rows beyond the length do not count here, though they vote.
    int64_t last = std::min<int64_t>(first + options.blockQ, problem.lengthQ) - 1;
    Interval bounds[2] = {keptOf(first), keptOf(last)};
    Interval visited{std::max<int64_t>(0, bounds[0].begin),
                     std::min<int64_t>(problem.lengthKv, bounds[1].end)};
    Interval whole{bounds[1].begin, bounds[0].end};
    for (attempt = 0;; ++attempt) {
      startWarps();
      if (!visited.empty())
        for (int64_t j = (visited.end - 1) / options.blockKv; j >= visited.begin / options.blockKv; --j) {
          int64_t begin = j * options.blockKv, end = begin + options.blockKv;
          loadKeys(begin);
          for (Warp &warp : warps)
            // Only blocks that cross a limit evaluate the mask.
            step(warp, begin, begin < whole.begin || end > whole.end);
        }
      if (attempt == (spec.dtype == DType::BF16 ? 2 : 1) || allFinite())
        break;
    }
    for (const Warp &warp : warps)
      finish(warp, o, lse);
  }

private:
  /// Whether a reference times c is too coarse to be subtracted inside an fma.
  bool isFar(float maximum) const { return std::abs(maximum * score.toLog2) >= 0x1p14f; }
  Interval keptOf(int64_t row) const { return keptKeys(spec, row, problem.lengthQ, problem.lengthKv); }
  bool exists(int64_t blockRow) const { return first + blockRow < problem.lengthQ; }

  /// Rows beyond the length and dims beyond the head's are zeros.
  void loadQuery() {
    query.clear();
    for (int64_t r = 0; r < options.blockQ && exists(r); ++r)
      for (int d = 0; d < spec.headDimQk; ++d)
        query.set(r, d, inputs.q[problem.q.at(batchIndex, headIndex, first + r) + d]);
  }

  void loadKeys(int64_t begin) {
    int kvHead = headIndex / (problem.headsQ / problem.headsKv);
    keys.clear();
    values.clear();
    for (int64_t n = 0; n < options.blockKv && begin + n < problem.lengthKv; ++n) {
      const uint16_t *k = inputs.k + problem.k.at(batchIndex, kvHead, begin + n);
      const uint16_t *v = inputs.v + problem.v.at(batchIndex, kvHead, begin + n);
      for (int d = 0; d < spec.headDimQk; ++d)
        keys.set(d, n, k[d]);
      for (int d = 0; d < spec.headDimV; ++d)
        values.set(n, d, v[d]);
    }
    if (values.finite())
      return;
    finiteValues.clear();
    for (int64_t n = 0; n < options.blockKv; ++n)
      for (int d = 0; d < spec.headDimV; ++d)
        if (uint16_t bits = values.get(n, d); std::isfinite(toFloat(spec.dtype, bits)))
          finiteValues.set(n, d, bits);
  }

  void startWarps() {
    warps.assign(options.warps, {});
    for (int w = 0; w < options.warps; ++w) {
      Warp &warp = warps[w];
      for (int64_t tile = 16 * w; tile < options.blockQ; tile += 16 * options.warps)
        for (int r = 0; r < 16; ++r)
          warp.rows.push_back(tile + r);
      warp.maximum.assign(warp.rows.size(), 0.0f);
      warp.limit.assign(warp.rows.size(), -infinity);
      warp.sum.assign(warp.rows.size(), {});
      warp.output.assign(warp.rows.size() * paddedV, 0.0f);
    }
  }

  void step(Warp &warp, int64_t begin, bool masked) {
    float c = score.toLog2;
    for (size_t i = 0; i < warp.rows.size(); ++i) {
      float *x = scores.data();
      std::fill_n(x, options.blockKv, 0.0f);
      // A row of zeros gives zeros, unless there is a NaN or an infinity for it to meet.
      if (exists(warp.rows[i]) || !keys.finite())
        exactMatmulRow(query, warp.rows[i], keys, paddedQk, x, options.blockKv, options.rule);
      Interval kept = keptOf(first + warp.rows[i]);
      float &maximum = warp.maximum[i], &limit = warp.limit[i], newMaximum = -infinity;
      for (int n = 0; n < options.blockKv; ++n) {
        x[n] = masked && !kept.contains(begin + n) ? -infinity : score(x[n]);
        newMaximum = maxF32(newMaximum, x[n]);
      }
      if (isFar(maximum) ? newMaximum > maximum : newMaximum > limit) {
        float down = (maximum - newMaximum) * c, alpha = ex2(down < 0 ? down : 0.0f);
        for (float &partial : warp.sum[i])
          partial *= alpha;
        for (int64_t d = 0; d < paddedV; ++d)
          warp.output[i * paddedV + d] *= alpha;
        maximum = newMaximum;
        limit = std::min(maximum + 8.0f / c, std::numeric_limits<float>::max());
      }
      float base = maximum * c;
      if (isFar(maximum)) {
        for (int n = 0; n < options.blockKv; ++n)
          x[n] -= maximum;
        base = 0;
      }
      float *output = warp.output.data() + i * paddedV;
      bool apart = attempt > 0 && masked && !values.finite();
      for (int n = 0; apart && n < options.blockKv; ++n)
        for (int d = 0; x[n] != -infinity && d < spec.headDimV; ++d)
          if (float v = toFloat(spec.dtype, values.get(n, d)); !std::isfinite(v))
            output[d] += v;
      probabilities.clear();
      for (int n = 0; n < options.blockKv; ++n) {
        float p = ex2(std::fma(x[n], c, -base));
        warp.sum[i][n % 8 / 2] += p;
        probabilities.set(0, n, fromFloat(spec.dtype, small() ? p / weightScale : p));
      }
      if (exists(warp.rows[i]))
        exactMatmulRow(probabilities, 0, apart ? finiteValues : values, options.blockKv, output, paddedV,
                       options.rule);
    }
  }

  bool small() const { return attempt == 2; }
  static float sumOf(const std::array<float, 4> &partial) {
    return (partial[0] + partial[1]) + (partial[2] + partial[3]);
  }
  /// A row's denominator, its reference, and what its output is multiplied by.
  struct Ending {
    float total, reference, inverse;
  };
  Ending endingOf(float sum, float maximum) const {
    Ending ending{sum, maximum, 0};
    float keysFactor = 1;
    if (spec.sink) {
      float sink = inputs.sink[headIndex] * (1.0f / score.toNatural);
      float down = ex2(std::abs(maximum - sink) * -score.toLog2);
      bool leads = sink >= maximum;
      keysFactor = leads ? down : 1;
      ending = {sum * keysFactor + (leads ? 1 : down), leads ? sink : maximum, 0};
    }
    if (sum == 0)
      return ending;
    ending.inverse = rcp(ending.total) * keysFactor;
    if (small())
      ending.inverse *= weightScale;
    return ending;
  }
  bool allFinite() const {
    for (const Warp &warp : warps)
      for (size_t i = 0; i < warp.rows.size(); ++i)
        for (int64_t d = 0; exists(warp.rows[i]) && d < paddedV; ++d)
          if (!std::isfinite(warp.output[i * paddedV + d] *
                             endingOf(sumOf(warp.sum[i]), warp.maximum[i]).inverse))
            return false;
    return true;
  }

  void finish(const Warp &warp, uint16_t *o, float *lse) const {
    for (size_t i = 0; i < warp.rows.size(); ++i) {
      if (!exists(warp.rows[i]))
        continue;
      int64_t row = first + warp.rows[i];
      float sum = sumOf(warp.sum[i]);
      Ending ending = endingOf(sum, warp.maximum[i]);
      uint16_t *out = o + problem.o.at(batchIndex, headIndex, row);
      for (int d = 0; d < spec.headDimV; ++d)
        out[d] = fromFloat(spec.dtype, sum == 0 ? 0.0f : warp.output[i * paddedV + d] * ending.inverse);
      if (!lse)
        continue;
      float value = std::fma(ending.reference, score.toNatural, lg2(ending.total) * float(ln2));
      if (std::isnan(value))
        value = std::bit_cast<float>(0x7fffffff);
      float empty = spec.sink ? inputs.sink[headIndex] : -infinity;
      lse[problem.lse.at(batchIndex, headIndex, row)] = sum == 0 ? empty : value;
    }
  }

  const AttentionSpec &spec;
  const Problem &problem;
  const Inputs &inputs;
  const GoldenOptions &options;
  ScoreFunction score;
  int64_t paddedQk, paddedV;
  DecodedMatrix query;         ///< rows x dims
  DecodedMatrix keys;          ///< dims x keys
  DecodedMatrix values;        ///< keys x dims
  DecodedMatrix finiteValues;  ///< `values` with 0 for NaN and infinity; set where there are any
  DecodedMatrix probabilities; ///< of one row
  std::vector<float> scores;   ///< of one row
  std::vector<Warp> warps;
  int batchIndex = 0, headIndex = 0, attempt = 0;
  int64_t first = 0;
};

} // namespace

void goldenAttention(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs,
                     const GoldenOptions &options, uint16_t *o, float *lse) {
  int64_t blocks = (problem.lengthQ + options.blockQ - 1) / options.blockQ;
  int64_t heads = int64_t(problem.batch) * problem.headsQ;
  parallelFor(heads * blocks, [&](int64_t index) {
    int64_t head = index / blocks;
    Block block(spec, problem, inputs, options);
    block.compute(int(head / problem.headsQ), int(head % problem.headsQ), index % blocks * options.blockQ, o,
                  lse);
  });
}

} // namespace attune::reference
