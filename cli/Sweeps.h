//===- Sweeps.h - what `attune tune` and `attune bench` share ---*- C++ -*-===//
#ifndef ATTUNE_CLI_SWEEPS_H
#define ATTUNE_CLI_SWEEPS_H

#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Stage.h"
#include "runtime/device/Device.h"
#include "runtime/jit/Toolchain.h"
#include "tuner/Sweep.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace attune::cli {

/// A spec, the shapes to run it with, and where.
struct SweepJob {
  AttentionSpec spec;
  StagedSpec staged; ///< of a command that takes stages
  std::vector<ProblemShape> shapes;
  DeviceOptions device;
  std::optional<Target> target; ///< nothing: both
  Cache cache;
  double budgetSeconds = 60; ///< for all shapes together
  bool json = false;
};

/// The flags of a SweepJob. `budget` is what is said of its default.
void declareSweepJob(CommandLine &line, const char *budget);
/// Reads them; a command that needs no shape has `shapesNeeded` false, one with the flags of declareStage has
/// `stages` true.
SweepJob readSweepJob(CommandLine &line, double budgetSeconds, bool shapesNeeded, bool stages = false);

/// "batch 1, 32 heads over 8, 4096 queries, 4096 keys".
std::string shapeText(const ProblemShape &shape);
/// "512.3 us", "1.23 ms".
std::string timeText(double us);

/// The tools that decide how fast a kernel is: attune's compiler, ptxas and NVRTC, with versions.
std::string toolkitText(const Toolchain &tools);

/// Why target cuda or spills cannot be had here; empty if they can. With NVRTC missing, `target` becomes ptx
/// unless cuda was asked for, which is an error.
Result<std::vector<std::string>> settleTools(const Toolchain &tools, std::optional<Target> &target);

/// Compiles candidates of `spec` for `arch`, through the cache; the text of a stage in the place of each, if
/// given.
tuner::Build buildFor(const AttentionSpec &spec, const Arch &arch, const Toolchain &tools, const Cache &cache,
                      const std::optional<StageText> &stage = {});

/// A timer for one shape of the job, in a process of its own.
Result<std::unique_ptr<tuner::Timer>> startTimer(const SweepJob &job, const ProblemShape &shape);

/// Simulated devices of the architecture of `device`, a GPU, with its virtual clock, for `clockShape`: as
/// many as can work beside each other, each in a process of its own.
Result<std::vector<std::unique_ptr<tuner::Timer>>> startClocks(const SweepJob &job, const ProblemShape &shape,
                                                               const DeviceInfo &device);

/// Ctrl-C and SIGTERM set `stop` while this lives; the second one ends the process as it would have.
class GracefulStop {
public:
  GracefulStop();
  ~GracefulStop();
  GracefulStop(const GracefulStop &) = delete;
  GracefulStop &operator=(const GracefulStop &) = delete;
  static const std::atomic<bool> *flag();
};

/// What a sweep of one shape works with.
struct ShapeRun {
  const ProblemShape &shape;
  /// When its share of the budget is spent: what shapes before it left over is shared by those after them.
  std::chrono::steady_clock::time_point deadline;
  const Toolchain &tools;
  std::optional<Target> target;   ///< as settleTools left it
  std::vector<std::string> &json; ///< takes the shape's result with --json

  /// Until the deadline; never none, for what is there to compare with is always tried.
  double secondsLeft() const;
};
/// Runs `one` for the job's shapes in order until one gives a status above 1, for after 1 (nothing passed)
/// other shapes may fare better. With --json the results are printed as the list `name`. The worst status.
int runShapes(const SweepJob &job, const char *name, const std::function<int(const ShapeRun &)> &one);

/// Places in `entries` of those that passed and have a figure, the winner first.
std::vector<size_t> byTime(const tuner::SweepResult &result);
/// A row's time over that of the compiler's own choice; 0 where there is none to compare with.
double toStandard(const tuner::SweepResult &result, const tuner::Row &row);

/// "hopper and portable families": those that are searched.
std::string familiesText(const tuner::SweepTask &task);
/// The lines above a table: the problem, the device, where the figures come from.
std::string headText(const tuner::SweepTask &task, const DeviceInfo &device);
/// The table, fastest first, `most` rows and the compiler's own choice; refusals by reason; Kendall's tau.
std::string tableText(const tuner::SweepTask &task, const tuner::SweepResult &result, size_t most);
std::string resultJson(const tuner::SweepTask &task, const tuner::SweepResult &result,
                       const DeviceInfo &device);

/// Exit status of a sweep: 130 if interrupted, 1 if nothing passed, else 0; an early end's error is printed.
int finishSweep(const tuner::SweepResult &result);

} // namespace attune::cli

#endif // ATTUNE_CLI_SWEEPS_H
