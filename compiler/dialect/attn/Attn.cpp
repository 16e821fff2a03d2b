//===- Attn.cpp - verifiers and syntax of the attn dialect ----------------===//
#include "compiler/dialect/attn/Attn.h"
#include "compiler/dialect/Elements.h"

#include "compiler/dialect/Names.h"
#include "compiler/dialect/ScalarOps.h"
#include "compiler/program/SizeExpr.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"

#include "compiler/dialect/attn/AttnDialect.cpp.inc"
#include "compiler/dialect/attn/AttnEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/dialect/attn/AttnAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/attn/Attn.cpp.inc"

using namespace mlir;

namespace attune::attn {

void AttnDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/dialect/attn/AttnAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/dialect/attn/Attn.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// attn.forward
//===----------------------------------------------------------------------===//

static ParseResult parseRegion(OpAsmParser &parser, StringRef keyword, Region &region) {
  SmallVector<OpAsmParser::Argument> arguments;
  return failure(parser.parseKeyword(keyword) ||
                 parser.parseArgumentList(arguments, OpAsmParser::Delimiter::Paren, /*allowType=*/true) ||
                 parser.parseRegion(region, arguments));
}

ParseResult ForwardOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &b = parser.getBuilder();
  StringAttr name;
  Type dtype;
  int64_t qk, v;
  double scale;
  if (parser.parseSymbolName(name, SymbolTable::getSymbolAttrName(), result.attributes) ||
      parser.parseColon() || parser.parseType(dtype) || parser.parseComma() || parser.parseKeyword("qk") ||
      parser.parseEqual() || parser.parseInteger(qk) || parser.parseComma() || parser.parseKeyword("v") ||
      parser.parseEqual() || parser.parseInteger(v) || parser.parseComma() || parser.parseKeyword("scale") ||
      parser.parseEqual() || parser.parseFloat(scale))
    return failure();
  result.addAttribute(getDtypeAttrName(result.name), TypeAttr::get(dtype));
  result.addAttribute(getHeadDimQkAttrName(result.name), b.getI64IntegerAttr(qk));
  result.addAttribute(getHeadDimVAttrName(result.name), b.getI64IntegerAttr(v));
  result.addAttribute(getScaleAttrName(result.name), b.getF64FloatAttr(scale));
  while (succeeded(parser.parseOptionalComma())) {
    StringAttr flag;
    for (StringAttr name : {getSinkAttrName(result.name), getLengthsQAttrName(result.name),
                            getLengthsKvAttrName(result.name), getLseAttrName(result.name)})
      if (succeeded(parser.parseOptionalKeyword(name)))
        flag = name;
    if (flag) {
      result.addAttribute(flag, b.getUnitAttr());
      continue;
    }
    DictionaryAttr schedule;
    if (parser.parseKeyword("schedule",
                            ": expected 'sink', 'lengths_q', 'lengths_kv', 'lse' or 'schedule'") ||
        parser.parseAttribute(schedule))
      return failure();
    result.addAttribute(getScheduleAttrName(result.name), schedule);
  }
  if (parseRegion(parser, "score", *result.addRegion()) || parseRegion(parser, "mask", *result.addRegion()))
    return failure();
  return parser.parseOptionalAttrDictWithKeyword(result.attributes);
}

void ForwardOp::print(OpAsmPrinter &p) {
  p << ' ';
  p.printSymbolName(getSymName());
  p << " : " << getDtype() << ", qk = " << getHeadDimQk() << ", v = " << getHeadDimV() << ", scale = ";
  p.printFloat(getScale());
  if (getSink())
    p << ", sink";
  if (getLengthsQ())
    p << ", lengths_q";
  if (getLengthsKv())
    p << ", lengths_kv";
  if (getLse())
    p << ", lse";
  if (auto schedule = getScheduleAttr())
    p << ", schedule " << schedule;
  auto printRegion = [&](StringRef keyword, Region &region) {
    p.printNewline();
    p << "  " << keyword << " (";
    llvm::interleaveComma(region.getArguments(), p, [&](BlockArgument arg) { p.printRegionArgument(arg); });
    p << ") ";
    p.printRegion(region, /*printEntryBlockArgs=*/false);
  };
  printRegion("score", getScore());
  printRegion("mask", getMask());
  p.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                     {getSymNameAttrName(), getDtypeAttrName(), getHeadDimQkAttrName(),
                                      getHeadDimVAttrName(), getScaleAttrName(), getSinkAttrName(),
                                      getLengthsQAttrName(), getLengthsKvAttrName(), getLseAttrName(),
                                      getScheduleAttrName()});
}

LogicalResult attn::ScalarOp::verify() {
  if (!isKernelName(getName()))
    return emitOpError("expected a name that is a C identifier of at most 64 characters, got '")
           << getName() << "'";
  std::optional<ArrayRef<int32_t>> range = getRange();
  if (range && (!getType().isIndex() || range->size() != 2 || (*range)[0] > (*range)[1]))
    return emitOpError("expected the range of an index, [least, most]");
  return mlir::success();
}

LogicalResult ElementOp::verify() {
  if (!isKernelName(getName()))
    return emitOpError("expected a name that is a C identifier of at most 64 characters, got '")
           << getName() << "'";
  if (getIndices().empty() || getIndices().size() != getExtents().size())
    return emitOpError("expected an index for each of ")
           << getExtents().size() << " axes, of which there is at least one, got " << getIndices().size();
  if (getExtents().size() > 8)
    return emitOpError("expected at most 8 axes, got ") << getExtents().size();
  for (Attribute extent : getExtents()) {
    Result<SizeExpr> read = SizeExpr::parse(cast<StringAttr>(extent).str());
    if (!read)
      return emitOpError("expected extents over the sizes of a problem: ") << read.error().message;
    if (std::optional<int64_t> number = read->constant(); number && (*number < 1 || *number > 1 << 30))
      return emitOpError("expected extents from 1 to 2^30, got ") << *number;
  }
  Type element = getElement();
  std::optional<DType> known = elementOf(element);
  if (!known || infoOf(*known).value == DType::I64)
    return emitOpError("expected elements of i32, f32, f16, bf16 or ui8, got ") << element;
  if (getType() != typeOf(getContext(), infoOf(*known).value))
    return emitOpError("expected a result of ")
           << infoOf(infoOf(*known).value).irName << ", got " << getType();
  return mlir::success();
}

LogicalResult ForwardOp::verify() {
  if (!isKernelName(getSymName()))
    return emitOpError("expected a name that is a C identifier of at most 64 characters, got '")
           << getSymName() << "'";
  if (!getDtype().isF16() && !getDtype().isBF16())
    return emitOpError("expected dtype f16 or bf16, got ") << getDtype();
  for (auto [what, dim] : {std::pair("qk", getHeadDimQk()), std::pair("v", getHeadDimV())})
    if (dim < 8 || dim > 256 || dim % 8 != 0)
      return emitOpError("expected head dim ") << what << " to be a multiple of 8 in 8..256, got " << dim;
  if (!getScale().isFinite())
    return emitOpError("expected a finite scale, got ") << getScale().convertToDouble();

  MLIRContext *context = getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context), i1 = IntegerType::get(context, 1);
  llvm::StringMap<attn::ScalarOp> scalars;
  for (Region *region : {&getScore(), &getMask()})
    for (auto scalar : region->getOps<attn::ScalarOp>()) {
      attn::ScalarOp known = scalars.try_emplace(scalar.getName(), scalar).first->second;
      if (known.getType() != scalar.getType() || known.getRangeAttr() != scalar.getRangeAttr())
        return scalar.emitOpError("expected one type and range of scalar '") << scalar.getName() << "'";
    }
  auto checkRegion = [&](StringRef name, Region &region, ArrayRef<Type> arguments,
                         Type result) -> LogicalResult {
    if (!llvm::equal(region.getArgumentTypes(), arguments))
      return emitOpError("expected the ")
             << name << " region to take (" << arguments << "), got (" << region.getArgumentTypes() << ")";
    auto yield = dyn_cast<YieldOp>(region.front().getTerminator());
    if (!yield || yield.getValue().getType() != result)
      return region.front().getTerminator()->emitOpError("expected the ")
             << name << " region to yield " << result << ", got "
             << (yield ? yield.getValue().getType() : Type(NoneType::get(context)));
    for (Operation &op : region.front().without_terminator()) {
      if (!isa<LengthOp, attn::ScalarOp, KvHeadOp, ElementOp>(op) &&
          failed(verifyScalarOp(&op, ("in the " + name + " region").str(), true)))
        return failure();
    }
    return mlir::success();
  };
  // One name is one array, which every read of it describes alike.
  llvm::StringMap<ElementOp> arrays;
  for (Region *region : {&getScore(), &getMask()})
    for (auto element : region->getOps<ElementOp>()) {
      ElementOp &first = arrays[element.getName()];
      if (!first)
        first = element;
      else if (first.getExtents() != element.getExtents() || first.getElement() != element.getElement())
        return element.emitOpError("expected array '") << element.getName() << "' as it was before, of "
                                                       << first.getExtents() << " x " << first.getElement();
    }
  if (failed(checkRegion("score", getScore(), {f32, index, index, index, index}, f32)))
    return failure();
  return checkRegion("mask", getMask(), {index, index, index, index}, i1);
}

} // namespace attune::attn
