#include "compiler/dialect/tile/Tile.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "compiler/dialect/tile/TileDialect.cpp.inc"
#include "compiler/dialect/tile/TileEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/dialect/tile/TileAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "compiler/dialect/tile/TileTypes.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/tile/Tile.cpp.inc"

using namespace mlir;

namespace attune::tile {

namespace {
/// Prints the layouts as #acc, #row, #a_op and #smem, so that types stay short.
struct LayoutAliases : OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;

  AliasResult getAlias(Attribute attr, raw_ostream &os) const override {
    return TypeSwitch<Attribute, AliasResult>(attr)
        .Case<AccAttr, RowAttr, AOpAttr, SmemAttr>([&](auto layout) {
          os << layout.getMnemonic();
          return AliasResult::FinalAlias;
        })
        .Default([](Attribute) { return AliasResult::NoAlias; });
  }
};
} // namespace

void TileDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/dialect/tile/TileAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "compiler/dialect/tile/TileTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/dialect/tile/Tile.cpp.inc"
      >();
  addInterfaces<LayoutAliases>();
}

int64_t tileBytes(RankedTensorType type) { return type.getNumElements() * type.getElementTypeBitWidth() / 8; }

static std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text;
  for (int64_t dim : shape)
    text += (text.empty() ? "" : "x") + std::to_string(dim);
  return text;
}

LogicalResult RingType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t depth,
                               RankedTensorType slot) {
  if (depth < 1)
    return emitError() << "expected a ring of at least one slot, got " << depth;
  if (!isa_and_present<SmemAttr>(slot.getEncoding()) || slot.getRank() != 2)
    return emitError() << "expected slots to be 2-d tensors with layout #tile.smem, got " << slot;
  return success();
}

LogicalResult KernelOp::verify() {
  if (!llvm::is_contained({1, 2, 4, 8, 16}, getWarps()))
    return emitOpError("expected 1, 2, 4, 8 or 16 warps, got ") << getWarps();
  if (getMinBlocks() < 1)
    return emitOpError("expected min_blocks to be at least 1, got ") << getMinBlocks();
  // Every fragment gives each warp whole 16-row slabs.
  auto checkType = [&](Operation *op, Type type) -> LogicalResult {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor)
      return mlir::success();
    if (!tensor.hasStaticShape())
      return op->emitOpError("expected tiles of static shape, got ") << tensor;
    int64_t slab = 16 * getWarps();
    if (isa_and_present<AccAttr, RowAttr, AOpAttr>(tensor.getEncoding()) && tensor.getDimSize(0) % slab != 0)
      return op->emitOpError("expected the rows of a fragment to be a multiple of 16 x warps = ")
             << slab << ", got " << tensor.getDimSize(0);
    if (!isa_and_present<RowAttr>(tensor.getEncoding()) && tensor.getRank() == 2 &&
        tensor.getDimSize(1) % 16 != 0)
      return op->emitOpError("expected the columns of a tile to be a multiple of 16, got ")
             << tensor.getDimSize(1);
    return mlir::success();
  };
  WalkResult result = getBody().walk([&](Operation *op) {
    for (Type type : op->getResultTypes())
      if (failed(checkType(op, type)))
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult AsyncCopyOp::verify() {
  ViewType view = getView().getType();
  RankedTensorType tile = getTile().getType();
  if (view.getElementType() != tile.getElementType())
    return emitOpError("expected view and tile of one element type, got ")
           << view.getElementType() << " and " << tile.getElementType();
  if (view.getCols() > tile.getDimSize(1) || view.getCols() % 8 != 0)
    return emitOpError("expected the view's columns to be a multiple of 8 and at most the tile's ")
           << tile.getDimSize(1) << ", got " << view.getCols();
  return success();
}

LogicalResult StoreOp::verify() {
  RankedTensorType value = getValue().getType(), staging = getStaging().getType();
  if (value.getShape() != staging.getShape())
    return emitOpError("expected staging of the value's shape ")
           << shapeText(value.getShape()) << ", got " << shapeText(staging.getShape());
  if (getView().getType().getElementType() != staging.getElementType())
    return emitOpError("expected staging of the view's element type ")
           << getView().getType().getElementType() << ", got " << staging.getElementType();
  if (getView().getType().getCols() > value.getDimSize(1))
    return emitOpError("expected at most ")
           << value.getDimSize(1) << " columns in the view, got " << getView().getType().getCols();
  return success();
}

LogicalResult DotOp::verify() {
  auto a = cast<RankedTensorType>(getA().getType());
  RankedTensorType b = getB().getType(), result = getResult().getType();
  if (a.getElementType() != b.getElementType())
    return emitOpError("expected a and b of one element type, got ")
           << a.getElementType() << " and " << b.getElementType();
  int64_t n = b.getDimSize(getTransposed() ? 0 : 1), k = b.getDimSize(getTransposed() ? 1 : 0);
  if (a.getDimSize(1) != k)
    return emitOpError("expected a and b to agree in k, got ") << a.getDimSize(1) << " and " << k;
  if (result.getDimSize(0) != a.getDimSize(0) || result.getDimSize(1) != n)
    return emitOpError("expected a result of shape ")
           << shapeText({a.getDimSize(0), n}) << ", got " << shapeText(result.getShape());
  if (!result.getElementType().isF32())
    return emitOpError("expected a result of f32, got ") << result.getElementType();
  return success();
}

static LogicalResult verifyRows(Operation *op, RankedTensorType matrix, RankedTensorType row) {
  if (matrix.getDimSize(0) == row.getDimSize(0))
    return success();
  return op->emitOpError("expected one value for each of ")
         << matrix.getDimSize(0) << " rows, got " << row.getDimSize(0);
}

LogicalResult RowReduceOp::verify() { return verifyRows(*this, getValue().getType(), getResult().getType()); }

LogicalResult RowBroadcastOp::verify() {
  return verifyRows(*this, getResult().getType(), getValue().getType());
}

LogicalResult KeepColumnsOp::verify() {
  if (!getFirst() && !getLast() && !getFirstShift() && !getLastShift())
    return emitOpError("expected at least one of 'first', 'last', 'first_shift' and 'last_shift'");
  return success();
}

LogicalResult ToAOpOp::verify() {
  RankedTensorType from = getValue().getType(), to = getResult().getType();
  if (from.getShape() != to.getShape())
    return emitOpError("expected a result of the value's shape ")
           << shapeText(from.getShape()) << ", got " << shapeText(to.getShape());
  if (!to.getElementType().isF16() && !to.getElementType().isBF16())
    return emitOpError("expected a 16-bit result, got ") << to.getElementType();
  return success();
}

} // namespace attune::tile
