//===- CollectedErrors.cpp - errors as text with their places -------------===//
#include "compiler/ir/CollectedErrors.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

CollectedErrors::CollectedErrors(MLIRContext *context, const std::string &otherwise)
    : handler(context, [this, otherwise](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return mlir::success();
        std::string where = otherwise.empty() ? "" : otherwise + ": ";
        if (auto file = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
          where = fmt::format("{}:{}:{}: ", file.getFilename().str(), file.getLine(), file.getColumn());
        lines += fmt::format("{}{}error: {}", lines.empty() ? "" : "\n", where, diagnostic.str());
        return mlir::success();
      }) {}

} // namespace attune
