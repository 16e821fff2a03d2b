//===- Tile.cpp - verifiers and syntax of the tile dialect ----------------===//
#include "compiler/dialect/tile/Tile.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/ScalarOps.h"
#include "compiler/dialect/tile/KernelHeader.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

namespace attune::tile {
/// The type of an index of an element for each place of `result`.
static mlir::Type indexTypeOf(mlir::Type result) {
  mlir::Type i32 = mlir::IntegerType::get(result.getContext(), 32);
  auto shaped = llvm::dyn_cast<mlir::ShapedType>(result);
  return shaped ? mlir::Type(shaped.clone(i32)) : i32;
}

static mlir::ParseResult parseIndexTypes(mlir::OpAsmParser &, llvm::SmallVectorImpl<mlir::Type> &types,
                                         llvm::ArrayRef<mlir::OpAsmParser::UnresolvedOperand> indices,
                                         mlir::Type result) {
  types.assign(indices.size(), indexTypeOf(result));
  return mlir::success();
}
static void printIndexTypes(mlir::OpAsmPrinter &, mlir::Operation *, mlir::TypeRange, mlir::OperandRange,
                            mlir::Type) {}
} // namespace attune::tile

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
/// Constants of a role stay in it: its warps share what its fragments are.
struct ConstantsStay : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(Region *region) const override { return isa<RoleOp>(region->getParentOp()); }
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
  addInterfaces<LayoutAliases, ConstantsStay>();
}

int64_t tileBytes(RankedTensorType type) { return type.getNumElements() * type.getElementTypeBitWidth() / 8; }

std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text;
  for (int64_t dim : shape)
    text += (text.empty() ? "" : "x") + std::to_string(dim);
  return text;
}

LogicalResult RingType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t depth,
                               RankedTensorType slot, RingKind kind) {
  if (depth < 1)
    return emitError() << "expected a ring of at least one slot, got " << depth;
  if (!isa_and_present<SmemAttr>(slot.getEncoding()) || slot.getRank() != 2)
    return emitError() << "expected slots to be 2-d tensors with layout #tile.smem, got " << slot;
  if (kind == RingKind::Tma && (slot.getDimSize(0) % 8 != 0 || slot.getDimSize(0) > 256))
    return emitError() << "expected slots of a multiple of 8 rows, at most TMA's 256, got " << slot;
  return mlir::success();
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

Type ArrayType::parse(AsmParser &parser) {
  SmallVector<StringAttr> extents;
  Type element;
  SMLoc where = parser.getCurrentLocation();
  if (parser.parseLess())
    return {};
  while (true) {
    OptionalParseResult type = parser.parseOptionalType(element);
    if (type.has_value()) {
      if (failed(*type) || parser.parseGreater())
        return {};
      return parser.getChecked<ArrayType>(where, parser.getContext(), extents, element);
    }
    int64_t number;
    StringRef word;
    std::string text;
    OptionalParseResult integer = parser.parseOptionalInteger(number);
    if (integer.has_value()) {
      if (failed(*integer))
        return {};
      text = std::to_string(number);
    } else if (succeeded(parser.parseOptionalKeyword(&word))) {
      text = word.str();
    } else if (failed(parser.parseOptionalString(&text))) {
      parser.emitError(parser.getCurrentLocation(), "expected an extent or an element type");
      return {};
    }
    extents.push_back(StringAttr::get(parser.getContext(), text));
    if (parser.parseKeyword("x", " between the extents of an array"))
      return {};
  }
}

void ArrayType::print(AsmPrinter &p) const {
  p << '<';
  for (StringAttr extent : getExtents()) {
    Result<SizeExpr> read = SizeExpr::parse(extent.str());
    if (read && (read->constant() || read->size()))
      p << extent.getValue() << " x ";
    else
      p << extent << " x ";
  }
  p << getElementType() << '>';
}

LogicalResult ArrayType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<StringAttr> extents,
                                Type elementType) {
  if (extents.empty() || extents.size() > 8)
    return emitError() << "expected an array of one to eight axes, got " << extents.size();
  for (StringAttr extent : extents) {
    Result<SizeExpr> read = SizeExpr::parse(extent.str());
    if (!read)
      return emitError() << read.error().message;
    if (read->text() != extent.getValue())
      return emitError() << "expected the extent '" << read->text() << "', got '" << extent.getValue() << "'";
    if (read->constant() && *read->constant() < 1)
      return emitError() << "expected extents of at least 1, got " << *read->constant();
  }
  if (!elementOf(elementType))
    return emitError() << "expected elements of f16, bf16, f32, i32 or i64, got " << elementType;
  return mlir::success();
}

int64_t ArrayType::getLastExtent() const {
  Result<SizeExpr> read = SizeExpr::parse(getExtents().back().str());
  return read ? read->constant().value_or(0) : 0;
}

LogicalResult WorkspaceType::verify(function_ref<InFlightDiagnostic()> emitError, Type elementType) {
  if (!elementOf(elementType))
    return emitError() << "expected elements of f16, bf16, f32, i32 or i64, got " << elementType;
  return mlir::success();
}

LogicalResult ViewType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t cols, Type elementType) {
  if (cols < 1 || cols > 1 << 16)
    return emitError() << "expected a view of 1 to 65536 columns, got " << cols;
  if (!elementOf(elementType))
    return emitError() << "expected elements of f16, bf16, f32, i32 or i64, got " << elementType;
  return mlir::success();
}

LogicalResult ViewOp::verify() {
  ArrayType array = getArray().getType();
  ViewType view = getResult().getType();
  int64_t left = array.getRank() - int64_t(getIndices().size());
  if (left != 1 && left != 2)
    return emitOpError("expected an index for each axis of the array but one or two, got ")
           << getIndices().size() << " for " << array.getRank() << " axes";
  if (array.getElementType() != view.getElementType())
    return emitOpError("expected a view of the array's element type ")
           << array.getElementType() << ", got " << view.getElementType();
  int64_t cols = left == 1 ? 1 : array.getLastExtent();
  if (view.getCols() != cols)
    return emitOpError("expected a view of ") << cols << " columns, got " << view.getCols();
  return mlir::success();
}

LogicalResult LoadValueOp::verify() {
  ArrayType array = getArray().getType();
  if (int64_t(getIndices().size()) != array.getRank())
    return emitOpError("expected an index for each of ")
           << array.getRank() << " axes, got " << getIndices().size();
  Type element = array.getElementType();
  Type value = typeOf(getContext(), infoOf(element).value);
  if (getElementTypeOrSelf(getResult().getType()) != value)
    return emitOpError("expected a result of ")
           << value << ", as the array's elements " << element << " become, got " << getResult().getType();
  if (!value.isF32() && !value.isInteger(32))
    return emitOpError("expected elements that are numbers of at most 32 bits, got ") << element;
  for (Type index : getIndices().getTypes())
    if (index != indexTypeOf(getResult().getType()))
      return emitOpError("expected indices of ")
             << indexTypeOf(getResult().getType()) << ", of the result's shape, got " << index;
  return mlir::success();
}

static LogicalResult verifyEntry(Operation *op, WorkspaceType workspace) {
  if (!workspace.getElementType().isInteger(32))
    return op->emitOpError("expected a workspace of i32, got ") << workspace;
  return mlir::success();
}
LogicalResult LoadEntryOp::verify() { return verifyEntry(*this, getWorkspace().getType()); }
LogicalResult StoreEntryOp::verify() {
  if (int64_t warps = warpsAt(*this); warps != 1)
    return emitOpError("expected to be in a kernel of one warp, got ") << warps;
  return verifyEntry(*this, getWorkspace().getType());
}

//===----------------------------------------------------------------------===//
// Kernels and roles
//===----------------------------------------------------------------------===//

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  return parseKernel(parser, result);
}
void KernelOp::print(OpAsmPrinter &p) { printKernel(p, *this); }
void KernelOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  nameArguments(region, setName);
}

/// Rings, views and what a kernel is launched with have one place where they come from: nothing hands them
/// on.
LogicalResult verifyHandles(Operation *kernel) {
  auto isHandle = [](Type type) {
    return isa<RingType, WordsType, ViewType, ArrayType, WorkspaceType, TensorMapType>(type);
  };
  auto refuse = [](Operation *op, Type type) {
    return op->emitOpError("expected no value of type ") << type << " to be handed on";
  };
  WalkResult result = kernel->getRegion(0).walk([&](Operation *op) -> WalkResult {
    for (Type type : op->getResultTypes())
      if (isHandle(type) && !isa<RingOp, WordsOp, ViewOp>(op))
        return refuse(op, type), WalkResult::interrupt();
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Type type : block.getArgumentTypes())
          if (isHandle(type))
            return refuse(op, type), WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult verifyNumbers(Operation *op) {
  if (!isa_and_present<arith::ArithDialect, math::MathDialect>(op->getDialect()))
    return mlir::success();
  return verifyScalarOp(op, "in a kernel", false);
}

LogicalResult KernelOp::verify() {
  if (failed(verifyKernel(*this)) || failed(verifyHandles(*this)))
    return failure();
  // Before the ops inside look at shapes, each tile has one.
  WalkResult result = getBody().walk([](Operation *op) {
    bool good = succeeded(verifyTiles(op)) && succeeded(verifyNumbers(op));
    return good ? WalkResult::advance() : WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult verifyRoles(Operation *specialize, llvm::function_ref<bool(Operation *)> isRole) {
  Block &roles = specialize->getRegion(0).front();
  if (roles.getNumArguments() || roles.empty())
    return specialize->emitOpError("expected at least one role, and no arguments");
  for (Operation &op : roles)
    if (!isRole(&op))
      return op.emitOpError("expected only roles in ") << specialize->getName();
  if (specialize->getNextNode())
    return specialize->getNextNode()->emitOpError("expected nothing after the roles of a kernel");
  return mlir::success();
}

LogicalResult verifyRole(Operation *role) {
  auto number = [&](StringRef name) {
    auto value = role->getAttrOfType<IntegerAttr>(name);
    return value ? value.getInt() : 0;
  };
  if (!llvm::is_contained({1, 2, 4, 8, 16}, number("warps")))
    return role->emitOpError("expected 1, 2, 4, 8 or 16 warps, got ") << number("warps");
  if (number("replicas") < 1 || number("replicas") > 16)
    return role->emitOpError("expected 1 to 16 replicas, got ") << number("replicas");
  if (role->hasAttr("registers") &&
      (number("registers") < 24 || number("registers") > 256 || number("registers") % 8 != 0))
    return role->emitOpError("expected registers to be a multiple of 8 in 24..256, got ")
           << number("registers");
  if (role->hasAttr("registers") && number("warps") % 4 != 0)
    return role->emitOpError("expected registers to move between whole warpgroups of 4 warps, got ")
           << number("warps") << " warps";
  if (role->getRegion(0).getNumArguments())
    return role->emitOpError("expected a role without arguments");
  return mlir::success();
}

LogicalResult verifyReplica(Operation *replica) {
  for (Operation *op = replica->getParentOp(); op; op = op->getParentOp())
    if (op->hasAttr("replicas"))
      return mlir::success();
  return replica->emitOpError("expected to be inside a role");
}

LogicalResult SpecializeOp::verify() {
  return verifyRoles(*this, [](Operation *op) { return isa<RoleOp>(op); });
}
LogicalResult RoleOp::verify() { return verifyRole(*this); }
LogicalResult ReplicaOp::verify() { return verifyReplica(*this); }

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

/// Whether a tile of this type can exist where `op` stands: each warp of its role has whole 16-row slabs.
static LogicalResult verifyTile(Operation *op, Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return mlir::success();
  Attribute layout = tensor.getEncoding();
  if (!isa_and_present<AccAttr, RowAttr, AOpAttr, SmemAttr>(layout))
    return op->emitOpError("expected a tile with layout #tile.acc, #tile.row, #tile.a_op or #tile.smem, got ")
           << tensor;
  if (!tensor.hasStaticShape() || tensor.getRank() != (isa<RowAttr>(layout) ? 1 : 2) ||
      tensor.getNumElements() == 0 || tensor.getNumElements() > 1 << 20)
    return op->emitOpError("expected ") << (isa<RowAttr>(layout) ? "rows" : "a matrix")
                                        << " of static shape, of 1 to 2^20 elements, got " << tensor;
  Type element = tensor.getElementType();
  bool good = isa<AOpAttr, SmemAttr>(layout)
                  ? elementOf(element) && infoOf(element).mmaK != 0
                  : element.isF32() || element.isInteger(32) || element.isInteger(1);
  if (!good)
    return op->emitOpError("expected elements ")
           << (isa<AOpAttr, SmemAttr>(layout) ? "that a matrix instruction takes" : "of f32, i32 or i1")
           << ", got " << tensor;
  int64_t warps = warpsAt(op);
  if (!isa<SmemAttr>(layout)) {
    if (warps == 0)
      return op->emitOpError("expected fragments only inside a role, whose warps share them");
    if (tensor.getDimSize(0) % (16 * warps) != 0)
      return op->emitOpError("expected the rows of a fragment to be a multiple of 16 x warps = ")
             << 16 * warps << ", got " << tensor.getDimSize(0);
  }
  if (tensor.getRank() == 2 && tensor.getDimSize(1) % 16 != 0)
    return op->emitOpError("expected the columns of a tile to be a multiple of 16, got ")
           << tensor.getDimSize(1);
  return mlir::success();
}

LogicalResult verifyTiles(Operation *op) {
  for (Type type : op->getResultTypes())
    if (failed(verifyTile(op, type)))
      return failure();
  for (Value operand : op->getOperands())
    if (failed(verifyTile(op, operand.getType())))
      return failure();
  for (Region &region : op->getRegions())
    for (Block &block : region)
      for (Type type : block.getArgumentTypes())
        if (failed(verifyTile(op, type)))
          return failure();
  return mlir::success();
}

LogicalResult SmemTileOp::verify() {
  APInt offset;
  if (matchPattern(getOffset(), m_ConstantInt(&offset)) &&
      (offset.isNegative() || offset.getSExtValue() % 128))
    return emitOpError("expected an offset that is a multiple of 128, got ") << offset.getSExtValue();
  return verifyTiles(*this);
}
LogicalResult ReuseSmemOp::verify() { return verifyTiles(*this); }
LogicalResult WaitGroupOp::verify() {
  if (getPending() < 0 || getPending() > 1024)
    return emitOpError("expected 0 to 1024 pending groups, got ") << getPending();
  return mlir::success();
}

LogicalResult LoadOperandOp::verify() {
  RankedTensorType from = getTile().getType(), to = getResult().getType();
  if (from.getShape() != to.getShape() || from.getElementType() != to.getElementType())
    return emitOpError("expected a result of the tile's shape and type ")
           << shapeText(from.getShape()) << " x " << from.getElementType() << ", got "
           << shapeText(to.getShape()) << " x " << to.getElementType();
  return mlir::success();
}

LogicalResult RowCombineOp::verify() {
  if (!getResult().getType().getElementType().isF32())
    return emitOpError("expected rows of f32, got ") << getResult().getType().getElementType();
  return mlir::success();
}
LogicalResult RowIndexOp::verify() {
  if (!getResult().getType().getElementType().isInteger(32))
    return emitOpError("expected rows of i32, got ") << getResult().getType().getElementType();
  return mlir::success();
}
LogicalResult ColumnIndexOp::verify() {
  if (!getResult().getType().getElementType().isInteger(32))
    return emitOpError("expected a tile of i32, got ") << getResult().getType().getElementType();
  return mlir::success();
}
LogicalResult FirstColumnOp::verify() {
  if (!getResult().getType().getElementType().isInteger(32))
    return emitOpError("expected rows of i32, got ") << getResult().getType().getElementType();
  return mlir::success();
}
LogicalResult WarpAnyOp::verify() {
  if (!getCondition().getType().getElementType().isInteger(1))
    return emitOpError("expected rows of i1, got ") << getCondition().getType().getElementType();
  return mlir::success();
}
LogicalResult StoreRowsOp::verify() {
  ViewType view = getView().getType();
  if (view.getCols() != 1 || view.getElementType() != getValue().getType().getElementType() ||
      !view.getElementType().isF32())
    return emitOpError("expected rows of f32 and a view of one column of them, got ")
           << getValue().getType() << " and " << view;
  return mlir::success();
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
  return mlir::success();
}

LogicalResult StoreOp::verify() {
  RankedTensorType value = getValue().getType(), staging = getStaging().getType();
  if (value.getShape() != staging.getShape())
    return emitOpError("expected staging of the value's shape ")
           << shapeText(value.getShape()) << ", got " << shapeText(staging.getShape());
  if (getView().getType().getElementType() != staging.getElementType())
    return emitOpError("expected staging of the view's element type ")
           << getView().getType().getElementType() << ", got " << staging.getElementType();
  if (!value.getElementType().isF32())
    return emitOpError("expected values of f32, got ") << value.getElementType();
  if (getView().getType().getCols() % 8 != 0)
    return emitOpError("expected a view whose columns are a multiple of 8, got ")
           << getView().getType().getCols();
  if (getView().getType().getCols() > value.getDimSize(1))
    return emitOpError("expected at most ")
           << value.getDimSize(1) << " columns in the view, got " << getView().getType().getCols();
  return mlir::success();
}

LogicalResult verifyProduct(Operation *op, RankedTensorType a, RankedTensorType b, bool transposed,
                            RankedTensorType result) {
  if (a.getElementType() != b.getElementType())
    return op->emitOpError("expected a and b of one element type, got ")
           << a.getElementType() << " and " << b.getElementType();
  int64_t n = b.getDimSize(transposed ? 0 : 1), k = b.getDimSize(transposed ? 1 : 0);
  if (a.getDimSize(1) != k)
    return op->emitOpError("expected a and b to agree in k, got ") << a.getDimSize(1) << " and " << k;
  if (result.getDimSize(0) != a.getDimSize(0) || result.getDimSize(1) != n)
    return op->emitOpError("expected a result of shape ")
           << shapeText({a.getDimSize(0), n}) << ", got " << shapeText(result.getShape());
  if (!result.getElementType().isF32())
    return op->emitOpError("expected a result of f32, got ") << result.getElementType();
  return mlir::success();
}

LogicalResult DotOp::verify() {
  return verifyProduct(*this, cast<RankedTensorType>(getA().getType()), getB().getType(), getTransposed(),
                       getResult().getType());
}

LogicalResult TakeNonfiniteOp::verify() {
  RankedTensorType tile = getTile().getType(), scores = getScores().getType(), out = getOut().getType();
  if (scores.getDimSize(0) != out.getDimSize(0) || scores.getDimSize(1) != tile.getDimSize(0))
    return emitOpError("expected scores of shape ")
           << shapeText({out.getDimSize(0), tile.getDimSize(0)}) << ", got " << shapeText(scores.getShape());
  if (out.getDimSize(1) != tile.getDimSize(1))
    return emitOpError("expected out and tile of as many columns, got ")
           << out.getDimSize(1) << " and " << tile.getDimSize(1);
  return mlir::success();
}

static LogicalResult verifyRows(Operation *op, RankedTensorType matrix, RankedTensorType row) {
  if (matrix.getDimSize(0) != row.getDimSize(0))
    return op->emitOpError("expected one value for each of ")
           << matrix.getDimSize(0) << " rows, got " << row.getDimSize(0);
  if (matrix.getElementType() != row.getElementType())
    return op->emitOpError("expected rows of the matrix's element type ")
           << matrix.getElementType() << ", got " << row.getElementType();
  return mlir::success();
}

LogicalResult RowReduceOp::verify() {
  if (!getValue().getType().getElementType().isF32())
    return emitOpError("expected values of f32, got ") << getValue().getType().getElementType();
  return verifyRows(*this, getValue().getType(), getResult().getType());
}

LogicalResult RowBroadcastOp::verify() {
  return verifyRows(*this, getResult().getType(), getValue().getType());
}

LogicalResult RampOp::verify() {
  if (!getResult().getType().getElementType().isF32())
    return emitOpError("expected a tile of f32, got ") << getResult().getType().getElementType();
  return verifyRows(*this, getResult().getType(), getValue().getType());
}

LogicalResult KeepColumnsOp::verify() {
  if (!getValue().getType().getElementType().isF32())
    return emitOpError("expected values of f32, got ") << getValue().getType().getElementType();
  if (!getFirst() && !getLast() && !getFirstShift() && !getLastShift())
    return emitOpError("expected at least one of 'first', 'last', 'first_shift' and 'last_shift'");
  return mlir::success();
}

LogicalResult ToAOpOp::verify() {
  RankedTensorType from = getValue().getType(), to = getResult().getType();
  if (from.getShape() != to.getShape())
    return emitOpError("expected a result of the value's shape ")
           << shapeText(from.getShape()) << ", got " << shapeText(to.getShape());
  if (!infoOf(to.getElementType()).packFromF32 || !from.getElementType().isF32())
    return emitOpError("expected f32 rounded to 16 bits, got ")
           << from.getElementType() << " to " << to.getElementType();
  return mlir::success();
}

} // namespace attune::tile
