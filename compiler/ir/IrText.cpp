//===- IrText.cpp - IR to text and back -----------------------------------===//
#include "compiler/ir/IrText.h"

#include "compiler/support/Isolated.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/AsmParser/AsmParserState.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Transforms/LocationSnapshot.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace attune {

OpPrintingFlags irFlags() { return OpPrintingFlags().printNameLocAsPrefix(); }

StringRef nameOf(Location location) {
  auto named = dyn_cast<NameLoc>(location);
  return named ? named.getName().getValue() : StringRef();
}

std::string printIr(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os, irFlags());
  os << '\n';
  return text;
}

std::string snapshotIr(ModuleOp module, StringRef file) {
  SmallVector<std::pair<Operation *, StringAttr>> names;
  module.walk([&](Operation *op) {
    if (auto named = dyn_cast<NameLoc>(op->getLoc()))
      names.emplace_back(op, named.getName());
  });
  std::string text;
  llvm::raw_string_ostream os(text);
  generateLocationsFromIR(os, file, module, irFlags());
  for (auto &[op, name] : names)
    op->setLoc(NameLoc::get(name, op->getLoc()));
  return text;
}

/// Wraps `location` in the name that stands at `where`, without its %; numbers are no names.
static Location withName(Location location, SMRange where) {
  StringRef text(where.Start.getPointer(), size_t(where.End.getPointer() - where.Start.getPointer()));
  text.consume_front("%");
  text = text.take_while([](char c) { return llvm::isAlnum(c) || c == '_'; });
  if (text.empty() || llvm::isDigit(text.front()))
    return location;
  // The printer makes names unique with a number behind an underscore.
  StringRef stem = text.rtrim("0123456789");
  if (stem.size() < text.size() && stem.size() > 1 && stem.back() == '_')
    text = stem.drop_back();
  return NameLoc::get(StringAttr::get(location.getContext(), text), location);
}

static void takeNames(const AsmParserState &state) {
  for (const AsmParserState::OperationDefinition &op : state.getOpDefs())
    if (!op.resultGroups.empty() && op.op)
      op.op->setLoc(withName(op.op->getLoc(), op.resultGroups.front().definition.loc));
  for (const AsmParserState::BlockDefinition &block : state.getBlockDefs())
    for (auto [argument, definition] : llvm::zip(block.block->getArguments(), block.arguments))
      argument.setLoc(withName(argument.getLoc(), definition.loc));
}

static Result<OwningOpRef<ModuleOp>> parseHere(MLIRContext *context, const std::string &text,
                                               const std::string &file) {
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(text, file), SMLoc());
  std::string messages;
  llvm::raw_string_ostream os(messages);
  SourceMgrDiagnosticHandler handler(sources, context, os);
  AsmParserState state;
  ParserConfig config(context, /*verifyAfterParse=*/false);
  OwningOpRef<ModuleOp> module = ModuleOp::create(FileLineColLoc::get(context, file, 1, 1));
  if (failed(parseAsmSourceFile(sources, module->getBody(), config, &state)))
    return badInput(StringRef(messages).rtrim().str());
  takeNames(state);
  // A file that holds a module, as every printed stage does, is that module.
  if (auto inner =
          dyn_cast_or_null<ModuleOp>(module->getBody()->empty() ? nullptr : &module->getBody()->front());
      inner && llvm::hasSingleElement(*module->getBody())) {
    inner->remove();
    module = inner;
  }
  if (failed(verify(*module)))
    return badInput(StringRef(messages).rtrim().str());
  return module;
}

Result<OwningOpRef<ModuleOp>> parseIr(MLIRContext *context, const std::string &text,
                                      const std::string &file) {
  // MLIR's parsers of some operations (llvm.extractvalue of no aggregate) crash on what no printer writes.
  Result<std::string> trial = runIsolated(file, [&]() -> Result<std::string> {
    Result<OwningOpRef<ModuleOp>> module = parseHere(context, text, file);
    if (!module)
      return module.error();
    return std::string();
  });
  if (!trial)
    return trial.error();
  return parseHere(context, text, file);
}

} // namespace attune
