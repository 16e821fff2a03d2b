//===- Sweep.cpp - the best schedule within a budget ----------------------===//
#include "tuner/Sweep.h"

#include "tuner/Foretell.h"
#include "tuner/Pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace attune::tuner {
namespace {

/// The share of a sweep's budget in which candidates are admitted; the rest settles the leader.
constexpr double admitting = 0.7;
/// The share in which virtual clocks follow the model's best before anything is timed.
constexpr double foretelling = 0.2;
/// Timings that a figure for people rests on.
constexpr int leastShown = 20;
/// Newcomers that are timed together with the leader.
constexpr size_t mostNewcomers = 4;
/// Rows of an earlier sweep that are this close to its best are timed again when it is resumed.
constexpr double contending = 1.1;
/// Figures that the model's error is judged by, before it may end a sweep.
constexpr int64_t mostlyKnown = 16;
constexpr double luckier = 0.97;

class Sweeper {
public:
  Sweeper(Timer &timer, const Build &build, Store *store, const SweepTask &task, const SweepOptions &options)
      : timer(timer), build(build), store(store), task(task), options(options),
        figures(figuresFor(timer.device())), halving(options.firstSamples, options.mostSamples) {
    result.kind = task.subject.kind;
  }

  SweepResult run();

private:
  using Clock = std::chrono::steady_clock;
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - began).count(); }
  /// The time at which `seconds` of the budget are spent.
  Clock::time_point after(double seconds) const {
    return began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  bool stopped() const { return options.stop && options.stop->load(); }
  bool ended() const { return stopped() || result.failure || elapsed() > options.budgetSeconds; }

  void takeOver();
  void orderByClock();
  Result<CompiledProgram> built(const Candidate &candidate) const;
  double clockedShare(const Ranked &ranked) const;
  bool settled(const Ranked &next) const;
  bool tryNext(Pipeline &pipeline, size_t place);
  void judge(Entry &entry, const CompiledProgram &kernel, int id);
  void estimateFrom(Entry &entry, const CompiledProgram &kernel, const LaunchCounters &counters);
  void admitNewcomers();
  void finals();
  void refine();
  Timed clockOf(size_t place);
  void timeRound(const Halving::Round &round);
  bool reopen(int id, Timed &failure);
  void fail(Entry &entry, Verdict verdict, std::string message);
  void keep(Entry &entry);
  void report(const char *phase);
  void conclude();
  std::optional<size_t> best() const;
  void releaseLosers();
  void forgetKernels();

  Timer &timer;
  const Build &build;
  Store *store;
  const SweepTask &task;
  const SweepOptions &options;
  GpuFigures figures;
  Halving halving; ///< its ids are places in `result.entries`
  SweepResult result;
  Clock::time_point began = Clock::now();
  std::vector<size_t> order;        ///< of task.candidates: those that are to be tried
  size_t inModelOrder = 0;          ///< from this place of `order` on
  std::map<size_t, double> clockUs; ///< of task.candidates, as clocks expect them
  std::vector<std::pair<Candidate, Result<CompiledProgram>>> clocked; ///< what was built for the clocks
  std::vector<int> newcomers;                                         ///< open, not timed yet
  std::vector<int> open;                                              ///< on the timer
  std::map<int, CompiledProgram> kernels;                             ///< of those that may be opened again
  int64_t tried = 0;
};

Row rowFor(const SweepTask &task, const Ranked &ranked) {
  Row row;
  row.shape = task.shape;
  row.family = ranked.candidate.schedule.family;
  row.schedule = scheduleText(ranked.candidate);
  row.target = ranked.candidate.target;
  row.modelUs = ranked.estimate.us;
  return row;
}

/// Takes over what the store knows, and lists what is left to try.
void Sweeper::takeOver() {
  std::vector<Row> known;
  if (options.resume && store) {
    Result<std::vector<Row>> rows = store->rows(task.subject, task.shape);
    if (rows)
      known = std::move(*rows);
    else
      result.failure = rows.error();
  }
  double fastest = INFINITY;
  for (const Row &row : known)
    if (row.verdict == Verdict::Passed)
      fastest = std::min(fastest, row.median);
  std::vector<size_t> first, later;
  for (size_t i = 0; i < task.candidates.size(); ++i) {
    const Ranked &ranked = task.candidates[i];
    Row wanted = rowFor(task, ranked);
    auto found = std::find_if(known.begin(), known.end(), [&](const Row &row) {
      return row.family == wanted.family && row.schedule == wanted.schedule && row.target == wanted.target;
    });
    bool contends = found != known.end() && result.kind == Kind::Measured &&
                    found->verdict == Verdict::Passed && found->median <= contending * fastest;
    if (found == known.end() || contends) {
      // Those that did well before come early, lest the budget ends before their turn.
      (contends || task.standard == i ? first : later).push_back(i);
      continue;
    }
    if (task.standard == i)
      result.standard = result.entries.size();
    result.entries.push_back({ranked, *found, true});
    result.entries.back().row.modelUs = ranked.estimate.us;
    if (isRefined(result.kind, *found))
      result.entries.back().clockUs = found->median;
    ++tried;
  }
  inModelOrder = first.size();
  order = std::move(first);
  order.insert(order.end(), later.begin(), later.end());
}

/// What the clock says of `clockShape`, grown as the model grows.
double Sweeper::clockedShare(const Ranked &ranked) const {
  if (task.clocked == task.shape)
    return 1;
  auto modelled = [&](const ProblemShape &shape) {
    Work work = familyOf(ranked.candidate).work(task.spec, timer.device().arch, shape, ranked.candidate);
    return estimate(figures, work, ranked.cost).us;
  };
  return modelled(task.shape) / modelled(task.clocked);
}

/// Has virtual clocks follow the model's best and the compiler's own choice. Those that they did follow come
/// in the clock's order, in the places that they had.
void Sweeper::orderByClock() {
  if (options.clocks.empty() || result.failure)
    return;
  report("refining");
  std::vector<size_t> best = order;
  std::sort(best.begin(), best.end(), [&](size_t a, size_t b) {
    auto key = [&](size_t place) {
      return std::tuple(task.standard != place, task.candidates[place].estimate.us, place);
    };
    return key(a) < key(b);
  });
  best.resize(std::min(best.size(), options.refined));
  std::vector<Candidate> list;
  for (size_t place : best)
    list.push_back(task.candidates[place].candidate);
  size_t followed = 0;
  for (Foretold &one : foretell(options.clocks, build, list, after(options.budgetSeconds * foretelling),
                                [&] { return stopped(); })) {
    if (one.kernel)
      clocked.emplace_back(list[one.place], std::move(*one.kernel));
    if (one.timed && one.timed->verdict == Verdict::Passed)
      clockUs[best[one.place]] = one.timed->us * clockedShare(task.candidates[best[one.place]]);
    else if (one.timed)
      result.clockFailure = one.timed->message;
    followed += one.timed || (one.kernel && (!*one.kernel || !spillText(**one.kernel).empty()));
  }
  if (followed < list.size() && result.clockFailure.empty())
    result.clockFailure = stopped() ? "interrupted" : "its share of the budget was spent";
  std::vector<size_t> where, which;
  for (size_t i = 0; i < order.size(); ++i)
    if (clockUs.contains(order[i]) && task.standard != order[i]) {
      where.push_back(i);
      which.push_back(order[i]);
    }
  std::sort(which.begin(), which.end(),
            [&](size_t a, size_t b) { return std::pair(clockUs.at(a), a) < std::pair(clockUs.at(b), b); });
  for (size_t i = 0; i < where.size(); ++i)
    order[where[i]] = which[i];
  if (!where.empty())
    inModelOrder = std::max(inModelOrder, where.back() + 1);
}

/// The candidate's kernel, which may be there already.
Result<CompiledProgram> Sweeper::built(const Candidate &candidate) const {
  for (const auto &[known, kernel] : clocked)
    if (known == candidate)
      return kernel;
  return build(candidate);
}

/// Whether nothing from `next` on can win: each would have to beat the model by clearly more than any has so
/// far.
bool Sweeper::settled(const Ranked &next) const {
  if (!options.settle)
    return false;
  double luckiest = INFINITY, fastest = INFINITY;
  int64_t known = 0;
  for (const Entry &entry : result.entries) {
    if (entry.row.verdict != Verdict::Passed || entry.row.median <= 0)
      continue;
    double us = result.kind == Kind::Estimate ? countersUs(entry.row) : entry.row.median;
    luckiest = std::min(luckiest, us / entry.row.modelUs);
    fastest = std::min(fastest, us);
    ++known;
  }
  return known >= mostlyKnown && next.estimate.us * luckiest * luckier > fastest;
}

void Sweeper::keep(Entry &entry) {
  if (!store || result.failure)
    return;
  if (Status put = store->put(task.subject, entry.row); !put)
    result.failure = put.error();
}

void Sweeper::fail(Entry &entry, Verdict verdict, std::string message) {
  entry.row.verdict = verdict;
  entry.row.message = std::move(message);
  keep(entry);
}

void Sweeper::estimateFrom(Entry &entry, const CompiledProgram &kernel, const LaunchCounters &counters) {
  const AttentionSpec &spec = task.spec;
  const Arch &arch = timer.device().arch;
  const Candidate &candidate = entry.ranked.candidate;
  Work small = familyOf(candidate).work(spec, arch, task.verified, candidate);
  Work large = familyOf(candidate).work(spec, arch, task.shape, candidate);
  ScheduleCost cost = entry.ranked.cost;
  cost.blocksPerSm = kernel.blocksPerSm().value_or(cost.blocksPerSm);
  Estimate time = estimate(figures, grow(countedWork(counters, small), small, large), cost);
  entry.row.samples = {time.us};
  entry.row.median = entry.row.low = entry.row.high = time.us;
  entry.row.shareOfLimit = limitUs(figures, large) / time.us;
}

/// Spills, then the verification; on the simulated device the figure as well.
void Sweeper::judge(Entry &entry, const CompiledProgram &kernel, int id) {
  if (std::string spills = spillText(kernel); !spills.empty())
    return fail(entry, Verdict::Spilled, spills);
  Opened opened = timer.open({id, kernel}, true);
  if (Status good = timer.state(); !good) {
    result.failure = good.error();
    return fail(entry, opened.verdict, opened.message);
  }
  if (opened.verdict == Verdict::Passed && kernel.reports.empty() && opened.localBytes > 0)
    opened = {Verdict::Spilled, fmt::format("{} bytes of local memory a thread", opened.localBytes), {}};
  if (opened.verdict != Verdict::Passed) {
    timer.close(id);
    return fail(entry, opened.verdict, opened.message);
  }
  if (result.kind == Kind::Measured) {
    open.push_back(id);
    newcomers.push_back(id);
    kernels[id] = kernel;
    return;
  }
  if (!opened.counters) {
    timer.close(id);
    return fail(entry, Verdict::Rejected, "expected a device that counts what it does, got none");
  }
  estimateFrom(entry, kernel, *opened.counters);
  timer.close(id);
  keep(entry);
  kernels[id] = kernel;
  forgetKernels();
}

/// False where there was no time to compile it.
bool Sweeper::tryNext(Pipeline &pipeline, size_t place) {
  const Ranked &ranked = task.candidates[place];
  std::optional<Result<CompiledProgram>> taken = pipeline.take();
  if (!taken)
    return false;
  Result<CompiledProgram> &kernel = *taken;
  // Ctrl-C reaches the assembler too, whose end then says nothing about the candidate.
  if (!kernel && stopped())
    return true;
  if (!kernel && kernel.error().kind == ErrorKind::Missing) {
    result.failure = kernel.error();
    return true;
  }
  int id = int(result.entries.size());
  if (task.standard == place)
    result.standard = size_t(id);
  auto expected = clockUs.find(place);
  result.entries.push_back(
      {ranked, rowFor(task, ranked), false, expected == clockUs.end() ? 0 : expected->second});
  ++tried;
  if (!kernel)
    fail(result.entries.back(), Verdict::Rejected, kernel.error().message);
  else
    judge(result.entries.back(), *kernel, id);
  return true;
}

void Sweeper::releaseLosers() {
  std::erase_if(open, [&](int id) {
    bool waiting = std::find(newcomers.begin(), newcomers.end(), id) != newcomers.end();
    if (halving.inField(id) || waiting || result.standard == size_t(id))
      return false; // it may still win, or is what the winner is compared with
    timer.close(id);
    return true;
  });
  forgetKernels();
}

/// Should the leader fail yet, those nearest behind it are wanted again.
void Sweeper::forgetKernels() {
  constexpr size_t mostKernels = 32;
  while (kernels.size() > mostKernels) {
    auto slowest = std::max_element(kernels.begin(), kernels.end(), [&](const auto &a, const auto &b) {
      return result.entries[size_t(a.first)].row.median < result.entries[size_t(b.first)].row.median;
    });
    kernels.erase(slowest);
  }
}

bool Sweeper::reopen(int id, Timed &failure) {
  if (std::find(open.begin(), open.end(), id) != open.end())
    return true;
  Opened opened = timer.open({id, kernels.at(id)}, false);
  failure = {opened.verdict, opened.message};
  if (opened.verdict == Verdict::Passed)
    open.push_back(id);
  return opened.verdict == Verdict::Passed;
}

void Sweeper::timeRound(const Halving::Round &round) {
  std::vector<int> ids = round.ids;
  std::erase_if(ids, [&](int id) { // too far behind to have been kept
    bool gone = !kernels.contains(id);
    if (gone)
      halving.drop(id);
    return gone;
  });
  for (int i = 0; i < round.repeats && !ids.empty() && !result.failure; ++i) {
    // A row is finished with what it has when the end comes, but has at least one timing.
    if (i > 0 && ended())
      break;
    std::erase_if(ids, [&](int id) {
      Timed timed;
      if (reopen(id, timed))
        timed = timer.time(id);
      if (timed.verdict == Verdict::Passed) {
        halving.record(id, timed.us);
        return false;
      }
      halving.drop(id);
      fail(result.entries[size_t(id)], timed.verdict, timed.message);
      if (Status good = timer.state(); !good)
        result.failure = good.error();
      return true;
    });
  }
  for (int id : ids) {
    Entry &entry = result.entries[size_t(id)];
    auto found = halving.samples().find(id);
    if (found == halving.samples().end())
      continue;
    Timing timing = timingOf(found->second);
    entry.row.samples = found->second;
    entry.row.median = timing.median;
    entry.row.low = timing.low;
    entry.row.high = timing.high;
    const Candidate &candidate = entry.ranked.candidate;
    Work work = familyOf(candidate).work(task.spec, timer.device().arch, task.shape, candidate);
    entry.row.shareOfLimit = limitUs(figures, work) / timing.median;
    keep(entry);
  }
}

void Sweeper::admitNewcomers() {
  if (newcomers.empty())
    return;
  std::vector<int> these = std::move(newcomers);
  newcomers.clear();
  timeRound(halving.admit(these));
  if (options.halve)
    halving.prune();
  releaseLosers();
}

void Sweeper::finals() {
  if (!options.halve) {
    timeRound({open, leastShown - options.firstSamples});
    return;
  }
  while (!ended()) {
    std::optional<Halving::Round> round = halving.next();
    releaseLosers();
    if (!round)
      break;
    report("settling");
    timeRound(*round);
  }
  // The ratio that people read is of the winner and the compiler's own choice: both get as many timings as a
  // figure should rest on, side by side.
  std::set<int> two;
  if (std::optional<int> leader = halving.leader())
    two.insert(*leader);
  if (result.standard && halving.samples().contains(int(*result.standard)))
    if (result.entries[*result.standard].row.verdict == Verdict::Passed)
      two.insert(int(*result.standard));
  size_t fewest = size_t(leastShown);
  for (int id : two)
    fewest = std::min(fewest, halving.samples().at(id).size());
  if (int missing = leastShown - int(fewest); missing > 0 && !ended())
    timeRound({{two.begin(), two.end()}, missing});
}

/// By the virtual clock, within what is left of the budget.
Timed Sweeper::clockOf(size_t place) {
  int id = int(place);
  if (!kernels.contains(id)) { // of an earlier sweep
    Result<CompiledProgram> built = build(result.entries[place].ranked.candidate);
    if (!built)
      return {Verdict::Rejected, built.error().message};
    kernels[id] = std::move(*built);
  }
  Opened opened = timer.open({id, kernels.at(id)}, false);
  if (opened.verdict != Verdict::Passed)
    return {opened.verdict, opened.message};
  Timed timed = timer.clock(id, std::max(options.budgetSeconds - elapsed(), 0.0));
  timer.close(id);
  return timed;
}

/// The compiler's own choice, with which the others are compared, and then the best by the counters.
void Sweeper::refine() {
  std::vector<size_t> places;
  for (size_t i = 0; i < result.entries.size(); ++i)
    if (result.entries[i].row.verdict == Verdict::Passed)
      places.push_back(i);
  auto counted = [&](size_t place) {
    return std::pair(result.standard != place, countersUs(result.entries[place].row));
  };
  std::sort(places.begin(), places.end(), [&](size_t a, size_t b) { return counted(a) < counted(b); });
  places.resize(std::min(places.size(), options.refined));
  Typical step;
  for (size_t place : places) {
    Entry &entry = result.entries[place];
    if (isRefined(result.kind, entry.row))
      continue;
    if (ended() || elapsed() + step.seconds() > options.budgetSeconds) {
      result.clockFailure = stopped() ? "interrupted" : "the budget is spent";
      return;
    }
    report("refining");
    double before = elapsed();
    Timed timed = clockOf(place);
    step.add(elapsed() - before);
    if (timed.verdict != Verdict::Passed) {
      result.clockFailure = timed.verdict == Verdict::TimedOut ? "the budget is spent" : timed.message;
      return;
    }
    entry.clockUs = timed.us * clockedShare(entry.ranked);
    entry.row.samples = {countersUs(entry.row), entry.clockUs};
    entry.row.shareOfLimit *= entry.row.median / entry.clockUs;
    entry.row.median = entry.row.low = entry.row.high = entry.clockUs;
    keep(entry);
  }
}

std::optional<size_t> Sweeper::best() const {
  std::optional<size_t> found;
  for (size_t i = 0; i < result.entries.size(); ++i) {
    const Row &row = result.entries[i].row;
    if (row.verdict == Verdict::Passed && row.median > 0 &&
        (!found || isAhead(result.kind, row, result.entries[*found].row)))
      found = i;
  }
  return found;
}

void Sweeper::report(const char *phase) {
  if (!options.progress)
    return;
  Progress progress;
  progress.tried = tried;
  progress.total = int64_t(task.candidates.size());
  progress.phase = phase;
  int64_t here = 0;
  for (const Entry &entry : result.entries)
    here += !entry.resumed;
  double seconds = elapsed();
  progress.perSecond = seconds > 0 ? double(here) / seconds : 0;
  progress.secondsLeft = std::max(0.0, options.budgetSeconds - seconds);
  if (progress.perSecond > 0)
    progress.secondsLeft =
        std::min(progress.secondsLeft, double(progress.total - progress.tried) / progress.perSecond);
  if (std::optional<size_t> leader = best())
    progress.best = &result.entries[*leader];
  options.progress(progress);
}

void Sweeper::conclude() {
  SweepRecord &record = result.record;
  record.shape = task.shape;
  record.points = task.space.points;
  record.feasible = int64_t(task.space.feasible.size());
  record.tried = tried;
  record.refusals = task.space.refusals;
  std::vector<std::pair<double, double>> pairs, clocks;
  for (const Entry &entry : result.entries) {
    if (result.kind == Kind::Measured && entry.row.verdict == Verdict::Passed && entry.row.median > 0 &&
        entry.clockUs > 0)
      clocks.emplace_back(entry.clockUs, entry.row.median);
    if (entry.row.verdict != Verdict::Passed)
      ++record.refusals[nameOf(entry.row.verdict)];
    else if (entry.row.median > 0) // of estimates those of all, the counters'
      pairs.emplace_back(entry.row.modelUs,
                         result.kind == Kind::Estimate ? countersUs(entry.row) : entry.row.median);
  }
  record.tau = kendallTau(pairs);
  record.tauPairs = int64_t(pairs.size());
  result.clockTau = kendallTau(clocks);
  result.clockPairs = int64_t(clocks.size());
  record.seconds = elapsed();
  result.winner = best();
  result.interrupted = stopped();
  if (store && !result.failure)
    if (Status put = store->put(task.subject, record); !put)
      result.failure = put.error();
}

SweepResult Sweeper::run() {
  takeOver();
  orderByClock();
  std::vector<Candidate> list;
  for (size_t place : order)
    list.push_back(task.candidates[place].candidate);
  unsigned threads =
      options.compileThreads ? options.compileThreads : std::max(1u, std::thread::hardware_concurrency());
  result.record.outcome = "complete";
  {
    double until = options.budgetSeconds * admitting;
    Build known = [this](const Candidate &candidate) { return built(candidate); };
    Pipeline pipeline(known, list, threads, 2 * size_t(threads) + mostNewcomers, after(until));
    Typical step;
    for (size_t i = 0; i < order.size() && !result.failure; ++i) {
      // The first candidate is the compiler's own choice: without it there is nothing to compare with.
      if (stopped() || (elapsed() + step.seconds() > until && i > 0)) {
        result.record.outcome = stopped() ? "interrupted" : "budget";
        break;
      }
      if (i >= inModelOrder && settled(task.candidates[order[i]])) {
        result.record.outcome = "settled";
        break;
      }
      double before = elapsed();
      if (!tryNext(pipeline, order[i])) {
        result.record.outcome = "budget";
        break;
      }
      step.add(elapsed() - before);
      if (newcomers.size() >= mostNewcomers || !pipeline.ready() || result.entries.size() == 1)
        admitNewcomers();
      report("trying");
    }
  }
  admitNewcomers();
  if (result.kind == Kind::Measured)
    finals();
  else if (!result.failure)
    refine();
  if (stopped())
    result.record.outcome = "interrupted";
  for (int id : open)
    timer.close(id);
  conclude();
  return std::move(result);
}

} // namespace

SweepResult sweep(Timer &timer, const Build &build, Store *store, const SweepTask &task,
                  const SweepOptions &options) {
  return Sweeper(timer, build, store, task, options).run();
}

} // namespace attune::tuner
