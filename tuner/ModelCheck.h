//===- ModelCheck.h - the cost model against measured schedules -*- C++ -*-===//
//
// Judges the cost model by what a store exported. Each sweep (a spec and a shape on a device) is judged
// twice: with the coefficients as they are, and with ones that were fitted to the other sweeps of the file
// alone, so that no sweep has had a part in what judges it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_MODELCHECK_H
#define ATTUNE_TUNER_MODELCHECK_H

#include "tuner/CostModel.h"
#include "tuner/Exchange.h"

#include <optional>
#include <string>
#include <vector>

namespace attune::tuner {

/// How well an order of schedules fits what was measured.
struct Verdicts {
  double tau = 0; ///< Kendall's tau over pairs whose intervals do not overlap; 0 without any
  size_t pairs = 0;
  /// The model's first choice: its median against the best one's and against the compiler's own choice (0:
  /// that was not measured), and the least that it loses if both intervals are taken at their word.
  double regret = 0, toStandard = 0, surelyLost = 0;
  size_t choice = 0; ///< its place among the sweep's rows
};

struct CheckedSweep {
  Subject subject;
  ProblemShape shape;
  std::vector<StoredRow> rows; ///< passed, of families and specs that this attune knows
  double scale = 0;            ///< measured time over the model's, geometric mean
  Verdicts asShipped, leftOut; ///< `leftOut`: without a fit, as shipped
};

struct ModelReport {
  std::vector<CheckedSweep> sweeps;
  size_t left = 0;     ///< rows that no sweep took: of unknown kinds, estimates, of sweeps of few
  bool fitted = false; ///< whether there were two sweeps or more to leave one out of
  std::optional<Coefficients> best; ///< fitted to all of them, if that was asked for
};

/// Sweeps with fewer than this many passed rows say nothing about an order.
inline constexpr size_t leastRows = 8;

ModelReport checkModel(const Exchange &exchange, bool fitAll);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_MODELCHECK_H
