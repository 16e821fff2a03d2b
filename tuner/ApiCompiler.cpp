//===- ApiCompiler.cpp - what only attune::attune has of the interface ----===//
//
// The compiler, and the schedules that the tuner advises: a program that names neither needs neither.
//
//===----------------------------------------------------------------------===//
#include "runtime/api/Api.h"
#include "runtime/api/States.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/plan/Advice.h"
#include "tuner/Advisor.h"

#include <unistd.h>

namespace attune::v1 {

/// The advisor over the store in `path`, which is used if it is there; where `needed` it must be usable.
static attune::Result<attune::Advisor> advisorOver(const std::string &path, bool needed) {
  std::shared_ptr<tuner::Store> store;
  if (!path.empty() && (needed || ::access(path.c_str(), F_OK) == 0)) {
    attune::Result<tuner::Store> opened = tuner::Store::open(path, {.write = false, .lockWaitMs = 1000});
    if (!opened)
      return opened.error();
    store = std::make_shared<tuner::Store>(std::move(*opened));
  }
  return tuner::makeAdvisor(std::move(store));
}

Result<Advisor> tunedAdvisor(const std::string &named) {
  attune::Result<attune::Advisor> advisor =
      advisorOver(named.empty() ? tuner::Store::defaultPath() : named, !named.empty());
  if (!advisor)
    return Error{ErrorCode::InvalidOptions, advisor.error().message};
  return toPublic(std::move(*advisor));
}

/// What `attune run` takes: the user's own store, opened when it is first asked; one that cannot be used is
/// gone without, and every answer then says that nothing is tuned.
static std::optional<attune::Advice> adviseAsCommand(const AttentionSpec &spec, const ProblemShape &shape,
                                                     const attune::DeviceInfo &device) {
  static const attune::Advisor advisor = [] {
    attune::Result<attune::Advisor> own = advisorOver(tuner::Store::defaultPath(), false);
    return own ? std::move(*own) : tuner::makeAdvisor(nullptr);
  }();
  return advisor(spec, shape, device);
}

const Compiler *compiler() {
  // The tools are looked for once: those of a machine do not move while a program runs.
  static const JitMaker maker(Toolchain::find());
  static const Compiler attune{maker, adviseAsCommand};
  return &attune;
}

} // namespace attune::v1

using namespace attune;

const attune_compiler_handle *attune_compiler(void) {
  static const JitMaker maker(Toolchain::find());
  static const attune_compiler_handle compiler{maker, v1::adviseAsCommand};
  return &compiler;
}

attune_status attune_advisor_tuned(const char *store, attune_advisor **advisor) {
  if (attune_status status = api::checkPlace(advisor, "advisor"))
    return status;
  return api::guarded([&] {
    bool isNamed = store && *store;
    Result<Advisor> over = v1::advisorOver(isNamed ? store : tuner::Store::defaultPath(), isNamed);
    if (!over)
      return api::fail(ATTUNE_INVALID_OPTIONS, over.error());
    *advisor = api::handleOf(std::move(*over));
    return ATTUNE_OK;
  });
}
