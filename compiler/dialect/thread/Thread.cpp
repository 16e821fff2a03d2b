//===- Thread.cpp - the thread dialect ------------------------------------===//
#include "compiler/dialect/thread/Thread.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/transforms/FragmentMap.h"

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FoldInterfaces.h"

#include "compiler/dialect/thread/ThreadDialect.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/thread/Thread.cpp.inc"

using namespace mlir;

namespace attune::thread {

namespace {
/// Constants of a role stay in it, as in the tile dialect.
struct ConstantsStay : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(Region *region) const override { return isa<RoleOp>(region->getParentOp()); }
};
} // namespace

void ThreadDialect::initialize() {
  addInterfaces<ConstantsStay>();
  addOperations<
#define GET_OP_LIST
#include "compiler/dialect/thread/Thread.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Kernels and roles
//===----------------------------------------------------------------------===//

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  return tile::parseKernel(parser, result);
}
void KernelOp::print(OpAsmPrinter &p) { tile::printKernel(p, *this); }
void KernelOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  tile::nameArguments(region, setName);
}

/// The most values of a fragment: more than a thread has registers, so that no text can ask for an endless
/// one.
static constexpr int64_t maxValues = 2048;

/// Whether a thread can hold a value of this type.
static bool isThreadType(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return type.isInteger(1) || type.isInteger(32) || type.isIndex() || type.isF32() ||
           isa<tile::ViewType, tile::ArrayType, tile::WorkspaceType, tile::TensorMapType, tile::RingType,
               tile::PlaceType>(type);
  Type element = vector.getElementType();
  return vector.getRank() == 1 && !vector.isScalable() && vector.getNumElements() <= maxValues &&
         (element.isF32() || element.isInteger(32) || element.isInteger(1) ||
          (elementOf(element) && infoOf(element).mmaK != 0 && vector.getNumElements() % 2 == 0));
}

LogicalResult KernelOp::verify() {
  if (failed(tile::verifyKernel(*this)) || failed(tile::verifyHandles(*this)))
    return failure();
  WalkResult result = getBody().walk([&](Operation *op) -> WalkResult {
    auto check = [&](TypeRange types) {
      for (Type type : types)
        if (!isThreadType(type))
          return op->emitOpError("expected i1, i32, index, f32, and vectors of at most ")
                     << maxValues << " of f32, i32, i1 and operands, got " << type,
                 false;
      return true;
    };
    if (!check(op->getResultTypes()))
      return WalkResult::interrupt();
    for (Region &region : op->getRegions())
      for (Block &block : region)
        if (!check(block.getArgumentTypes()))
          return WalkResult::interrupt();
    if (failed(tile::verifyNumbers(op)))
      return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult SpecializeOp::verify() {
  if (failed(tile::verifyRoles(*this, [](Operation *op) { return isa<RoleOp>(op); })))
    return failure();
  int64_t next = 0;
  for (auto role : getRoles().getOps<RoleOp>()) {
    if (int64_t(role.getFirstWarp()) != next)
      return role.emitOpError("expected to begin at warp ") << next << ", got " << role.getFirstWarp();
    next += int64_t(role.getWarps() * role.getReplicas());
  }
  return mlir::success();
}
LogicalResult RoleOp::verify() { return tile::verifyRole(*this); }
LogicalResult ReplicaOp::verify() { return tile::verifyReplica(*this); }

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

/// Whether m x n is a tile whose 16-row slabs `warps` warps share; `what` names it.
static LogicalResult verifyShape(Operation *op, int64_t m, int64_t n, bool isFragment) {
  int64_t warps = tile::warpsAt(op), step = isFragment ? 16 * warps : 1;
  if (warps == 0)
    return op->emitOpError("expected to be inside a role");
  if (m < 1 || m > 4096 || m % step != 0)
    return op->emitOpError("expected the rows of the tile to be a multiple of ")
           << step << (isFragment ? " (16 x warps)" : "") << " up to 4096, got " << m;
  if (n < 16 || n > 4096 || n % 16 != 0)
    return op->emitOpError("expected the columns of the tile to be a multiple of 16 up to 4096, got ") << n;
  return mlir::success();
}

/// Whether `type` is what a thread holds of a tile with `values` values a thread.
static LogicalResult verifyFragment(Operation *op, StringRef what, Type type, int64_t values, Type element) {
  auto vector = dyn_cast<VectorType>(type);
  if (vector && vector.getRank() == 1 && vector.getNumElements() == values &&
      vector.getElementType() == element)
    return mlir::success();
  return op->emitOpError("expected ")
         << what << " to be " << VectorType::get({values}, element) << ", got " << type;
}

static int64_t valuesAt(Operation *op, int64_t m, int64_t n) { return accValues(m, n, tile::warpsAt(op)); }
static Type f32(Operation *op) { return Float32Type::get(op->getContext()); }
static Type i32(Operation *op) { return IntegerType::get(op->getContext(), 32); }

static LogicalResult verifyOperandType(Operation *op, Type type) {
  if (elementOf(type) && infoOf(type).mmaK != 0)
    return mlir::success();
  return op->emitOpError("expected elements that a matrix instruction takes, got ") << type;
}

/// Rows come in pairs: g and g + 8 of each slab.
static LogicalResult verifyRow(Operation *op, Type type, Type element) {
  auto vector = dyn_cast<VectorType>(type);
  if (vector && vector.getRank() == 1 && vector.getNumElements() % 2 == 0 &&
      vector.getElementType() == element)
    return mlir::success();
  return op->emitOpError("expected two values of ") << element << " for each slab of rows, got " << type;
}

/// Whether a matrix of this type has rows of that: some multiple of 16 columns for each slab.
static LogicalResult verifyMatrixOfRows(Operation *op, Type matrix, Type row) {
  auto values = cast<VectorType>(matrix), rows = cast<VectorType>(row);
  if (failed(verifyRow(op, row, rows.getElementType())))
    return failure();
  int64_t slabs = rows.getNumElements() / 2;
  if (values.getElementType() == rows.getElementType() && values.getNumElements() % (8 * slabs) == 0)
    return mlir::success();
  return op->emitOpError("expected a matrix of ")
         << slabs << " slab(s) of 16 rows and a multiple of 16 columns for " << row << ", got " << matrix;
}

static LogicalResult verifyView(Operation *op, tile::ViewType view, int64_t cols) {
  if (failed(verifyOperandType(op, view.getElementType())))
    return failure();
  int64_t chunk = infoOf(view.getElementType()).perChunk();
  if (view.getCols() > cols || view.getCols() % chunk != 0)
    return op->emitOpError("expected the view's columns to be a multiple of ")
           << chunk << " and at most the tile's " << cols << ", got " << view.getCols();
  return mlir::success();
}

LogicalResult AsyncCopyOp::verify() {
  if (failed(verifyShape(*this, int64_t(getRows()), int64_t(getCols()), false)))
    return failure();
  return verifyView(*this, getView().getType(), int64_t(getCols()));
}

LogicalResult LoadOperandOp::verify() {
  Type element = cast<VectorType>(getResult().getType()).getElementType();
  int64_t rows = int64_t(getRows()), cols = int64_t(getCols());
  if (failed(verifyShape(*this, rows, cols, true)) || failed(verifyOperandType(*this, element)))
    return failure();
  return verifyFragment(*this, "the result", getResult().getType(), valuesAt(*this, rows, cols), element);
}

LogicalResult DotOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN()), k = int64_t(getK());
  if (failed(verifyShape(*this, m, n, true)) || failed(verifyOperandType(*this, getType())))
    return failure();
  if (int64_t step = infoOf(getType()).mmaK; k < step || k > 4096 || k % step != 0)
    return emitOpError("expected k to be a multiple of ") << step << " up to 4096, got " << k;
  if (!getA().getType().isInteger(32) &&
      failed(verifyFragment(*this, "a", getA().getType(), valuesAt(*this, m, k), getType())))
    return failure();
  return verifyFragment(*this, "the result", getResult().getType(), valuesAt(*this, m, n), f32(*this));
}

LogicalResult RowReduceOp::verify() {
  if (failed(verifyRow(*this, getInit().getType(), f32(*this))))
    return failure();
  return verifyMatrixOfRows(*this, getValue().getType(), getInit().getType());
}
LogicalResult RowCombineOp::verify() { return verifyRow(*this, getValue().getType(), f32(*this)); }
LogicalResult RowBroadcastOp::verify() {
  return verifyMatrixOfRows(*this, getResult().getType(), getValue().getType());
}
LogicalResult RowIndexOp::verify() { return verifyRow(*this, getResult().getType(), i32(*this)); }
LogicalResult FirstColumnOp::verify() { return verifyRow(*this, getResult().getType(), i32(*this)); }
LogicalResult WarpAnyOp::verify() {
  if (cast<VectorType>(getCondition().getType()).getElementType().isInteger(1))
    return mlir::success();
  return emitOpError("expected values of i1, got ") << getCondition().getType();
}

LogicalResult ColumnIndexOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN());
  if (failed(verifyShape(*this, m, n, true)))
    return failure();
  return verifyFragment(*this, "the result", getResult().getType(), valuesAt(*this, m, n), i32(*this));
}

LogicalResult RampOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN());
  if (failed(verifyShape(*this, m, n, true)) ||
      failed(verifyFragment(*this, "the result", getResult().getType(), valuesAt(*this, m, n), f32(*this))))
    return failure();
  return verifyMatrixOfRows(*this, getResult().getType(), getValue().getType());
}

LogicalResult KeepColumnsOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN());
  if (!getFirst() && !getLast() && !getFirstShift() && !getLastShift())
    return emitOpError("expected at least one of 'first', 'last', 'first_shift' and 'last_shift'");
  if (failed(verifyShape(*this, m, n, true)))
    return failure();
  return verifyFragment(*this, "the value", getValue().getType(), valuesAt(*this, m, n), f32(*this));
}

LogicalResult ToAOpOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN());
  Type element = cast<VectorType>(getResult().getType()).getElementType();
  if (failed(verifyShape(*this, m, n, true)) || failed(verifyOperandType(*this, element)) ||
      failed(verifyFragment(*this, "the value", getValue().getType(), valuesAt(*this, m, n), f32(*this))))
    return failure();
  return verifyFragment(*this, "the result", getResult().getType(), valuesAt(*this, m, n), element);
}

LogicalResult TmaStoreOp::verify() {
  tile::TensorMapType map = getMap().getType();
  int64_t m = int64_t(getM()), n = int64_t(getN());
  if (map.getRows() != 16 || map.getCols() != n || m != 16 * tile::warpsAt(*this))
    return emitOpError("expected boxes of 16 x ") << n << " and 16 rows a warp, got " << map << " and " << m;
  if (failed(verifyShape(*this, m, n, true)))
    return failure();
  return verifyFragment(*this, "the value", getValue().getType(), valuesAt(*this, m, n), f32(*this));
}

LogicalResult DotIssueOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN()), k = int64_t(getK());
  if (tile::warpsAt(*this) != 4 || !(*this)->getParentOfType<RoleOp>())
    return emitOpError("expected to be in a role of 4 warps, a warpgroup");
  if (m != 64 || n < 16 || n > 256 || n % 16 != 0)
    return emitOpError("expected 64 rows and 16 to 256 columns, a multiple of 16, got ") << m << " x " << n;
  if (failed(verifyOperandType(*this, getType())))
    return failure();
  if (int64_t step = infoOf(getType()).mmaK; k < step || k > 256 || k % step != 0)
    return emitOpError("expected k to be a multiple of ") << step << " up to 256, got " << k;
  if (!getA().getType().isInteger(32) &&
      failed(verifyFragment(*this, "a", getA().getType(), valuesAt(*this, m, k), getType())))
    return failure();
  for (Operation *user : getResult().getUsers())
    if (!isa<DotWaitOp>(user))
      return emitOpError("expected its result to pass through thread.dot_wait, got a use by ")
             << user->getName();
  if (!getResult().hasOneUse())
    return emitOpError("expected its result to be waited for once");
  return verifyFragment(*this, "the result", getResult().getType(), valuesAt(*this, m, n), f32(*this));
}

LogicalResult DotWaitOp::verify() {
  if (getPending() > 7)
    return emitOpError("expected at most 7 pending dots, got ") << getPending();
  if (!getValue().getDefiningOp<DotIssueOp>())
    return emitOpError("expected the result of a thread.dot_issue");
  return mlir::success();
}

LogicalResult StoreOp::verify() {
  int64_t m = int64_t(getM()), n = int64_t(getN());
  if (failed(verifyShape(*this, m, n, true)) || failed(verifyView(*this, getView().getType(), n)))
    return failure();
  return verifyFragment(*this, "the value", getValue().getType(), valuesAt(*this, m, n), f32(*this));
}

LogicalResult StoreRowsOp::verify() {
  tile::ViewType view = getView().getType();
  if (view.getCols() != 1 || !view.getElementType().isF32())
    return emitOpError("expected a view of one column of f32, got ") << view;
  return verifyRow(*this, getValue().getType(), f32(*this));
}

} // namespace attune::thread
