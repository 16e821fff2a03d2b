//===- Pipeline.cpp - compiling ahead -------------------------------------===//
#include "tuner/Pipeline.h"

#include <algorithm>

namespace attune::tuner {

Pipeline::Pipeline(const Build &build, std::vector<Candidate> list, unsigned count, size_t ahead,
                   Clock::time_point deadline)
    : build(build), candidates(std::move(list)), ahead(ahead), deadline(deadline) {
  if (count == 0)
    count = std::max(1u, std::thread::hardware_concurrency());
  SignalsElsewhere quiet;
  for (unsigned i = 0; i < count && i < candidates.size(); ++i)
    threads.emplace_back([this] { work(); });
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
    auto start = Clock::now();
    std::chrono::duration<double> left = deadline - start;
    if (begun > 0 && left.count() < typical.seconds()) {
      ending = true;
      changed.notify_all();
      return;
    }
    size_t mine = begun++;
    guard.unlock();
    Result<CompiledProgram> made = build(candidates[mine]);
    guard.lock();
    typical.add(std::chrono::duration<double>(Clock::now() - start).count());
    done.emplace(mine, std::move(made));
    changed.notify_all();
  }
}

std::optional<Result<CompiledProgram>> Pipeline::take() {
  std::unique_lock guard(lock);
  if (taken >= candidates.size())
    return std::nullopt;
  changed.wait(guard, [&] { return done.contains(taken) || (ending && begun <= taken); });
  if (!done.contains(taken))
    return std::nullopt;
  auto found = done.find(taken++);
  Result<CompiledProgram> kernel = std::move(found->second);
  done.erase(found);
  changed.notify_all();
  return std::optional(std::move(kernel));
}

bool Pipeline::ready() const {
  std::lock_guard guard(lock);
  return done.contains(taken);
}

} // namespace attune::tuner
