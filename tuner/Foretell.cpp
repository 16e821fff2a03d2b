//===- Foretell.cpp - what virtual clocks expect --------------------------===//
#include "tuner/Foretell.h"

#include "tuner/Pipeline.h"

#include <mutex>
#include <thread>

#include <fmt/format.h>

namespace attune::tuner {

std::string spillText(const CompiledProgram &kernel) {
  const AssemblerReport *used = kernel.mainReport();
  return !used || used->spillStores + used->spillLoads == 0
             ? ""
             : fmt::format("{} bytes are stored and {} loaded again a thread ({} registers)",
                           used->spillStores, used->spillLoads, used->registers);
}

std::vector<Foretold> foretell(const std::vector<Timer *> &clocks, const Build &build,
                               const std::vector<Candidate> &candidates,
                               std::chrono::steady_clock::time_point deadline,
                               const std::function<bool()> &stopped) {
  using Clock = std::chrono::steady_clock;
  auto left = [&] { return std::chrono::duration<double>(deadline - Clock::now()).count(); };
  std::mutex lock;
  Typical typical;
  size_t next = 0;
  std::vector<Foretold> told;
  auto serve = [&](Timer &clock) {
    while (true) {
      Foretold one;
      double before = left();
      {
        std::lock_guard guard(lock);
        if (next >= candidates.size() || stopped() || before < typical.seconds())
          return;
        one.place = next++;
      }
      one.kernel = build(candidates[one.place]);
      if (*one.kernel && spillText(**one.kernel).empty() && left() > 0 && !stopped()) {
        int id = int(one.place);
        Opened opened = clock.open({id, **one.kernel}, false);
        one.timed = opened.verdict == Verdict::Passed ? clock.clock(id, std::max(left(), 0.0))
                                                      : Timed{opened.verdict, opened.message};
        clock.close(id);
        if (one.timed->verdict == Verdict::TimedOut)
          one.timed.reset();
      }
      std::lock_guard guard(lock);
      typical.add(before - left());
      told.push_back(std::move(one));
    }
  };
  std::vector<std::jthread> threads;
  {
    SignalsElsewhere quiet;
    for (Timer *clock : clocks)
      threads.emplace_back([&serve, clock] { serve(*clock); });
  }
  for (std::jthread &thread : threads)
    thread.join();
  return told;
}

} // namespace attune::tuner
