//===- Advisor.h - what a store knows, for planning -------------*- C++ -*-===//
//
// Answers, for a spec, a shape and a device, from three sources in this order: the user's own store; the
// results that came with attune; the model. Of a store it takes the winner of the nearest shape and spec that
// it has for this device (measured times on a GPU, estimates on the simulated one, never mixed). For another
// shape or spec than was measured a winner serves only where the model does not see its own choice clearly
// ahead. The answer says which source spoke, and how its spec and shape differ. It never measures and never
// compiles. What it reads from a store it keeps, so that an answer that it gave before costs some
// microseconds however large the store is.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_ADVISOR_H
#define ATTUNE_TUNER_ADVISOR_H

#include "runtime/plan/Advice.h"
#include "tuner/Exchange.h"
#include "tuner/Store.h"

#include <memory>
#include <optional>
#include <string>

namespace attune::tuner {

struct AdvisorOptions {
  std::optional<Target> target; ///< only this one is advised
  /// A candidate takes the place of the compiler's own choice only if the model has it this much faster.
  double modelMargin = 1.15;
  /// A winner of another shape or spec serves unless the model has its own choice this much faster: what the
  /// model is off by, among good schedules.
  double winnerMargin = 1.05;
  const Exchange *shipped = &shippedResults(); ///< asked after the store; null: nothing is
};

/// An advisor over `store`, which may be null: then it has only what is shipped and the model. Safe to call
/// from many threads. A store that fails while it is asked is told once, through `onError`, and is then as if
/// empty.
Advisor makeAdvisor(std::shared_ptr<Store> store, const AdvisorOptions &options = {},
                    std::function<void(const Error &)> onError = {});

/// How a result of `stored` differs from what is wanted of `spec`, in words ("without LSE, with another
/// mask"); empty where nothing that costs time does.
std::string differenceText(const AttentionSpec &stored, const AttentionSpec &spec);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_ADVISOR_H
