//===- Halving.h - who is fastest, with few timings -------------*- C++ -*-===//
//
// Successive halving over candidates that arrive one after the other: newcomers are timed a few times beside
// the leader; those that are clearly slower leave; at the end the rest are timed in rounds, each with twice
// the timings and half the field. Pure bookkeeping: it says what to time next and is told the results.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_HALVING_H
#define ATTUNE_TUNER_HALVING_H

#include "tuner/Statistics.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace attune::tuner {

class Halving {
public:
  /// Timings of a newcomer, most timings of one candidate, most candidates that stay in the field.
  explicit Halving(int firstSamples = 5, int mostSamples = 160, size_t fieldSize = 16)
      : firstSamples(firstSamples), mostSamples(mostSamples), fieldSize(fieldSize) {}

  /// What to time now: each of `ids` once, in this order, `repeats` times over. Interleaving them so lets
  /// a drifting clock hit all alike.
  struct Round {
    std::vector<int> ids;
    int repeats = 0;
  };

  /// The round that lets newcomers in: they and the leader.
  Round admit(const std::vector<int> &newcomers) const;
  /// The next round among those that are left; nothing when the leader is settled.
  std::optional<Round> next();
  /// What a timing gave. Samples of one candidate add up.
  void record(int id, double us);
  /// It can win no more (it failed). If it led, those that were let go because of it are in the field again.
  void drop(int id);
  /// Lets those go whose interval lies above the leader's, and the slowest beyond the field's size.
  void prune();

  std::optional<int> leader() const;
  bool inField(int id) const { return field.contains(id); }
  const std::map<int, std::vector<double>> &samples() const { return timed; }

private:
  std::vector<int> byMedian() const;

  int firstSamples, mostSamples;
  size_t fieldSize;
  std::map<int, std::vector<double>> timed; ///< of every candidate that was ever timed
  std::map<int, Timing> field;              ///< of those that may still win
  std::set<int> failed;
  int repeats = 0; ///< of the last round of `next`
};

} // namespace attune::tuner

#endif // ATTUNE_TUNER_HALVING_H
