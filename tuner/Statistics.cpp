//===- Statistics.cpp - what repeated timings say -------------------------===//
#include "tuner/Statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace attune::tuner {

Timing timingOf(std::vector<double> samples) {
  if (samples.empty())
    return {};
  std::sort(samples.begin(), samples.end());
  size_t count = samples.size();
  double median = count % 2 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
  // The number of samples below the true median is binomial(count, 1/2): mean n/2, deviation sqrt(n)/2.
  double reach = 1.96 * std::sqrt(double(count)) / 2;
  auto low = std::ptrdiff_t(std::floor(double(count) / 2 - reach));
  low = std::clamp<std::ptrdiff_t>(count < 6 ? 0 : low, 0, std::ptrdiff_t(count) - 1);
  return {median, samples[size_t(low)], samples[count - 1 - size_t(low)]};
}

double kendallTau(const std::vector<std::pair<double, double>> &pairs) {
  double agree = 0, tiesA = 0, tiesB = 0, all = 0;
  for (size_t i = 0; i < pairs.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      double a = pairs[i].first - pairs[j].first, b = pairs[i].second - pairs[j].second;
      ++all;
      tiesA += a == 0;
      tiesB += b == 0;
      if (a != 0 && b != 0)
        agree += (a > 0) == (b > 0) ? 1 : -1;
    }
  double scale = std::sqrt((all - tiesA) * (all - tiesB));
  return scale > 0 ? agree / scale : 0;
}

} // namespace attune::tuner
