//===- Pipeline.cpp - compiling ahead -------------------------------------===//
#include "tuner/Pipeline.h"

#include <algorithm>
#include <csignal>

namespace attune::tuner {

Pipeline::Pipeline(const Build &build, std::vector<Candidate> list, unsigned count, size_t ahead)
    : build(build), candidates(std::move(list)), ahead(ahead) {
  if (count == 0)
    count = std::max(1u, std::thread::hardware_concurrency());
  // Signals are for the thread that waits for the results.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  for (unsigned i = 0; i < count && i < candidates.size(); ++i)
    threads.emplace_back([this] { work(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Pipeline::~Pipeline() {
  {
    std::lock_guard guard(lock);
    ending = true;
  }
  changed.notify_all();
  for (std::thread &thread : threads)
    thread.join();
}

void Pipeline::work() {
  std::unique_lock guard(lock);
  while (true) {
    changed.wait(guard, [&] { return ending || begun >= candidates.size() || begun < taken + ahead; });
    if (ending || begun >= candidates.size())
      return;
    size_t mine = begun++;
    guard.unlock();
    Result<CompiledProgram> made = build(candidates[mine]);
    guard.lock();
    done.emplace(mine, std::move(made));
    changed.notify_all();
  }
}

Result<CompiledProgram> Pipeline::take() {
  std::unique_lock guard(lock);
  if (taken >= candidates.size())
    return badInput("expected a candidate that is left");
  changed.wait(guard, [&] { return done.contains(taken); });
  auto found = done.find(taken++);
  Result<CompiledProgram> kernel = std::move(found->second);
  done.erase(found);
  changed.notify_all();
  return kernel;
}

bool Pipeline::ready() const {
  std::lock_guard guard(lock);
  return done.contains(taken);
}

} // namespace attune::tuner
