//===- Advisor.h - what a store knows, for planning -------------*- C++ -*-===//
//
// Answers, for a spec, a shape and a device: the winner of the nearest shape that the store has for this
// device (measured times on a GPU, estimates on the simulated one, never mixed); else the model's choice. It
// never measures and never compiles. What it reads from the store it keeps, so that an answer that it gave
// before costs some microseconds however large the store is.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_ADVISOR_H
#define ATTUNE_TUNER_ADVISOR_H

#include "runtime/plan/Advice.h"
#include "tuner/Store.h"

#include <memory>
#include <optional>
#include <string>

namespace attune::tuner {

struct AdvisorOptions {
  std::optional<Target> target; ///< only this one is advised
  /// A candidate takes the place of the compiler's own choice only if the model has it this much faster.
  double modelMargin = 1.15;
};

/// An advisor over `store`, which may be null: then every answer is the model's. Safe to call from many
/// threads. A store that fails while it is asked is told once, through `onError`, and is then as if empty.
Advisor makeAdvisor(std::shared_ptr<Store> store, const AdvisorOptions &options = {},
                    std::function<void(const Error &)> onError = {});

/// How far apart two shapes are: the sum of their dimensions' ratios, in octaves. 0: equal.
double distance(const ProblemShape &a, const ProblemShape &b);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_ADVISOR_H
