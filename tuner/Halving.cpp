//===- Halving.cpp - who is fastest, with few timings ---------------------===//
#include "tuner/Halving.h"

#include <algorithm>

namespace attune::tuner {

Halving::Round Halving::admit(const std::vector<int> &newcomers) const {
  Round round{newcomers, firstSamples};
  if (std::optional<int> best = leader())
    if (int(timed.at(*best).size()) < mostSamples)
      round.ids.insert(round.ids.begin(), *best);
  return round;
}

void Halving::record(int id, double us) {
  std::vector<double> &all = timed[id];
  all.push_back(us);
  field[id] = timingOf(all);
}

void Halving::drop(int id) {
  bool led = leader() == id;
  failed.insert(id);
  field.erase(id);
  if (!led)
    return;
  for (const auto &[other, samples] : timed)
    if (!failed.contains(other))
      field[other] = timingOf(samples);
  prune();
}

std::vector<int> Halving::byMedian() const {
  std::vector<int> ids;
  for (const auto &[id, timing] : field)
    ids.push_back(id);
  std::sort(ids.begin(), ids.end(), [&](int a, int b) {
    return std::pair(field.at(a).median, a) < std::pair(field.at(b).median, b);
  });
  return ids;
}

std::optional<int> Halving::leader() const {
  std::vector<int> order = byMedian();
  return order.empty() ? std::nullopt : std::optional<int>(order.front());
}

void Halving::prune() {
  std::vector<int> order = byMedian();
  for (size_t i = 1; i < order.size(); ++i)
    if (field.at(order[i]).low > field.at(order[0]).high || i >= fieldSize)
      field.erase(order[i]);
}

std::optional<Halving::Round> Halving::next() {
  prune();
  std::vector<int> order = byMedian();
  if (repeats > 0 && order.size() > 1) { // a round is over: half of the field goes
    for (size_t i = std::max<size_t>((order.size() + 1) / 2, 1); i < order.size(); ++i)
      field.erase(order[i]);
    order.resize((order.size() + 1) / 2);
  }
  repeats = repeats ? 2 * repeats : 2 * firstSamples;
  if (order.size() < 2 || int(timed.at(order.front()).size()) >= mostSamples)
    return std::nullopt;
  return Round{order, std::min(repeats, mostSamples)};
}

} // namespace attune::tuner
