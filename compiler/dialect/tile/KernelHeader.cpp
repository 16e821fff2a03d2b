//===- KernelHeader.cpp - what kernels of every stage state ---------------===//
#include "compiler/dialect/tile/KernelHeader.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/Names.h"
#include "compiler/dialect/tile/Tile.h"
#include "compiler/ir/ScheduleAttr.h"
#include "compiler/support/Arch.h"
#include "compiler/transforms/FragmentMap.h"

#include <fmt/format.h>

using namespace mlir;

namespace attune::tile {

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

/// WORD(NUMBER); absent only where it may be.
static ParseResult parseNumber(OpAsmParser &parser, OperationState &result, StringRef word, bool optional) {
  if (optional ? failed(parser.parseOptionalKeyword(word)) : false)
    return mlir::success();
  int64_t number;
  if ((!optional && parser.parseKeyword(word)) || parser.parseLParen() || parser.parseInteger(number) ||
      parser.parseRParen())
    return failure();
  result.addAttribute(word, parser.getBuilder().getI64IntegerAttr(number));
  return mlir::success();
}

ParseResult parseKernel(OpAsmParser &parser, OperationState &result) {
  Builder &b = parser.getBuilder();
  StringAttr name;
  SmallVector<OpAsmParser::Argument> arguments;
  std::string arch;
  if (parser.parseSymbolName(name, SymbolTable::getSymbolAttrName(), result.attributes) ||
      parser.parseArgumentList(arguments, OpAsmParser::Delimiter::OptionalParen, /*allowType=*/true,
                               /*allowAttrs=*/true) ||
      parser.parseKeyword("arch") || parser.parseLParen() || parser.parseString(&arch) ||
      parser.parseRParen())
    return failure();
  SmallVector<Attribute> signature;
  for (const OpAsmParser::Argument &argument : arguments) {
    NamedAttrList attributes(argument.attrs);
    attributes.set("name", b.getStringAttr(argument.ssaName.name.drop_front()));
    signature.push_back(attributes.getDictionary(b.getContext()));
  }
  result.addAttribute("signature", b.getArrayAttr(signature));
  result.addAttribute("arch", b.getStringAttr(arch));
  if (parseNumber(parser, result, "warps", true) || parseNumber(parser, result, "min_blocks", false))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("grid"))) {
    SmallVector<Attribute> grid;
    auto dimension = [&]() -> ParseResult {
      std::string text;
      if (parser.parseString(&text))
        return failure();
      grid.push_back(b.getStringAttr(text));
      return mlir::success();
    };
    if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Paren, dimension))
      return failure();
    result.addAttribute("grid", b.getArrayAttr(grid));
  }
  if (parseNumber(parser, result, "smem", true))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("schedule"))) {
    DictionaryAttr schedule;
    if (parser.parseAttribute(schedule))
      return failure();
    result.addAttribute("schedule", schedule);
  }
  Region *body = result.addRegion();
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes) || parser.parseRegion(*body, arguments))
    return failure();
  if (body->empty()) {
    body->emplaceBlock();
    for (const OpAsmParser::Argument &argument : arguments)
      body->addArgument(argument.type, b.getUnknownLoc());
  }
  return mlir::success();
}

static StringRef nameIn(Attribute entry) {
  auto dictionary = dyn_cast<DictionaryAttr>(entry);
  auto name = dictionary ? dictionary.getAs<StringAttr>("name") : StringAttr();
  return name ? name.getValue() : StringRef();
}

void nameArguments(Region &body, OpAsmSetValueNameFn setName) {
  auto signature = body.getParentOp()->getAttrOfType<ArrayAttr>("signature");
  if (signature && !body.empty())
    for (auto [argument, entry] : llvm::zip(body.front().getArguments(), signature))
      setName(argument, nameIn(entry));
}

void printKernel(OpAsmPrinter &p, Operation *kernel) {
  auto number = [&](StringRef word) {
    if (auto value = kernel->getAttrOfType<IntegerAttr>(word))
      p << ' ' << word << '(' << value.getInt() << ')';
  };
  p << ' ';
  p.printSymbolName(SymbolTable::getSymbolName(kernel).getValue());
  Region &body = kernel->getRegion(0);
  if (body.getNumArguments()) {
    auto signature = kernel->getAttrOfType<ArrayAttr>("signature");
    p << '(';
    llvm::interleaveComma(llvm::zip(body.getArguments(), signature), p, [&](auto pair) {
      auto [argument, entry] = pair;
      p.printRegionArgument(
          argument, llvm::filter_to_vector(cast<DictionaryAttr>(entry),
                                           [](NamedAttribute part) { return part.getName() != "name"; }));
    });
    p << ')';
  }
  p << " arch(" << kernel->getAttr("arch") << ')';
  number("warps");
  number("min_blocks");
  if (auto grid = kernel->getAttrOfType<ArrayAttr>("grid")) {
    p << " grid(";
    llvm::interleaveComma(grid, p);
    p << ')';
  }
  number("smem");
  if (Attribute schedule = kernel->getAttr("schedule"))
    p << " schedule " << schedule;
  p.printOptionalAttrDictWithKeyword(kernel->getAttrs(), {"sym_name", "signature", "arch", "warps",
                                                          "min_blocks", "grid", "smem", "schedule"});
  p << ' ';
  p.printRegion(body, /*printEntryBlockArgs=*/false);
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

/// The argument of this type and these attributes.
static FailureOr<Argument> readArgument(Type type, DictionaryAttr attributes,
                                        llvm::function_ref<InFlightDiagnostic()> error) {
  Argument result;
  result.name = nameIn(attributes).str();
  auto text = [&](StringRef key) {
    auto value = attributes.getAs<StringAttr>(key);
    return value ? value.getValue() : StringRef();
  };
  auto refuse = [&](const Twine &what) -> FailureOr<Argument> {
    return error() << "argument '" << result.name << "': " << what, failure();
  };
  llvm::SmallDenseSet<StringRef> known = {"name"};
  auto expression = [&](StringRef key, SizeExpr &into) -> LogicalResult {
    known.insert(key);
    Result<SizeExpr> read = SizeExpr::parse(text(key));
    if (!read)
      return (void)refuse(key + ": " + read.error().message), failure();
    into = *read;
    return mlir::success();
  };
  if (auto array = dyn_cast<ArrayType>(type)) {
    known.insert_range(ArrayRef<StringRef>{"output", "optional", "align"});
    result.kind = Argument::Kind::Array;
    result.type = *elementOf(array.getElementType());
    for (StringAttr extent : array.getExtents())
      result.axes.push_back(*SizeExpr::parse(extent.getValue()));
    result.output = attributes.contains("output");
    result.optional = attributes.contains("optional");
    if (Attribute align = attributes.get("align")) {
      auto number = dyn_cast<IntegerAttr>(align);
      int64_t bytes = number && number.getType().isInteger(64) ? number.getInt() : 0;
      if (bytes < infoOf(result.type).bytes() || bytes > 256 || !llvm::isPowerOf2_64(uint64_t(bytes)))
        return refuse("expected align to be a power of two from an element's bytes to 256");
      result.alignment = int(bytes);
    }
  } else if (auto workspace = dyn_cast<WorkspaceType>(type)) {
    known.insert("zero");
    result.kind = Argument::Kind::Workspace;
    result.type = *elementOf(workspace.getElementType());
    result.zero = attributes.contains("zero");
    if (failed(expression("bytes", result.bytes)))
      return failure();
  } else if (auto map = dyn_cast<TensorMapType>(type)) {
    known.insert("array");
    result.kind = Argument::Kind::TensorMap; // its elements are the array's
    result.array = text("array").str();
    SwizzledTile tile{map.getRows(), map.getCols()};
    result.box = {int(tile.panelCols()), int(map.getRows())};
    result.swizzle = int(tile.pitch());
  } else if (type.isF32() || type.isInteger(32)) {
    result.kind = Argument::Kind::Scalar;
    result.type = *elementOf(type);
    if (attributes.contains("value")) {
      SizeExpr value;
      if (!type.isInteger(32))
        return refuse("expected only an i32 to follow from sizes");
      if (failed(expression("value", value)))
        return failure();
      result.value = value;
    } else if (Attribute range = attributes.get("range")) {
      known.insert("range");
      auto bounds = dyn_cast<DenseI32ArrayAttr>(range);
      if (!type.isInteger(32) || !bounds || bounds.size() != 2 || bounds[0] > bounds[1])
        return refuse("expected the range of an i32 to be array<i32: LEAST, MOST>");
      result.range = {bounds[0], bounds[1]};
    }
  } else {
    return error() << "expected arguments of type array, tensor_map, workspace, i32 or f32, got " << type,
           failure();
  }
  for (NamedAttribute attribute : attributes)
    if (!known.contains(attribute.getName()))
      return refuse("expected no attribute '" + attribute.getName().getValue() + "'");
  // One grammar for all texts says what a name is.
  if (Result<Argument> again = Argument::parse(result.text()); !again || !(*again == result))
    return refuse("expected a name that is a C identifier");
  return result;
}

std::vector<Argument> argumentsOf(Operation *kernel) {
  std::vector<Argument> arguments;
  for (auto [argument, entry] :
       llvm::zip(kernel->getRegion(0).getArguments(), kernel->getAttrOfType<ArrayAttr>("signature")))
    arguments.push_back(*readArgument(argument.getType(), cast<DictionaryAttr>(entry),
                                      [&] { return kernel->emitOpError(); }));
  return arguments;
}

Value addArgument(Block *body, SmallVectorImpl<Attribute> &attributes, const Argument &argument,
                  Location where, int64_t cols) {
  MLIRContext *context = where.getContext();
  Builder b(context);
  NamedAttrList entry;
  entry.set("name", b.getStringAttr(argument.name));
  Type type = typeOf(context, argument.type);
  switch (argument.kind) {
  case Argument::Kind::Array: {
    SmallVector<StringAttr> extents;
    for (const SizeExpr &axis : argument.axes)
      extents.push_back(b.getStringAttr(axis.text()));
    type = ArrayType::get(context, extents, type);
    if (argument.output)
      entry.set("output", b.getUnitAttr());
    if (argument.optional)
      entry.set("optional", b.getUnitAttr());
    if (argument.alignment)
      entry.set("align", b.getI64IntegerAttr(argument.alignment));
    break;
  }
  case Argument::Kind::TensorMap:
    type = TensorMapType::get(context, argument.box[1], cols, type);
    entry.set("array", b.getStringAttr(argument.array));
    break;
  case Argument::Kind::Workspace:
    type = WorkspaceType::get(context, type);
    entry.set("bytes", b.getStringAttr(argument.bytes.text()));
    if (argument.zero)
      entry.set("zero", b.getUnitAttr());
    break;
  default:
    if (argument.value)
      entry.set("value", b.getStringAttr(argument.value->text()));
    if (argument.range)
      entry.set("range", b.getDenseI32ArrayAttr(*argument.range));
  }
  attributes.push_back(entry.getDictionary(context));
  return body->addArgument(type, NameLoc::get(b.getStringAttr(argument.name), where));
}

//===----------------------------------------------------------------------===//
// Facts
//===----------------------------------------------------------------------===//

int64_t warpsAt(Operation *op) {
  for (; op; op = op->getParentOp())
    if (auto warps = op->getAttrOfType<IntegerAttr>("warps"))
      return warps.getInt();
  return 0;
}

/// Warps of a block: the kernel's, or those of its roles.
static int64_t blockWarps(Operation *kernel) {
  if (auto warps = kernel->getAttrOfType<IntegerAttr>("warps"))
    return warps.getInt();
  int64_t sum = 0;
  kernel->getRegion(0).walk([&](Operation *op) {
    auto warps = op->getAttrOfType<IntegerAttr>("warps");
    auto replicas = op->getAttrOfType<IntegerAttr>("replicas");
    if (warps)
      sum += warps.getInt() * (replicas ? replicas.getInt() : 1);
  });
  return sum;
}

DictionaryAttr kernelFacts(Operation *kernel) {
  Builder b(kernel->getContext());
  NamedAttrList facts;
  for (const char *name : {"arch", "grid", "min_blocks", "smem", "schedule"})
    if (Attribute value = kernel->getAttr(name))
      facts.set(name, value);
  facts.set("threads", b.getI64IntegerAttr(32 * blockWarps(kernel)));
  SmallVector<Attribute> arguments;
  for (const Argument &argument : argumentsOf(kernel))
    arguments.push_back(b.getStringAttr(argument.text()));
  facts.set("arguments", b.getArrayAttr(arguments));
  return facts.getDictionary(kernel->getContext());
}

FailureOr<std::pair<KernelInfo, Launch>> readKernelFacts(StringRef name, DictionaryAttr facts,
                                                         llvm::function_ref<InFlightDiagnostic()> error) {
  KernelInfo info;
  Launch launch;
  info.name = name.str();
  bool bad = false;
  auto refuse = [&](const Twine &what) {
    if (!bad)
      error() << what;
    bad = true;
  };
  auto number = [&](StringRef key, int64_t least, int64_t most, int64_t otherwise) -> int {
    Attribute attribute = facts.get(key);
    auto value = dyn_cast_or_null<IntegerAttr>(attribute);
    if (!attribute)
      return int(otherwise);
    if (!value || !value.getType().isInteger(64) || value.getInt() < least || value.getInt() > most)
      refuse("expected the kernel's " + key + " to be an i64 in " + Twine(least) + ".." + Twine(most));
    return bad ? 0 : int(value.getInt());
  };
  info.threads = number("threads", 32, 1024, 32);
  info.minBlocksPerSm = number("min_blocks", 1, 32, 1);
  info.sharedBytes = number("smem", 0, 1 << 20, 0);
  FailureOr<Schedule> schedule = scheduleFrom(facts.getAs<DictionaryAttr>("schedule"), error);
  if (failed(schedule))
    return failure();
  info.schedule = *schedule;
  auto strings = [&](StringRef key, auto each) {
    if (auto list = facts.getAs<ArrayAttr>(key))
      for (Attribute entry : list) {
        if (auto text = dyn_cast<StringAttr>(entry))
          each(text.getValue());
        else
          refuse("expected the kernel's " + key + " to be strings");
      }
  };
  strings("arguments", [&](StringRef text) {
    Result<Argument> argument = Argument::parse(text.str());
    if (!argument)
      return refuse(argument.error().message);
    if (info.find(argument->name))
      return refuse("expected each argument of the kernel once, got '" + Twine(argument->name) + "' again");
    info.arguments.push_back(*argument);
  });
  size_t axis = 0;
  strings("grid", [&](StringRef text) {
    Result<SizeExpr> extent = SizeExpr::parse(text.str());
    if (!extent)
      return refuse(extent.error().message);
    if (axis == 3)
      return refuse("expected a grid of at most three extents");
    launch.grid[axis++] = *extent;
  });
  for (; axis < 3; ++axis)
    launch.grid[axis] = 1;
  if (int bytes = ParameterBlock(info.arguments).bytes; bytes > maxParameterBytes)
    refuse("expected parameters of at most " + Twine(maxParameterBytes) + " bytes, got " + Twine(bytes));
  if (bad)
    return failure();
  launch.block = info.threads;
  launch.sharedBytes = info.sharedBytes;
  return std::pair(std::move(info), std::move(launch));
}

LogicalResult verifyKernel(Operation *kernel) {
  auto error = [&] { return kernel->emitOpError(); };
  Region &body = kernel->getRegion(0);
  StringRef name = SymbolTable::getSymbolName(kernel).getValue();
  if (!isKernelName(name))
    return error() << "expected a name that is a C identifier of at most 64 characters, got '" << name << "'";
  auto signature = kernel->getAttrOfType<ArrayAttr>("signature");
  if (signature.size() != body.getNumArguments())
    return error() << "expected a signature of " << body.getNumArguments() << " arguments, got "
                   << signature.size();
  for (auto [argument, entry] : llvm::zip(body.getArguments(), signature)) {
    auto dictionary = dyn_cast<DictionaryAttr>(entry);
    if (!dictionary)
      return error() << "expected a dictionary for each argument, got " << entry;
    if (failed(readArgument(argument.getType(), dictionary, error)))
      return failure();
  }
  if (Result<Arch> arch = findArch(kernel->getAttrOfType<StringAttr>("arch").str()); !arch)
    return error() << arch.error().message;
  auto roles =
      llvm::count_if(body.front(), [](Operation &op) { return op.getName().stripDialect() == "specialize"; });
  auto warps = kernel->getAttrOfType<IntegerAttr>("warps");
  if (warps ? roles != 0 : roles != 1)
    return error() << "expected 'warps', or one 'specialize' whose roles have warps";
  if (warps && !llvm::is_contained({1, 2, 4, 8, 16, 32}, warps.getInt()))
    return error() << "expected 1, 2, 4, 8, 16 or 32 warps, got " << warps.getInt();
  if (int64_t all = blockWarps(kernel); all < 1 || all > 32)
    return error() << "expected 1 to 32 warps of all roles, got " << all;
  if (auto grid = kernel->getAttrOfType<ArrayAttr>("grid"); grid && grid.size() != 3)
    return error() << "expected a grid of three extents, got " << grid.size();
  if (auto blocks = kernel->getAttrOfType<IntegerAttr>("min_blocks"); blocks.getInt() < 1)
    return error() << "expected min_blocks to be at least 1, got " << blocks.getInt();
  return LogicalResult(readKernelFacts(name, kernelFacts(kernel), error));
}

} // namespace attune::tile
