//===- Foretell.h - what virtual clocks expect ------------------*- C++ -*-===//
//
// Before a GPU times a sweep's candidates, simulated devices of its architecture follow the model's best of
// them by their virtual clocks, several at once.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_FORETELL_H
#define ATTUNE_TUNER_FORETELL_H

#include "tuner/Sweep.h"

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

namespace attune::tuner {

/// What a clock says of a candidate.
struct Foretold {
  size_t place = 0;                              ///< in the list of candidates
  std::optional<Result<CompiledProgram>> kernel; ///< as it was built; nothing if there was no time for it
  std::optional<Timed> timed;                    ///< nothing if it was not built, spills, or time ran out
};

/// Builds the candidates in order and has each followed by the clock that is free first, until `deadline` or
/// until `stopped` says so: none is begun that would not be finished. Not every candidate has an answer.
std::vector<Foretold> foretell(const std::vector<Timer *> &clocks, const Build &build,
                               const std::vector<Candidate> &candidates,
                               std::chrono::steady_clock::time_point deadline,
                               const std::function<bool()> &stopped);

/// Why a kernel keeps values in memory, as its assembler says; empty if it does not, or none has said.
std::string spillText(const CompiledProgram &kernel);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_FORETELL_H
