//===- TranslateToCuda.cpp - the thread form as CUDA C++ ------------------===//
#include "compiler/target/cuda/TranslateToCuda.h"

#include "compiler/dialect/Elements.h"
#include "compiler/target/cuda/CudaPrinter.h"

#include "mlir/IR/Diagnostics.h"

#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace mlir;

namespace attune {

Result<std::string> translateToCuda(ModuleOp module) {
  auto kernels = module.getOps<thread::KernelOp>();
  if (kernels.empty())
    return badInput("error: expected a thread.kernel in the module");
  std::string messages;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    std::string where;
    if (auto file = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
      where = fmt::format("{}:{}:{}: ", file.getFilename().str(), file.getLine(), file.getColumn());
    messages += fmt::format("{}{}error: {}", messages.empty() ? "" : "\n", where, diagnostic.str());
    return mlir::success();
  });
  bool several = !llvm::hasSingleElement(kernels);
  bool roles = llvm::any_of(kernels, [](thread::KernelOp kernel) { return !kernel.getWarps(); });
  std::string result =
      fmt::format("#include \"{}.cuh\"\n\nusing namespace attune;\n", roles ? "hopper" : "attune");
  // The forms of wgmma that kernels use are no kernel's own.
  std::set<std::string> instructions;
  module.walk([&](thread::DotIssueOp op) {
    instructions.insert(fmt::format("ATTUNE_WGMMA({}, {}, {})\n", infoOf(op.getType()).cudaName, op.getN(),
                                    op.getTransposed() ? "false" : "true"));
  });
  if (!instructions.empty())
    result += fmt::format("\nnamespace attune {{\n{}}} // namespace attune\n", fmt::join(instructions, ""));
  for (thread::KernelOp kernel : kernels) {
    OwningOpRef<thread::KernelOp> copy(cast<thread::KernelOp>(kernel->clone()));
    FailureOr<std::string> text = CudaPrinter(*copy).print();
    if (failed(text))
      return badInput(messages);
    // Each kernel has its own constants.
    std::string name = kernel.getSymName().str();
    result += several ? fmt::format("\nnamespace of_{0} {{\n\n{1}\n}} // namespace of_{0}\n", name, *text)
                      : "\n" + *text;
  }
  return result;
}

} // namespace attune
