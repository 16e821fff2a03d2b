//===- Workers.h - threads that plan in the background ----------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_API_WORKERS_H
#define ATTUNE_RUNTIME_API_WORKERS_H

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace attune::api {

/// The process's threads, which begin when there is work. When the process ends, what has not begun is
/// dropped and what has is waited for: a compiler must not run while its library is taken down. In a process
/// that forks, the child has new ones.
class Workers {
public:
  static Workers &ofProcess();
  /// The most tasks that run at once.
  static size_t most();
  void run(std::function<void()> task);

private:
  static void endOfProcess();
  void work();
  void end();

  std::mutex lock;
  std::condition_variable wake;
  std::deque<std::function<void()>> tasks;
  std::vector<std::thread> threads;
  size_t idle = 0;
  bool ending = false;
};

} // namespace attune::api

#endif // ATTUNE_RUNTIME_API_WORKERS_H
