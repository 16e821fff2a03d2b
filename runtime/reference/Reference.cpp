//===- Reference.cpp - attention in fp64 ----------------------------------===//
#include "runtime/reference/Reference.h"

#include "runtime/reference/ExpressionRows.h"
#include "runtime/reference/Float16.h"
#include "runtime/reference/Gemm.h"
#include "runtime/reference/Parallel.h"

#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

namespace attune::reference {
namespace {

int64_t roundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// How the two algorithms differ: the type of sums, and what is rounded on the way.
template <DType dtype> struct Exact {
  using Number = double;
  static double round(double value) { return value; }
};
template <DType dtype> struct Plain {
  using Number = float;
  static float round(float value) { return toFloat<dtype>(fromFloat<dtype>(value)); }
};

/// The query rows of some heads of one KV head, and the arrays for them.
template <template <DType> typename Algorithm, DType dtype> class RowBlock {
  using Number = typename Algorithm<dtype>::Number;
  static constexpr int64_t keysPerStep = 256;

public:
  RowBlock(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs, int64_t rows)
      : spec(spec), problem(problem), inputs(inputs), paddedDimV(roundUp(spec.headDimV, gemmColumns<Number>)),
        paddedRows(roundUp(rows, gemmRows)), strideScores(roundUp(problem.lengthKv, keysPerStep)),
        query(paddedRows * spec.headDimQk), scores(paddedRows * strideScores),
        output(paddedRows * paddedDimV), matrix(keysPerStep * std::max<int64_t>(spec.headDimQk, paddedDimV)),
        kept(paddedRows, Interval{0, 0}), logSum(paddedRows), keptKeys(spec, problem, inputs) {
    if (!spec.scoreExpression.empty())
      scoreExpression.emplace(parsed(spec, spec.scoreExpression, false), spec, problem, inputs);
    if (keptKeys.hasExpressions())
      keeps.assign(size_t(rows), std::vector<uint8_t>(size_t(problem.lengthKv)));
  }

  /// Rows [begin, end) of query head `head`.
  void compute(int batch, int head, int64_t begin, int64_t end) {
    batchIndex = batch;
    headIndex = head;
    firstRow = begin;
    kvHead = head / (problem.headsQ / problem.headsKv);
    if (spec.sink)
      sink = inputs.sink[head];
    rows = end - begin;
    EntryLengths lengths = lengthsOf(spec, problem, inputs, batch);
    for (int64_t r = 0; r < rows; ++r) {
      const uint16_t *row = inputs.q + problem.q.at(batch, head, begin + r);
      for (int i = 0; i < spec.headDimQk; ++i)
        query[r * spec.headDimQk + i] = toFloat<dtype>(row[i]);
      kept[r] = reference::keptKeys(spec, begin + r, lengths.q, lengths.kv);
      if (!keeps.empty())
        keptKeys.row(batch, head, begin + r, keeps[size_t(r)]);
    }
    keys = {problem.lengthKv, 0};
    for (int64_t r = 0; r < rows; ++r)
      if (!kept[r].empty())
        keys = {std::min(keys.begin, kept[r].begin), std::max(keys.end, kept[r].end)};
    keys.begin = keys.begin / keysPerStep * keysPerStep;
    if (!keys.empty())
      keys.end = std::min<int64_t>(roundUp(keys.end, keysPerStep), problem.lengthKv);
    std::fill(output.begin(), output.end(), Number(0));
    multiplyKeys();
    for (int64_t r = 0; r < rows; ++r)
      logSum[r] = softmax(scores.data() + r * strideScores, r);
    multiplyValues(false);
  }

  /// Replaces the output by sqrt(sum (p v)^2) of the same rows.
  void computeSpread() {
    std::fill(output.begin(), output.end(), Number(0));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t kv = kept[r].begin; kv < kept[r].end; ++kv)
        scores[r * strideScores + kv] *= scores[r * strideScores + kv];
    multiplyValues(true);
    for (Number &value : output)
      value = std::sqrt(value);
  }

  const Number *outputRow(int64_t r) const { return output.data() + r * paddedDimV; }
  double lse(int64_t r) const { return logSum[r]; }
  /// Of scores that an expression made: the largest finite one.
  double largestScore() const { return largest; }

private:
  template <typename Step> void forEachStep(const Step &step) {
    for (int64_t first = keys.begin; first < keys.end; first += keysPerStep)
      step(first, std::min(first + keysPerStep, keys.end));
  }

  /// scores[:, keys] = query K^T
  void multiplyKeys() {
    forEachStep([&](int64_t first, int64_t last) {
      for (int64_t r = 0; r < paddedRows; ++r)
        std::fill_n(scores.data() + r * strideScores + first, keysPerStep, Number(0));
      for (int64_t kv = first; kv < last; ++kv) {
        const uint16_t *row = inputs.k + problem.k.at(batchIndex, kvHead, kv);
        for (int i = 0; i < spec.headDimQk; ++i)
          matrix[i * keysPerStep + kv - first] = toFloat<dtype>(row[i]);
      }
      gemm<Number>(query.data(), spec.headDimQk, matrix.data(), keysPerStep, scores.data() + first,
                   strideScores, paddedRows, roundUp(last - first, gemmColumns<Number>), spec.headDimQk);
    });
  }

  Number scoreOf(Number dot) const {
    auto round = Algorithm<dtype>::round;
    Number score = round(round(dot) * Number(scale));
    if (spec.softcap) {
      Number cap = Number(*spec.softcap);
      score = round(cap * round(std::tanh(round(score / cap))));
    }
    return score;
  }

  bool seesKey(int64_t r, int64_t kv) const { return keeps.empty() || keeps[size_t(r)][size_t(kv)]; }

  /// The scores of a row's keys from what the products are.
  void applyScores(Number *row, int64_t r) {
    Interval keys = kept[r];
    for (int64_t kv = keys.begin; kv < keys.end; ++kv)
      row[kv] = scoreOf(row[kv]);
    if (!scoreExpression)
      return;
    std::vector<double> given(row + keys.begin, row + keys.end);
    const std::vector<double> &made =
        scoreExpression->evaluate(batchIndex, headIndex, firstRow + r, keys.begin, keys.end, given.data());
    for (int64_t kv = keys.begin; kv < keys.end; ++kv) {
      row[kv] = Algorithm<dtype>::round(Number(made[size_t(kv - keys.begin)]));
      if (seesKey(r, kv) && std::isfinite(row[kv]))
        largest = std::max(largest, std::abs(double(row[kv])));
    }
  }

  /// Turns the kept scores into probabilities and the others into 0. Returns the logarithm of the
  /// denominator.
  double softmax(Number *row, int64_t r) {
    constexpr Number infinity = std::numeric_limits<Number>::infinity();
    Interval inside = kept[r];
    if (inside.empty()) {
      std::fill(row + keys.begin, row + std::max(keys.begin, keys.end), Number(0));
      return sink;
    }
    std::fill(row + keys.begin, row + inside.begin, Number(0));
    std::fill(row + inside.end, row + keys.end, Number(0));
    applyScores(row, r);
    Number maximum = sink;
    for (int64_t kv = inside.begin; kv < inside.end; ++kv) {
      if (!seesKey(r, kv))
        row[kv] = -infinity;
      maximum = std::max(maximum, row[kv]);
    }
    Number reference = maximum == -infinity ? Number(0) : maximum;
    // inf - inf would be NaN: an infinite sink leaves nothing to the keys.
    Number sum = sink == reference ? Number(1) : std::exp(sink - reference);
    for (int64_t kv = inside.begin; kv < inside.end; ++kv)
      sum += row[kv] = std::exp(row[kv] - reference);
    // A denominator of 0 means that every kept score is -inf, and the sink: there is nothing to attend to.
    for (int64_t kv = inside.begin; kv < inside.end; ++kv)
      row[kv] = sum == 0 ? Number(0) : Algorithm<dtype>::round(row[kv] / sum);
    return sum == 0 ? -infinity : double(reference) + std::log(double(sum));
  }

  /// output += scores V, or scores V^2
  void multiplyValues(bool squared) {
    forEachStep([&](int64_t first, int64_t last) {
      bool finite = true;
      for (int64_t kv = first; kv < last; ++kv) {
        const uint16_t *row = inputs.v + problem.v.at(batchIndex, kvHead, kv);
        Number *values = matrix.data() + (kv - first) * paddedDimV;
        for (int i = 0; i < spec.headDimV; ++i) {
          Number value = toFloat<dtype>(row[i]);
          finite &= std::isfinite(value);
          values[i] = squared ? value * value : value;
        }
        std::fill(values + spec.headDimV, values + paddedDimV, Number(0));
      }
      if (finite)
        return gemm<Number>(scores.data() + first, strideScores, matrix.data(), paddedDimV, output.data(),
                            paddedDimV, paddedRows, paddedDimV, last - first);
      // 0 x inf is NaN: add only what is kept.
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t kv = std::max(first, kept[r].begin); kv < std::min(last, kept[r].end); ++kv)
          for (int i = 0; seesKey(r, kv) && i < spec.headDimV; ++i)
            output[r * paddedDimV + i] +=
                scores[r * strideScores + kv] * matrix[(kv - first) * paddedDimV + i];
    });
  }

  const AttentionSpec &spec;
  const Problem &problem;
  const Inputs &inputs;
  int64_t paddedDimV, paddedRows, strideScores;
  double scale = spec.scale.value_or(1.0 / std::sqrt(double(spec.headDimQk)));
  std::vector<Number> query, scores, output, matrix;
  std::vector<Interval> kept;
  std::vector<double> logSum;
  Number sink = -std::numeric_limits<Number>::infinity(); ///< of the head
  KeptKeys keptKeys;
  std::optional<ExpressionRows> scoreExpression;
  std::vector<std::vector<uint8_t>> keeps; ///< of each row, where the mask has expressions
  double largest = 0;
  int batchIndex = 0, headIndex = 0, kvHead = 0;
  int64_t firstRow = 0;
  int64_t rows = 0;
  Interval keys{0, 0}; ///< steps that hold what any of the rows keeps
};

/// Calls store(block, firstRow, rows) for blocks of rows that cover the outputs; firstRow counts in
/// (batch, headsQ, lengthQ).
template <template <DType> typename Algorithm, DType dtype, typename Store>
void forEachRowBlock(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs,
                     const Store &store) {
  // A block's scores stay within some megabytes, also for a million keys.
  int64_t rows = std::clamp<int64_t>((int64_t(1) << 20) / std::max(problem.lengthKv, 1), 4, 128);
  int64_t blocks = (problem.lengthQ + rows - 1) / rows, heads = int64_t(problem.batch) * problem.headsQ;
  parallelFor(heads * blocks, [&](int64_t index) {
    int64_t head = index / blocks, begin = index % blocks * rows;
    int64_t end = std::min<int64_t>(begin + rows, problem.lengthQ);
    RowBlock<Algorithm, dtype> block(spec, problem, inputs, end - begin);
    block.compute(int(head / problem.headsQ), int(head % problem.headsQ), begin, end);
    store(block, head * problem.lengthQ + begin, end - begin);
  });
}

template <DType dtype>
ExactAttention exactTyped(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs) {
  ElementCounts counts = elementCounts(spec, problem);
  ExactAttention result;
  result.o.resize(counts.o);
  result.lse.resize(counts.lse);
  if (counts.o < smallOutput)
    result.spread.resize(counts.o);
  std::mutex lock;
  double largestScore = 0;
  forEachRowBlock<Exact, dtype>(spec, problem, inputs, [&](auto &block, int64_t firstRow, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(block.outputRow(r), spec.headDimV, result.o.data() + (firstRow + r) * spec.headDimV);
      result.lse[firstRow + r] = block.lse(r);
    }
    {
      std::lock_guard guard(lock);
      largestScore = std::max(largestScore, block.largestScore());
    }
    if (result.spread.empty())
      return;
    block.computeSpread();
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(block.outputRow(r), spec.headDimV, result.spread.data() + (firstRow + r) * spec.headDimV);
  });

  auto largestNorm = [&](const uint16_t *elements, const Strides &strides, int heads, int length) {
    double largest = 0;
    for (int b = 0; b < problem.batch; ++b)
      for (int h = 0; h < heads; ++h)
        for (int r = 0; r < length; ++r) {
          float sum = 0;
          const uint16_t *row = elements + strides.at(b, h, r);
          for (int i = 0; i < spec.headDimQk; ++i)
            sum += toFloat<dtype>(row[i]) * toFloat<dtype>(row[i]);
          if (std::isfinite(sum))
            largest = std::max(largest, double(sum));
        }
    return std::sqrt(largest);
  };
  double scale = std::abs(spec.scale.value_or(1.0 / std::sqrt(double(spec.headDimQk))));
  result.scoreBound = scale * largestNorm(inputs.q, problem.q, problem.headsQ, problem.lengthQ) *
                      largestNorm(inputs.k, problem.k, problem.headsKv, problem.lengthKv);
  for (int h = 0; spec.sink && h < problem.headsQ; ++h)
    if (std::isfinite(inputs.sink[h]))
      result.scoreBound = std::max(result.scoreBound, double(std::abs(inputs.sink[h])));
  result.scoreBound = std::max(result.scoreBound, largestScore);
  return result;
}

template <DType dtype>
std::vector<uint16_t> plainTyped(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs) {
  std::vector<uint16_t> result(elementCounts(spec, problem).o);
  forEachRowBlock<Plain, dtype>(spec, problem, inputs, [&](auto &block, int64_t firstRow, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r)
      for (int i = 0; i < spec.headDimV; ++i)
        result[(firstRow + r) * spec.headDimV + i] = fromFloat<dtype>(block.outputRow(r)[i]);
  });
  return result;
}

} // namespace

ExactAttention exactAttention(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs) {
  return spec.dtype == DType::BF16 ? exactTyped<DType::BF16>(spec, problem, inputs)
                                   : exactTyped<DType::F16>(spec, problem, inputs);
}

std::vector<uint16_t> plainAttention(const AttentionSpec &spec, const Problem &problem,
                                     const Inputs &inputs) {
  return spec.dtype == DType::BF16 ? plainTyped<DType::BF16>(spec, problem, inputs)
                                   : plainTyped<DType::F16>(spec, problem, inputs);
}

} // namespace attune::reference
