//===- Compiler.cpp - from a spec to kernel text --------------------------===//
#include "compiler/Compiler.h"

#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/ir/CollectedErrors.h"
#include "compiler/ir/IrText.h"
#include "compiler/ir/ScheduleAttr.h"
#include "compiler/schedule/BuildAttn.h"
#include "compiler/target/cuda/TranslateToCuda.h"
#include "compiler/target/ptx/TranslateToPtx.h"
#include "compiler/transforms/Passes.h"

#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

namespace {
/// Numbers what it passes on: one text for each pass that ran, one for the final text.
class Dump {
public:
  explicit Dump(const DumpSink &sink) : sink(sink) {}

  void write(StringRef name, StringRef text) {
    if (!sink || !result)
      return;
    result = sink(fmt::format("{:02}-{}", next++, name.str()), std::string_view(text));
  }

  Status status() const { return result; }
  bool wanted() const { return bool(sink); }

private:
  const DumpSink &sink;
  int next = 1;
  Status result = attune::success();
};

/// Passes on the module after every pass.
class DumpInstrumentation : public PassInstrumentation {
public:
  explicit DumpInstrumentation(Dump &dump) : dump(dump) {}
  void runAfterPass(Pass *pass, Operation *op) override {
    auto module = dyn_cast<ModuleOp>(op);
    if (!module)
      module = op->getParentOfType<ModuleOp>();
    if (module && !pass->getArgument().empty())
      dump.write((pass->getArgument() + ".mlir").str(), printIr(module));
  }

private:
  Dump &dump;
};

/// One compilation: its context, the diagnostics it made, and where it is on the ladder.
class Compilation {
public:
  explicit Compilation(const CompileOptions &options)
      : options(options), dump(options.dump), context(makeRegistry(), MLIRContext::Threading::DISABLED) {
    context.loadAllAvailableDialects();
  }

  Result<KernelText> fromSpec(const AttentionSpec &spec);
  Result<KernelText> fromStage(Stage stage, const std::string &text, const std::string &file);

private:
  static DialectRegistry makeRegistry() {
    DialectRegistry registry;
    registerAttuneDialects(registry);
    return registry;
  }

  Result<KernelText> climb(Stage stage);
  Status run(llvm::function_ref<void(OpPassManager &)> populate);
  Status collectFacts();
  Status finish(std::string text);

  const CompileOptions &options;
  Dump dump;
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::string origin;    ///< where a spec asks for its schedule
  std::string writtenIn; ///< the file that a person wrote the module in; empty for one made of a spec
  KernelText result;
};
} // namespace

Status Compilation::run(llvm::function_ref<void(OpPassManager &)> populate) {
  PassManager manager(&context);
  // The passes' own output is verified by their tests; what people feed in was verified when it was parsed.
  manager.enableVerifier(false);
  if (dump.wanted())
    manager.addInstrumentation(std::make_unique<DumpInstrumentation>(dump));
  populate(manager);
  CollectedErrors errors(&context, origin);
  if (failed(manager.run(*module)))
    return badInput(errors.text());
  return dump.status();
}

/// Reads what launches need: from the kernel ops, or from what thread-to-nvvm left of them on the functions.
Status Compilation::collectFacts() {
  Program program;
  CollectedErrors errors(&context, origin);
  auto take = [&](Operation *op, DictionaryAttr facts) {
    StringRef name = SymbolTable::getSymbolName(op).getValue();
    auto read = tile::readKernelFacts(name, facts, [&] { return op->emitError(); });
    if (failed(read))
      return;
    // A family may ask for the architecture's own target (sm_90a of sm_90): its kernels name it.
    if (auto named = facts.getAs<StringAttr>("arch"))
      if (Result<Arch> arch = findArch(named.str());
          arch && arch->computeCapability == options.arch.computeCapability)
        result.arch = *arch;
    read->second.kernel = program.kernels.size();
    program.kernels.push_back(std::move(read->first));
    program.launches.push_back(std::move(read->second));
    if (auto why = op->getAttrOfType<StringAttr>("why"); why && result.why.empty())
      result.why = why.str();
  };
  for (Operation &op : *module->getBody()) {
    if (isa<tile::KernelOp, thread::KernelOp>(op))
      take(&op, tile::kernelFacts(&op));
    else if (auto facts = op.getAttrOfType<DictionaryAttr>("thread.kernel");
             facts && isa<LLVM::LLVMFuncOp>(op))
      take(&op, facts);
  }
  if (!errors.text().empty())
    return badInput(errors.text());
  if (program.kernels.empty())
    return badInput(fmt::format("{}error: expected a kernel in the module, got none",
                                writtenIn.empty() ? "" : writtenIn + ": "));
  const KernelInfo &main = program.main();
  result.name = main.name;
  result.threads = main.threads;
  result.minBlocksPerSm = main.minBlocksPerSm;
  result.sharedBytes = main.sharedBytes;
  result.schedule = main.schedule;
  result.program = std::move(program);
  return attune::success();
}

Result<KernelText> Compilation::climb(Stage stage) {
  result.target = options.target;
  result.arch = options.arch;
  result.stage = options.emit;
  auto stop = [&](Stage at) { return at == options.emit; };
  auto emit = [&]() -> Result<KernelText> {
    result.text = printIr(*module);
    return result;
  };
  if (stage == Stage::Attn) {
    if (stop(Stage::Attn))
      return emit();
    if (Status s = run([&](OpPassManager &pm) { populateAttnToTilePipeline(pm, options.arch.name); }); !s)
      return s.error();
    stage = Stage::Tile;
  }
  if (stage == Stage::Tile) {
    if (Status s = collectFacts(); !s)
      return s.error();
    // From here on an operation's place is its line in the tile program: faults and profiles name it. A
    // program that a person wrote already has its places.
    if (result.tileText.empty())
      result.tileText = snapshotIr(*module, result.name + ".tile.mlir");
    if (stop(Stage::Tile))
      return emit();
    if (Status s = run(populateTileToThreadPipeline); !s)
      return s.error();
    stage = Stage::Thread;
  }
  if (stage == Stage::Thread) {
    if (Status s = collectFacts(); !s)
      return s.error();
    if (stop(Stage::Thread))
      return emit();
    if (options.target == Target::CUDA && options.emit == Stage::Text) {
      Result<std::string> text = translateToCuda(*module);
      if (!text)
        return text.error();
      dump.write(result.name + ".cu", *text);
      result.text = *text + result.program.trailer();
      if (Status s = dump.status(); !s)
        return s.error();
      return result;
    }
    if (Status s = run(populateThreadToLLVMPipeline); !s)
      return s.error();
    stage = Stage::LLVM;
  }
  if (Status s = collectFacts(); !s)
    return s.error();
  if (stop(Stage::LLVM))
    return emit();
  if (options.target == Target::CUDA)
    return badInput("error: expected a stage up to 'thread' for target cuda, got 'llvm'");
  // Line tables only: `.loc` lines in the PTX, no debug sections.
  if (Status s = run([](OpPassManager &pm) {
        LLVM::DIScopeForLLVMFuncOpPassOptions scope;
        scope.emissionKind = LLVM::DIEmissionKind::DebugDirectivesOnly;
        pm.addPass(LLVM::createDIScopeForLLVMFuncOpPass(scope));
      });
      !s)
    return s.error();
  Result<std::string> text = translateToPtx(*module, result.arch, writtenIn);
  if (!text)
    return text.error();
  dump.write(result.name + ".ptx", *text);
  result.text = *text + result.program.trailer();
  if (Status s = dump.status(); !s)
    return s.error();
  return result;
}

Result<KernelText> Compilation::fromSpec(const AttentionSpec &spec) {
  // What has no place in a file is said of the schedule where it was asked for.
  origin = spec.origin.schedule.empty() ? spec.origin.spec : spec.origin.schedule;
  module = buildAttn(&context, spec);
  dump.write("attn.mlir", dump.wanted() ? printIr(*module) : "");
  return climb(Stage::Attn);
}

Result<KernelText> Compilation::fromStage(Stage stage, const std::string &text, const std::string &file) {
  Result<OwningOpRef<ModuleOp>> parsed = parseIr(&context, text, file);
  if (!parsed)
    return parsed.error();
  if (stage > options.emit)
    return badInput(fmt::format("{}: error: expected a stage before the one to emit", file));
  module = std::move(*parsed);
  writtenIn = file;
  result.why = "from " + file;
  if (stage == Stage::Tile)
    result.tileText = text;
  return climb(stage);
}

Result<KernelText> compile(const AttentionSpec &spec, const CompileOptions &options) {
  return Compilation(options).fromSpec(spec);
}

Result<KernelText> compileFrom(Stage stage, const std::string &text, const std::string &file,
                               const CompileOptions &options) {
  return Compilation(options).fromStage(stage, text, file);
}

} // namespace attune
