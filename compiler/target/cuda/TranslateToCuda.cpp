#include "compiler/target/cuda/TranslateToCuda.h"

#include "compiler/target/cuda/CudaPrinter.h"

#include "mlir/IR/Diagnostics.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

Result<std::string> translateToCuda(ModuleOp module) {
  auto kernels = module.getOps<thread::KernelOp>();
  if (!llvm::hasSingleElement(kernels))
    return badInput("error: expected one thread.kernel in the module");
  std::string messages;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    std::string where;
    if (auto file = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
      where = fmt::format("{}:{}:{}: ", file.getFilename().str(), file.getLine(), file.getColumn());
    messages += fmt::format("{}{}error: {}", messages.empty() ? "" : "\n", where, diagnostic.str());
    return mlir::success();
  });
  OwningOpRef<thread::KernelOp> copy(cast<thread::KernelOp>((*kernels.begin())->clone()));
  FailureOr<std::string> text = CudaPrinter(*copy).print();
  if (failed(text))
    return badInput(messages);
  return *text;
}

} // namespace attune
