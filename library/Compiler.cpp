//===- Compiler.cpp - what only attune::attune has of the interface -------===//
//
// The compiler, and the schedules that the tuner advises: a program that names neither needs neither.
//
//===----------------------------------------------------------------------===//
#include "runtime/api/States.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/plan/Advice.h"
#include "tuner/Advisor.h"

#include <unistd.h>

using namespace attune;
using namespace attune::api;

/// The advisor over the store in `path`, which is used if it is there; where `needed` it must be usable.
static Result<Advisor> advisorOver(const std::string &path, bool needed) {
  std::shared_ptr<tuner::Store> store;
  if (!path.empty() && (needed || ::access(path.c_str(), F_OK) == 0)) {
    Result<tuner::Store> opened = tuner::Store::open(path, {.write = false, .lockWaitMs = 1000});
    if (!opened)
      return opened.error();
    store = std::make_shared<tuner::Store>(std::move(*opened));
  }
  return tuner::makeAdvisor(std::move(store));
}

attune_status attune_advisor_tuned(const char *store, attune_advisor **advisor) {
  if (attune_status status = checkPlace(advisor, "advisor"))
    return status;
  return guarded([&] {
    bool isNamed = store && *store;
    Result<Advisor> over = advisorOver(isNamed ? store : tuner::Store::defaultPath(), isNamed);
    if (!over)
      return fail(ATTUNE_INVALID_OPTIONS, over.error());
    *advisor = handleOf(std::move(*over));
    return ATTUNE_OK;
  });
}

/// What `attune run` takes: the user's own store, opened when it is first asked; one that cannot be used is
/// gone without, and every answer then says that nothing is tuned.
static std::optional<Advice> adviseAsCommand(const AttentionSpec &spec, const ProblemShape &shape,
                                             const DeviceInfo &device) {
  // Never destroyed: plans may be made until the process is gone.
  static const Advisor &advisor = *new Advisor([] {
    Result<Advisor> own = advisorOver(tuner::Store::defaultPath(), false);
    return own ? std::move(*own) : tuner::makeAdvisor(nullptr);
  }());
  return advisor(spec, shape, device);
}

const attune_compiler_handle *attune_compiler(void) {
  // The tools are looked for once: those of a machine do not move while a program runs.
  static const JitMaker maker(Toolchain::find());
  static const attune_compiler_handle compiler{maker, adviseAsCommand};
  return &compiler;
}
