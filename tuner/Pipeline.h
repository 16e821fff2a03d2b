//===- Pipeline.h - compiling ahead -----------------------------*- C++ -*-===//
//
// Threads that compile a list of candidates in order, a bounded number ahead of who takes the results, in
// the same order: what is tried does not depend on which thread is faster.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_PIPELINE_H
#define ATTUNE_TUNER_PIPELINE_H

#include "tuner/Sweep.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace attune::tuner {

class Pipeline {
public:
  /// `build` is called for each candidate, `ahead` at most beyond the last one taken.
  Pipeline(const Build &build, std::vector<Candidate> candidates, unsigned threads, size_t ahead);
  /// What is being compiled is finished, the rest is not begun.
  ~Pipeline();

  /// Waits for the next candidate's kernel.
  Result<CompiledProgram> take();
  /// Whether `take` would not wait.
  bool ready() const;

private:
  void work();

  const Build &build;
  const std::vector<Candidate> candidates;
  const size_t ahead;
  mutable std::mutex lock;
  std::condition_variable changed;
  size_t begun = 0, taken = 0;
  bool ending = false;
  std::map<size_t, Result<CompiledProgram>> done;
  std::vector<std::thread> threads;
};

} // namespace attune::tuner

#endif // ATTUNE_TUNER_PIPELINE_H
