//===- Workers.cpp - threads that plan in the background ------------------===//
#include "runtime/api/Workers.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <pthread.h>

namespace attune::api {

static std::atomic<Workers *> current;

Workers &Workers::ofProcess() {
  static std::once_flag once;
  std::call_once(once, [] {
    current = new Workers;
    // A child has none of its parent's threads, and the parent's locks as they were: both are left alone.
    ::pthread_atfork(nullptr, nullptr, [] { current = new Workers; });
    std::atexit(endOfProcess);
  });
  return *current;
}

void Workers::endOfProcess() { current.load()->end(); }

size_t Workers::most() { return std::clamp<size_t>(std::thread::hardware_concurrency(), 8, 64); }

void Workers::run(std::function<void()> task) {
  std::lock_guard guard(lock);
  if (ending)
    return;
  tasks.push_back(std::move(task));
  if (tasks.size() > idle && threads.size() < most())
    threads.emplace_back([this] { work(); });
  wake.notify_one();
}

void Workers::work() {
  std::unique_lock guard(lock);
  for (;;) {
    ++idle;
    wake.wait(guard, [&] { return ending || !tasks.empty(); });
    --idle;
    if (ending)
      return;
    std::function<void()> task = std::move(tasks.front());
    tasks.pop_front();
    guard.unlock();
    task();
    task = nullptr; // what it holds goes before the thread waits again
    // What the first task has made to live as long as the process is taken down before what was to be called
    // at the end earlier than that.
    static std::once_flag once;
    std::call_once(once, [] { std::atexit(endOfProcess); });
    guard.lock();
  }
}

void Workers::end() {
  std::vector<std::thread> joined;
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard guard(lock);
    ending = true;
    joined.swap(threads);
    dropped.swap(tasks);
  }
  wake.notify_all();
  for (std::thread &thread : joined)
    thread.join();
}

} // namespace attune::api
