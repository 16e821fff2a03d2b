//===- TranslateToPtx.cpp - the LLVM dialect as PTX -----------------------===//
#include "compiler/target/ptx/TranslateToPtx.h"

#include "compiler/ir/CollectedErrors.h"
#include "compiler/support/Isolated.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/IR/DiagnosticHandler.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/OptBisect.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Scalar/EarlyCSE.h"
#include "llvm/Transforms/Scalar/LICM.h"
#include "llvm/Transforms/Scalar/LoopPassManager.h"

#include <mutex>

#include <fmt/format.h>

using namespace mlir;

extern "C" {
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}

namespace attune {

/// Registers the back-end, once a process, and asks it for 32-bit addresses of shared memory: 64-bit ones
/// would cost two registers and two additions each. The back-end offers that only as an option of its own.
static const llvm::Target *nvptx() {
  static const llvm::Target *target = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    auto &options = llvm::cl::getRegisteredOptions();
    if (auto option = options.find("nvptx-short-ptr"); option != options.end())
      static_cast<llvm::cl::opt<bool> *>(option->second)->setValue(true);
    std::string error;
    return llvm::TargetRegistry::lookupTarget(llvm::Triple("nvptx64-nvidia-cuda"), error);
  }();
  return target;
}

static std::unique_ptr<llvm::TargetMachine> makeMachine(const Arch &arch) {
  llvm::TargetOptions options;
  // Strict: f32 additions and multiplications are printed with .rn, so that ptxas does not fuse them either.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(nvptx()->createTargetMachine(
      llvm::Triple("nvptx64-nvidia-cuda"), arch.name, "+ptx" + std::to_string(arch.ptxIsa), options,
      std::nullopt, std::nullopt, llvm::CodeGenOptLevel::Default));
}

namespace {
/// Keeps passes from kernels with roles that take a third of the back end's time and find nothing better:
/// their loops carry what they address by. Loop strength reduction keeps products with the block's number of
/// its own instead, which costs instructions in each step.
struct LeavesOut : llvm::OptPassGate {
  bool isEnabled() const override { return true; }
  bool shouldRunPass(StringRef pass, StringRef) const override {
    return !llvm::is_contained(
        {"Loop Strength Reduction", "slsr", "nary-reassociate", "separate-const-offset-from-gep"}, pass);
  }
};
} // namespace

/// The lowering writes addresses where they are used; this shares them and takes them out of the loops.
static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(
      llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
  passes.addPass(llvm::EarlyCSEPass());
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      passes.run(function, functions);
}

/// An operand that an assembly text names and that is not there is a fatal error of LLVM's printer.
static LogicalResult checkAssembly(LLVM::InlineAsmOp op) {
  size_t operands = op->getNumOperands();
  for (Type type : op->getResultTypes()) {
    auto several = dyn_cast<LLVM::LLVMStructType>(type);
    operands += several ? several.getBody().size() : 1;
  }
  StringRef text = op.getAsmString();
  for (size_t at = text.find('$'); at != StringRef::npos; at = text.find('$', at)) {
    StringRef rest = text.drop_front(++at);
    if (rest.consume_front("$")) { // a dollar sign
      ++at;
      continue;
    }
    rest.consume_front("{");
    unsigned number = 0;
    if (rest.consumeInteger(10, number))
      continue;
    if (number >= operands)
      return op.emitOpError("expected operands of the assembly below $")
             << operands << ", got $" << number << " in '" << text << "'";
  }
  return mlir::success();
}

/// "file:line:col: " of an instruction, or "".
static std::string placeOf(const llvm::Instruction *instruction) {
  const llvm::DILocation *place = instruction ? instruction->getDebugLoc().get() : nullptr;
  return place ? fmt::format("{}:{}:{}: ", place->getFilename().str(), place->getLine(), place->getColumn())
               : "";
}

namespace {
/// Keeps what LLVM reports while it prints; without a handler it would end the process.
struct LlvmErrors : llvm::DiagnosticHandler {
  explicit LlvmErrors(std::string &text) : text(text) {}

  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
    if (info.getSeverity() != llvm::DS_Error)
      return true;
    std::string message;
    llvm::raw_string_ostream os(message);
    llvm::DiagnosticPrinterRawOStream printer(os);
    info.print(printer);
    auto *assembly = llvm::dyn_cast<llvm::DiagnosticInfoInlineAsm>(&info);
    add(placeOf(assembly ? assembly->getInstruction() : nullptr), message);
    return true;
  }
  void add(const std::string &where, StringRef message) {
    text += fmt::format("{}{}error: {}", text.empty() ? "" : "\n", where, message.rtrim().str());
  }

  std::string &text;
};
} // namespace

/// What LLVM takes for granted of a module.
static void verifyWritten(llvm::Module &module, LlvmErrors &errors) {
  for (llvm::Function &function : module)
    for (llvm::BasicBlock &block : function)
      for (llvm::Instruction &instruction : block)
        if (auto *call = dyn_cast<llvm::CallBase>(&instruction))
          if (auto *assembly = dyn_cast<llvm::InlineAsm>(call->getCalledOperand()))
            if (llvm::Error wrong =
                    llvm::InlineAsm::verify(assembly->getFunctionType(), assembly->getConstraintString()))
              errors.add(placeOf(call), llvm::toString(std::move(wrong)));
  std::string said;
  llvm::raw_string_ostream os(said);
  if (llvm::verifyModule(module, &os))
    errors.add("", said);
}

static Result<std::string> printPtx(ModuleOp module, const Arch &arch, bool written) {
  std::unique_ptr<llvm::TargetMachine> machine = makeMachine(arch);
  LeavesOut leavesOut;
  llvm::LLVMContext context;
  if (arch.wgmma)
    context.setOptPassGate(leavesOut);
  std::string messages;
  auto handler = std::make_unique<LlvmErrors>(messages);
  LlvmErrors &errors = *handler;
  context.setDiagnosticHandler(std::move(handler));
  CollectedErrors ofModule(module.getContext());
  std::unique_ptr<llvm::Module> llvmModule = translateModuleToLLVMIR(module, context, "attune");
  if (!llvmModule)
    return badInput(ofModule.text());
  llvmModule->setTargetTriple(llvm::Triple("nvptx64-nvidia-cuda"));
  llvmModule->setDataLayout(machine->createDataLayout());
  if (written)
    verifyWritten(*llvmModule, errors);
  if (!messages.empty())
    return badInput(messages);
  optimize(*llvmModule, *machine);

  llvm::SmallString<0> text;
  llvm::raw_svector_ostream os(text);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, os, nullptr, llvm::CodeGenFileType::AssemblyFile,
                                   /*DisableVerify=*/true))
    return badInput(fmt::format("error: LLVM cannot print PTX for {}", arch.name));
  passes.run(*llvmModule);
  if (!messages.empty())
    return badInput(messages);
  return std::string(text);
}

Result<std::string> translateToPtx(ModuleOp module, const Arch &arch, const std::string &writtenIn) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  module.getContext()->appendDialectRegistry(registry);
  if (writtenIn.empty())
    return printPtx(module, arch, /*written=*/false);
  CollectedErrors errors(module.getContext());
  module.walk([](LLVM::InlineAsmOp op) { (void)checkAssembly(op); });
  if (!errors.text().empty())
    return badInput(errors.text());
  return runIsolated(writtenIn, [&] { return printPtx(module, arch, /*written=*/true); });
}

} // namespace attune
