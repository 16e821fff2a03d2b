#include "compiler/Compiler.h"

#include "compiler/dialect/Elements.h"
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
  std::string origin; ///< where a spec asks for its schedule
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
  std::string messages;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return mlir::success();
    std::string where = origin.empty() ? "" : origin + ": ";
    if (auto file = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
      where = fmt::format("{}:{}:{}: ", file.getFilename().str(), file.getLine(), file.getColumn());
    messages += fmt::format("{}{}error: {}", messages.empty() ? "" : "\n", where, diagnostic.str());
    return mlir::success();
  });
  if (failed(manager.run(*module)))
    return badInput(messages);
  return dump.status();
}

/// Arguments and launch of a forward kernel, from the arrays that it views.
static Program forwardProgram(ModuleOp module, const KernelText &text) {
  Program program;
  KernelInfo kernel{text.name,        {},       text.schedule, text.threads, text.minBlocksPerSm,
                    text.sharedBytes, {1, 1, 1}};
  auto add = [&](tile::Operand operand, const char *line) {
    module->walk([&](tile::ViewOp view) {
      std::string name = tile::stringifyOperand(operand).str();
      if (view.getOperand() != operand || kernel.find(name))
        return;
      std::string element = infoOf(view.getType().getElementType()).irName;
      kernel.arguments.push_back(
          *Argument::parse(fmt::format(fmt::runtime(line), name, view.getType().getCols(), element)));
    });
  };
  add(tile::Operand::Q, "{}: array<batch x heads_q x len_q x {} x {}> align 16");
  add(tile::Operand::K, "{}: array<batch x heads_kv x len_kv x {} x {}> align 16");
  add(tile::Operand::V, "{}: array<batch x heads_kv x len_kv x {} x {}> align 16");
  add(tile::Operand::O, "{}: array<batch x heads_q x len_q x {} x {}> output align 16");
  add(tile::Operand::LSE, "{}: array<batch x heads_q x len_q x {} x {}> output");
  if (!kernel.find("lse"))
    kernel.arguments.push_back(
        *Argument::parse("lse: array<batch x heads_q x len_q x 1 x f32> output optional"));
  for (const char *line : {"length_q: i32 = len_q", "length_kv: i32 = len_kv",
                           "heads_per_kv_head: i32 = heads_q / heads_kv", "reserved: i32 = 0"})
    kernel.arguments.push_back(*Argument::parse(line));
  program.kernels.push_back(kernel);
  program.launches.push_back(
      {0,
       {ceilDiv(Size::LengthQ, text.schedule.value("block_q", 1)), Size::HeadsQ, Size::Batch},
       text.threads,
       {1, 1, 1},
       text.sharedBytes});
  return program;
}

/// Reads what a launch needs: from the kernel op, or from what thread-to-nvvm left of it on the function.
Status Compilation::collectFacts() {
  int kernels = 0;
  auto take = [&](StringRef name, DictionaryAttr facts) {
    auto number = [](DictionaryAttr from, StringRef key) {
      auto value = from ? from.getAs<IntegerAttr>(key) : IntegerAttr();
      return value ? int(value.getInt()) : 0;
    };
    result.name = name.str();
    result.threads = 32 * number(facts, "warps");
    result.minBlocksPerSm = number(facts, "min_blocks");
    result.sharedBytes = number(facts, "smem");
    FailureOr<Schedule> schedule =
        scheduleFrom(facts.getAs<DictionaryAttr>("schedule"), [&] { return emitError(module->getLoc()); });
    if (succeeded(schedule))
      result.schedule = *schedule;
    ++kernels;
  };
  for (auto kernel : module->getOps<tile::KernelOp>()) {
    take(kernel.getSymName(), cast<DictionaryAttr>(kernel->getPropertiesAsAttribute()));
    if (auto why = kernel->getAttrOfType<StringAttr>("why"); why && result.why.empty())
      result.why = why.str();
  }
  for (auto kernel : module->getOps<thread::KernelOp>())
    take(kernel.getSymName(), cast<DictionaryAttr>(kernel->getPropertiesAsAttribute()));
  for (auto function : module->getOps<LLVM::LLVMFuncOp>())
    if (auto facts = function->getAttrOfType<DictionaryAttr>("thread.kernel"))
      take(function.getSymName(), facts);
  if (kernels != 1)
    return badInput(fmt::format("error: expected one kernel in the module, got {}", kernels));
  if (Program program = forwardProgram(*module, result); program.kernels.front().find("q")) {
    result.program = std::move(program);
  } else if (!result.program.kernels.empty()) {
    result.program.kernels.front().sharedBytes = result.sharedBytes;
    result.program.launches.front().sharedBytes = result.sharedBytes;
  }
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
  Result<std::string> text = translateToPtx(*module, options.arch);
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
