//===- Parallel.h - independent tasks on all cores --------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_REFERENCE_PARALLEL_H
#define ATTUNE_RUNTIME_REFERENCE_PARALLEL_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace attune::reference {

/// Calls `task(i)` for every i in [0, count), each once, on as many threads as there are cores. Tasks must
/// not depend on one another: results are then the same for any number of cores.
template <typename Task> void parallelFor(int64_t count, const Task &task) {
  int64_t threads = std::min<int64_t>(count, std::max(1u, std::thread::hardware_concurrency()));
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;)
      task(i);
  };
  std::vector<std::jthread> helpers;
  for (int64_t i = 1; i < threads; ++i)
    helpers.emplace_back(work);
  work();
}

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_PARALLEL_H
