//===- Exchange.h - results that travel -------------------------*- C++ -*-===//
//
// What stores hold as JSON: to be looked at, carried to other machines, judged a model by (`attune model
// check`), and shipped.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_EXCHANGE_H
#define ATTUNE_TUNER_EXCHANGE_H

#include "tuner/Store.h"

#include <string>
#include <string_view>
#include <vector>

namespace attune::tuner {

/// Everything that a store holds.
struct Exchange {
  std::vector<StoredSweep> sweeps;
  std::vector<StoredRow> rows;
};

/// Of the rows, those that a user of the device needs: of every subject, shape and target, the winner. Sweeps
/// are left out.
Exchange winnersOnly(const Exchange &all);

/// One JSON object, a row a line. `readExchange` reads it back; an error names the place in `file`.
std::string exchangeText(const Exchange &exchange);
Result<Exchange> readExchange(std::string_view text, std::string_view file);

/// Results that came with attune: winners that were measured on real GPUs. Read once.
const Exchange &shippedResults();

} // namespace attune::tuner

#endif // ATTUNE_TUNER_EXCHANGE_H
