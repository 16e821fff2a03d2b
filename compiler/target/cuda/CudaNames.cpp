//===- CudaNames.cpp - names of values and tiles in C++ -------------------===//
#include "compiler/target/cuda/CudaPrinter.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune {

//===----------------------------------------------------------------------===//
// Names and variables
//===----------------------------------------------------------------------===//

bool isNameOfCuda(StringRef name) {
  // Types and constants that a kernel's text uses; functions of the templates may share its name.
  static const llvm::StringSet<> used = {
      "AOperandOf", "Acc",      "AccOf",  "Array",    "TensorMap", "From",         "FromDiagonal", "Place",
      "Ring",       "Row",      "RowOf",  "SmemTile", "UpTo",      "UpToDiagonal", "View",         "bf16",
      "f16",        "kThreads", "kWarps", "smem",     "uint32",    "uint64",       "int64"};
  // Functions that CUDA declares with C linkage, as kernels have it; most exist with a trailing f, too.
  static const llvm::StringSet<> functions = [] {
    SmallVector<StringRef> names;
    StringRef(
        "abs acos acosh asin asinh assert atan atan2 atanh cbrt ceil clock clock64 copysign cos cosh cospi "
        "cyl_bessel_i0 cyl_bessel_i1 dim3 erf erfc erfcinv erfcx erfinv exp exp10 exp2 expm1 fabs fdim "
        "fdivide floor fma fmax fmin fmod free frexp hypot ilogb j0 j1 jn labs ldexp lgamma llabs llmax "
        "llmin llrint llround log log10 log1p log2 logb lrint lround malloc max memcpy memmove memset min "
        "modf nan nearbyint nextafter norm norm3d norm4d normcdf normcdfinv pow printf rcbrt remainder "
        "remquo rhypot rint rnorm rnorm3d rnorm4d round rsqrt scalbln scalbn sin sincos sincospi sinh sinpi "
        "sqrt tan tanh tgamma trunc ullmax ullmin umax umin va_arg va_copy va_end va_start y0 y1 yn")
        .split(names, ' ');
    llvm::StringSet<> set;
    set.insert(names.begin(), names.end());
    return set;
  }();
  return used.contains(name) || functions.contains(name) ||
         (name.consume_back("f") && functions.contains(name));
}

std::string CudaPrinter::unique(std::string name) {
  // What the templates and CUDA call something else.
  static const llvm::StringMap<StringRef> taken = {{"max", "largest"},
                                                   {"min", "smallest"},
                                                   {"params", "parameters"},
                                                   {"smem", "tile"},
                                                   {"shared", "base"}};
  static const llvm::StringSet<> reserved = {
      "arrive", "draw",      "meet",      "vote",    "store_wait", "store_done", "abs",      "add",
      "auto",   "bool",      "case",      "char",    "choose",     "class",      "const",    "default",
      "div",    "do",        "dot",       "double",  "element",    "else",       "enum",     "exp2",
      "from",   "opaque",    "f16",       "bf16",    "false",      "float",      "fma",      "for",
      "goto",   "if",        "infinity",  "inline",  "int",        "lane",       "larger",   "log2",
      "long",   "map",       "minus_inf", "mma",     "mod",        "multiply",   "new",      "reciprocal",
      "return", "row_index", "row_max",   "row_sum", "select",     "short",      "signed",   "smaller",
      "splat",  "spread",    "static",    "struct",  "subtract",   "switch",     "template", "this",
      "true",   "typename",  "uniform",   "up_to",   "union",      "unsigned",   "view",     "void",
      "warp",   "while",     "zero"};
  if (auto other = taken.find(name); other != taken.end())
    name = other->second.str();
  if (reserved.contains(name))
    name += "_value";
  auto used = [&](const std::string &candidate) {
    return llvm::any_of(scopes, [&](const llvm::StringSet<> &scope) { return scope.contains(candidate); });
  };
  std::string candidate = name;
  for (int i = 2; used(candidate); ++i)
    candidate = fmt::format("{}_{}", name, i);
  scopes.back().insert(candidate);
  return candidate;
}

StringRef CudaPrinter::argumentName(Value argument) {
  return arguments[cast<BlockArgument>(argument).getArgNumber()].name;
}

std::string CudaPrinter::nameOf(Operation *op) {
  if (std::string name = nameFrom(op->getLoc()); !name.empty())
    return name;
  return TypeSwitch<Operation *, std::string>(op)
      .Case([](thread::DotOp dot) { return dot.getTransposed() ? "scores" : "out"; })
      .Case([](thread::LoadOperandOp) { return "q"; })
      .Case([](thread::KeepColumnsOp) { return "kept"; })
      .Case([](thread::RowReduceOp reduce) {
        return reduce.getKind() == tile::Reduction::Max ? "new_max" : "sum";
      })
      .Case([](thread::RowCombineOp) { return "whole_row"; })
      .Case([](thread::WarpAnyOp) { return "any"; })
      .Case([](tile::SlotWaitOp) { return "tile"; })
      .Case([](tile::RingOp) { return "ring"; })
      .Case([](math::Exp2Op) { return "power"; })
      .Case<arith::CmpFOp, arith::CmpIOp>([](auto) { return "is"; })
      .Default([](Operation *op) { return isa<VectorType>(op->getResult(0).getType()) ? "x" : "n"; });
}

/// The name of a value: of a loop's or a branch's result, that of what it was inside; empty for constants.
std::string CudaPrinter::nameOfValue(Value value) {
  auto result = dyn_cast<OpResult>(value);
  if (!result)
    return nameFrom(value.getLoc());
  Operation *op = result.getOwner();
  unsigned number = result.getResultNumber();
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return nameFrom(loop.getRegionIterArg(number).getLoc());
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return nameOfValue(loop.getConditionOp().getArgs()[number]);
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return nameOfValue(branch.thenYield().getOperand(number));
  return isa<arith::ConstantOp>(op) ? std::string() : nameFrom(op->getLoc());
}

int CudaPrinter::newVariable(std::string name) {
  variables.push_back({unique(std::move(name)), Value()});
  return int(variables.size()) - 1;
}

int CudaPrinter::variableOf(Value value) {
  auto found = bound.find(value);
  return found == bound.end() ? -1 : found->second;
}

void CudaPrinter::bind(Value value, int variable) {
  bound[value] = variable;
  variables[size_t(variable)].holds = value;
  known[value] = {variables[size_t(variable)].name, 20, formOf(value.getType())};
}

bool CudaPrinter::mayOverwrite(int variable, Operation *point) {
  Value held = variables[size_t(variable)].holds;
  // A yield of what the variable holds into the same variable is no statement.
  return !held || !uses.isReadAfter(held, point, [&](OpOperand &read) {
    auto found = targets.find(read.getOwner());
    return found != targets.end() && found->second[read.getOperandNumber()] == variable;
  });
}

bool CudaPrinter::reads(Value value, int variable) {
  if (variableOf(value) == variable)
    return true;
  Operation *op = value.getDefiningOp();
  return op && !known.contains(value) && uses.isInlined(op) &&
         llvm::any_of(op->getOperands(), [&](Value operand) { return reads(operand, variable); });
}

//===----------------------------------------------------------------------===//
// Tiles of shared memory
//===----------------------------------------------------------------------===//

static std::optional<int64_t> constantOffset(Value offset) {
  APInt number;
  return matchPattern(offset, m_ConstantInt(&number)) ? std::optional(number.getSExtValue()) : std::nullopt;
}

void CudaPrinter::nameTile(Value offset, int64_t tileRows, int64_t cols, Type element, StringRef name) {
  SmemTile tile{constantOffset(offset).value_or(-1), tileRows, cols, element, ""};
  if (offset.getDefiningOp<tile::SlotWaitOp>())
    return; // its ring knows what it is
  if (tile.offset < 0) {
    // An offset that is only ever one kind of tile is declared as that tile.
    auto [entry, isNew] = tileAt.try_emplace(offset, tile);
    if (!isNew && (entry->second.rows != tileRows || entry->second.cols != cols))
      entry->second.rows = 0;
    return;
  }
  for (const SmemTile &other : tiles)
    if (other.offset == tile.offset && other.rows == tileRows && other.cols == cols &&
        other.element == element)
      return;
  std::string given = nameFrom(offset.getLoc());
  tile.name = unique(given.empty() ? name.str() : given);
  tiles.push_back(tile);
}

void CudaPrinter::findTiles() {
  auto elementOf = [](tile::ViewType view) { return view.getElementType(); };
  kernel->walk([&](thread::AsyncCopyOp op) {
    auto view = op.getView().getDefiningOp<tile::ViewOp>();
    StringRef name = view ? argumentName(view.getArray()) : "copied";
    nameTile(op.getOffset(), op.getRows(), op.getCols(), elementOf(op.getView().getType()),
             (name + "_tile").str());
  });
  kernel->walk([&](Operation *op) {
    if (auto dot = dyn_cast<thread::DotIssueOp>(op)) {
      if (!isa<VectorType>(dot.getA().getType()))
        nameTile(dot.getA(), dot.getM(), dot.getK(), dot.getType(), "a_tile");
      bool transposed = dot.getTransposed();
      nameTile(dot.getB(), transposed ? dot.getN() : dot.getK(), transposed ? dot.getK() : dot.getN(),
               dot.getType(), "b_tile");
    } else if (auto dot = dyn_cast<thread::DotOp>(op)) {
      if (!isa<VectorType>(dot.getA().getType()))
        nameTile(dot.getA(), dot.getM(), dot.getK(), dot.getType(), "a_tile");
      bool transposed = dot.getTransposed();
      nameTile(dot.getB(), transposed ? dot.getN() : dot.getK(), transposed ? dot.getK() : dot.getN(),
               dot.getType(), "b_tile");
    } else if (auto load = dyn_cast<thread::LoadOperandOp>(op)) {
      nameTile(load.getOffset(), load.getRows(), load.getCols(),
               cast<VectorType>(load.getType()).getElementType(), "a_tile");
    } else if (auto store = dyn_cast<thread::StoreOp>(op)) {
      nameTile(store.getStaging(), store.getM(), store.getN(), elementOf(store.getView().getType()),
               "out_tile");
    } else if (auto store = dyn_cast<thread::TmaStoreOp>(op)) {
      nameTile(store.getStaging(), store.getM(), store.getN(), store.getMap().getType().getElementType(),
               "out_tile");
    } else if (auto take = dyn_cast<thread::TakeNonfiniteOp>(op)) {
      nameTile(take.getOffset(), take.getRows(), take.getCols(), take.getType(), "v_tile");
    }
  });
  llvm::DenseMap<Value, SmemTile> kept;
  for (auto &[value, tile] : tileAt) {
    bool onlyTile = llvm::all_of(value.getUsers(), [&](Operation *user) {
      return isa<thread::AsyncCopyOp, thread::DotOp, thread::LoadOperandOp, thread::StoreOp,
                 thread::DotIssueOp, thread::TmaStoreOp, thread::TakeNonfiniteOp>(user);
    });
    if (tile.rows && onlyTile && value.getDefiningOp() && !uses.isInlined(value.getDefiningOp()))
      kept[value] = tile;
  }
  tileAt = kept;
}

FailureOr<std::string> CudaPrinter::smemTile(Value offset, int64_t tileRows, int64_t cols, Type element) {
  if (std::optional<int64_t> constant = constantOffset(offset))
    for (const SmemTile &tile : tiles)
      if (tile.offset == *constant && tile.rows == tileRows && tile.cols == cols && tile.element == element)
        return tile.name;
  FailureOr<std::string> place = text(offset);
  if (failed(place) || tileAt.contains(offset))
    return place;
  if (auto wait = offset.getDefiningOp<tile::SlotWaitOp>()) {
    RankedTensorType slot = wait.getRing().getType().getSlot();
    if (slot.getDimSize(0) == tileRows && slot.getDimSize(1) == cols && slot.getElementType() == element)
      return place;
    return fmt::format("{}{{{}.address}}", tileType(tileRows, cols, element), *place);
  }
  return fmt::format("{}{{shared + {}}}", tileType(tileRows, cols, element), *place);
}

} // namespace attune
