//===- Oracle.cpp - kernels over their grids ------------------------------===//
#include "tests/oracle/Oracle.h"

#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/ir/IrText.h"
#include "compiler/support/Arch.h"
#include "compiler/transforms/Passes.h"
#include "runtime/reference/Parallel.h"
#include "tests/oracle/Strand.h"

#include <atomic>
#include <mutex>

#include <fmt/format.h>

using namespace mlir;

namespace attune::oracle {

namespace {

/// One kernel's arguments, as its blocks see them.
struct BoundKernel {
  tile::KernelOp kernel;
  std::vector<Argument> arguments;
  std::vector<BoundArray> arrays; ///< of every argument; those of scalars are empty
  Environment environment;
  BlockFacts facts; ///< without an index
};

/// A block of the grid.
class Block {
public:
  Block(const BoundKernel &bound, std::array<uint32_t, 3> index) : bound(bound), facts(bound.facts) {
    facts.index = index;
  }

  /// Empty, or what went wrong.
  std::string run() {
    while (true) {
      meeting = Meeting();
      facts.meeting = &meeting;
      tile::KernelOp kernel = bound.kernel;
      Strand all(facts, kernel.getBody().front(), int64_t(kernel.getWarps().value_or(1)), 0,
                 bound.environment);
      bool moved = false;
      Strand::State state = all.run(moved);
      if (state == Strand::State::Specialize)
        state = runRoles(all);
      else if (state == Strand::State::Failed)
        error = all.error();
      else if (state == Strand::State::Waiting)
        error = standstill(all);
      if (state != Strand::State::Again)
        return error;
      facts.attempt = all.nextAttempt();
    }
  }

private:
  static std::string standstill(const Strand &strand) {
    Operation *op = strand.current();
    auto place = op->getLoc()->findInstanceOf<FileLineColLoc>();
    return fmt::format("{}:{}: error: '{}' waits for ever", place ? place.getFilename().str() : "",
                       place ? place.getLine() : 0, op->getName().getStringRef().str());
  }

  Strand::State runRoles(const Strand &before) {
    std::vector<Strand> strands;
    auto specialize = cast<tile::SpecializeOp>(before.current());
    for (auto role : specialize.getRoles().getOps<tile::RoleOp>())
      for (uint32_t replica = 0; replica != uint32_t(role.getReplicas()); ++replica)
        strands.emplace_back(facts, role.getBody().front(), int64_t(role.getWarps()), replica,
                             before.environment());
    meeting.voters = strands.size();
    while (true) {
      bool moved = false, done = true;
      const Strand *waits = nullptr;
      for (Strand &strand : strands) {
        Strand::State state = strand.run(moved);
        if (state == Strand::State::Failed)
          error = strand.error();
        if (state == Strand::State::Failed || state == Strand::State::Again)
          return state;
        if (state != Strand::State::Done)
          done = false, waits = &strand;
      }
      if (done)
        return Strand::State::Done;
      if (!moved) {
        error = standstill(*waits);
        return Strand::State::Failed;
      }
    }
  }

  const BoundKernel &bound;
  BlockFacts facts;
  Meeting meeting;
  std::string error;
};

} // namespace

struct TileProgram::State {
  static DialectRegistry registry() {
    DialectRegistry registry;
    registerAttuneDialects(registry);
    return registry;
  }

  State() : context(registry(), MLIRContext::Threading::DISABLED) { context.loadAllAvailableDialects(); }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::string file;
  std::vector<Argument> arguments;

  Status bind(BoundKernel &bound, const LaunchInputs &inputs,
              std::map<std::string, std::vector<char>> &workspace) const;
  Status run(const BoundKernel &bound, const LaunchInputs &inputs) const;
};

Result<TileProgram> TileProgram::parse(const std::string &text, const std::string &file) {
  auto state = std::make_shared<State>();
  Result<OwningOpRef<ModuleOp>> parsed = parseIr(&state->context, text, file);
  if (!parsed)
    return parsed.error();
  state->module = std::move(*parsed);
  state->file = file;
  for (auto kernel : state->module->getOps<tile::KernelOp>())
    for (Argument &argument : tile::argumentsOf(kernel))
      if (std::none_of(state->arguments.begin(), state->arguments.end(),
                       [&](const Argument &known) { return known.name == argument.name; }))
        state->arguments.push_back(std::move(argument));
  if (state->module->getOps<tile::KernelOp>().empty())
    return badInput(fmt::format("{}: error: expected a tile.kernel, got none", file));
  TileProgram program;
  program.state = std::move(state);
  return program;
}

const std::vector<Argument> &TileProgram::arguments() const { return state->arguments; }

/// Arrays, scalars and parts of the workspace for the arguments of a kernel.
Status TileProgram::State::bind(BoundKernel &bound, const LaunchInputs &inputs,
                                std::map<std::string, std::vector<char>> &workspace) const {
  bound.arguments = tile::argumentsOf(bound.kernel);
  bound.arrays.resize(bound.arguments.size());
  auto wrong = [&](const std::string &what) { return badInput(fmt::format("{}: error: {}", file, what)); };
  for (auto [i, argument] : llvm::enumerate(bound.arguments)) {
    BoundArray &array = bound.arrays[i];
    array.argument = &argument;
    Datum datum;
    switch (argument.kind) {
    case Argument::Kind::Scalar: {
      double value = 0;
      if (argument.value)
        value = double(argument.value->evaluate(inputs.sizes).value_or(0));
      else if (auto found = inputs.scalars.find(argument.name); found != inputs.scalars.end())
        value = found->second;
      else
        return wrong(fmt::format("expected a value for '{}'", argument.name));
      datum = argument.isFloat() ? Words(float(value)) : Words(uint32_t(int64_t(value)));
      break;
    }
    case Argument::Kind::Array: {
      auto found = inputs.arrays.find(argument.name);
      if (found == inputs.arrays.end())
        return wrong(fmt::format("expected an array '{}'", argument.name));
      array.data = static_cast<char *>(found->second.data);
      array.strides = found->second.strides;
      array.strides.push_back(1);
      if (array.strides.size() != argument.axes.size())
        return wrong(fmt::format("expected {} strides of '{}', got {}", argument.axes.size() - 1,
                                 argument.name, array.strides.size() - 1));
      for (const SizeExpr &axis : argument.axes)
        array.extents.push_back(axis.evaluate(inputs.sizes).value_or(0));
      datum = static_cast<const BoundArray *>(&array);
      bound.facts.arrays[argument.name] = &array;
      break;
    }
    case Argument::Kind::Workspace: {
      std::vector<char> &part = workspace[argument.name];
      part.resize(
          size_t(std::max<int64_t>(int64_t(part.size()), argument.bytes.evaluate(inputs.sizes).value_or(0))));
      array.data = part.data();
      array.extents = {int64_t(part.size()) * 8 / infoOf(argument.type).bits};
      array.strides = {1};
      datum = static_cast<const BoundArray *>(&array);
      break;
    }
    case Argument::Kind::TensorMap:
      if (!bound.facts.arrays.count(argument.array))
        return wrong(fmt::format("expected the array '{}' before its map", argument.array));
      datum = bound.facts.arrays[argument.array];
    }
    bound.environment[bound.kernel.getBody().getArgument(unsigned(i))] = std::move(datum);
  }
  return success();
}

Status TileProgram::State::run(const BoundKernel &bound, const LaunchInputs &inputs) const {
  std::array<uint32_t, 3> grid = bound.facts.grid;
  std::mutex lock;
  std::string error;
  reference::parallelFor(int64_t(grid[0]) * grid[1] * grid[2], [&](int64_t i) {
    auto index = [&](uint32_t below, uint32_t extent) { return uint32_t(i / below % extent); };
    Block block(bound, {index(1, grid[0]), index(grid[0], grid[1]), index(grid[0] * grid[1], grid[2])});
    std::string wrong = block.run();
    std::lock_guard guard(lock);
    if (error.empty())
      error = wrong;
  });
  return error.empty() ? success() : Status(badInput(error));
}

Status TileProgram::run(const LaunchInputs &inputs) const {
  std::map<std::string, std::vector<char>> workspace;
  ModuleOp module = state->module.get();
  for (auto kernel : module.getOps<tile::KernelOp>()) {
    BoundKernel bound;
    bound.kernel = kernel;
    if (Status status = state->bind(bound, inputs, workspace); !status)
      return status;
    Result<Arch> arch = findArch(kernel.getArch().str());
    if (!arch)
      return arch.error();
    bound.facts.rule = reference::tensorCoreRule(arch->computeCapability);
    bound.facts.grid = {1, 1, 1};
    if (auto grid = kernel.getGrid())
      for (auto [axis, extent] : llvm::enumerate(*grid)) {
        Result<SizeExpr> blocks = SizeExpr::parse(cast<StringAttr>(extent).getValue().str());
        if (!blocks)
          return blocks.error();
        bound.facts.grid[axis] = uint32_t(blocks->evaluate(inputs.sizes).value_or(0));
      }
    if (Status status = state->run(bound, inputs); !status)
      return status;
  }
  return success();
}

} // namespace attune::oracle
