//===- Statistics.h - what repeated timings say -----------------*- C++ -*-===//
#ifndef ATTUNE_TUNER_STATISTICS_H
#define ATTUNE_TUNER_STATISTICS_H

#include <utility>
#include <vector>

namespace attune::tuner {

/// Median of some timings, and an interval that holds the true median with 95 % confidence, by order
/// statistics: it assumes no distribution. With fewer than 6 samples it is from the least to the largest.
struct Timing {
  double median = 0, low = 0, high = 0;
};
Timing timingOf(std::vector<double> samples);

/// Kendall's tau-b of pairs (a, b): 1 if both order alike, -1 if one reverses the other, 0 if they have
/// nothing to do with each other; ties are allowed for. 0 for fewer than two pairs.
double kendallTau(const std::vector<std::pair<double, double>> &pairs);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_STATISTICS_H
