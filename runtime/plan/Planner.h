//===- Planner.h - from a spec to a program that can be launched -*- C++ -*-===//
//
// The one way from what is asked for to what runs, for programs, the command line and the tests alike: ask
// the advisor, take the program from memory or from the cache or have it compiled, load it, bind it to the
// sizes. A plan says what was decided, and why.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PLAN_PLANNER_H
#define ATTUNE_RUNTIME_PLAN_PLANNER_H

#include "runtime/launch/BoundProgram.h"
#include "runtime/plan/Advice.h"
#include "runtime/plan/Bundle.h"
#include "runtime/plan/ProblemShape.h"

#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace attune {

/// When a program is compiled.
enum class Policy {
  CompileIfMissing, ///< once by one of all threads and processes that ask, then it is in the cache
  CacheOnly,        ///< never
  Recompile,        ///< by each planner once, whatever is in the cache
};

/// What a build does with the cache.
enum class CacheUse {
  LookUp,  ///< takes the program if it is there
  Replace, ///< compiles, and stores what comes out
};

/// How a program is made.
struct BuildOptions {
  Arch arch;
  CacheUse use = CacheUse::LookUp;
  DumpSink dump = {}; ///< takes the stages of the compiler, which then always compiles
};

/// Who makes programs that are not in the cache: all that the core knows of a compiler.
class ProgramMaker {
public:
  virtual ~ProgramMaker();
  virtual Result<BuiltProgram> build(const ProgramRequest &request, const BuildOptions &options,
                                     const Cache &cache) const = 0;
};

/// A program on its device, for one shape, and how it was decided.
struct Plan {
  BoundProgram program;
  AttentionSpec spec; ///< with the schedule as it was asked for, by the spec and the advisor
  ProblemShape shape;
  std::string why;                ///< where the schedule came from
  std::vector<std::string> notes; ///< what was gone without
  StageTimes times;               ///< of what this plan had to wait for

  const LoadedProgram &loaded() const { return program.program(); }
};

/// For people: aligned lines of what runs, where and why, each ended by a newline. Without the notes.
std::string describe(const Plan &plan);

struct PlannerOptions {
  Cache cache;
  std::shared_ptr<const Bundle> bundle; ///< looked at before the cache; may be null
  const ProgramMaker *maker = nullptr;  ///< null: only what is in the cache runs
  Policy policy = Policy::CompileIfMissing;
  std::optional<Target> target; ///< nothing: the advisor's, else PTX
  Advisor advisor;              ///< asked for what the spec leaves open; may be empty
  size_t mostPrograms = 64;     ///< that are kept loaded, the last used ones; plans keep theirs beside
  DumpSink dump;                ///< takes the stages of every compilation
};

/// Plans on one device. For many threads at once.
class Planner {
public:
  Planner(std::shared_ptr<Device> device, PlannerOptions options);

  /// Decides how to compute `spec` for `shape`. Errors: InvalidSpec, InvalidShape, NotCached, ToolMissing,
  /// CompileFailed, LoadFailed.
  v1::Result<Plan> plan(const AttentionSpec &spec, const ProblemShape &shape);
  /// The same with the text of a stage in the place of what the compiler makes of the spec, which the text is
  /// meant to compute. Errors also: CompileFailed where the text is no such stage.
  v1::Result<Plan> plan(const AttentionSpec &spec, const ProblemShape &shape, const StageText &stage,
                        Target target);

  const std::shared_ptr<Device> &device() const { return gpu; }
  const PlannerOptions &options() const { return about; }
  /// Programs that are loaded for later plans.
  size_t kept() const;
  /// Forgets them all. What a plan still has stays loaded.
  void release();

private:
  using Loaded = std::shared_ptr<const LoadedProgram>;
  using Outcome = v1::Result<Loaded>;
  struct Kept {
    std::shared_future<Outcome> program; ///< there, or being made by the thread that put it here
    std::list<std::string>::iterator place;
  };

  v1::Result<BuiltProgram> make(const ProgramRequest &request) const;
  bool take(Result<CacheEntry> entry, const std::string &from, BuiltProgram &built) const;
  bool fromBundle(const ProgramRequest &request, BuiltProgram &built) const;
  bool fromCache(const ProgramRequest &request, BuiltProgram &built) const;
  v1::Error notThere(const ProgramRequest &request, const std::vector<std::string> &notes) const;
  Outcome programFor(const ProgramRequest &request, bool &wasThere);
  Plan finish(BoundProgram program, AttentionSpec spec, const ProblemShape &shape, std::string why,
              bool wasThere) const;

  std::shared_ptr<Device> gpu;
  PlannerOptions about;
  mutable std::mutex lock;                        ///< of what follows; nothing is compiled while it is held
  std::unordered_map<std::string, Kept> programs; ///< by target and code
  std::list<std::string> order;                   ///< of their keys, the last used first
  /// Those that had to go, as long as some plan has them.
  std::unordered_map<std::string, std::weak_ptr<const LoadedProgram>> elsewhere;
};

} // namespace attune

#endif // ATTUNE_RUNTIME_PLAN_PLANNER_H
