//===- Isolated.h - work that may end its process ---------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SUPPORT_ISOLATED_H
#define ATTUNE_COMPILER_SUPPORT_ISOLATED_H

#include "compiler/support/Result.h"

#include <functional>
#include <string>

namespace attune {

/// `work`'s result, computed in a process of its own: where a library answers bad input by ending the process
/// (LLVM's fatal errors, a crash), that is an error here, with the last words of the process. `what` names
/// the input in that message. Costs a fork; what `work` changes in memory is lost.
Result<std::string> runIsolated(const std::string &what, const std::function<Result<std::string>()> &work);

} // namespace attune

#endif // ATTUNE_COMPILER_SUPPORT_ISOLATED_H
