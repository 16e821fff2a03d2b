//===- Decode.h - Ast to Program ---------------------------------*- C++ -*-===//
//
// The decoder turns each statement into instructions whose operands are virtual registers, constants or
// special registers (recorded as fixups); allocate() then gives registers their slots and patches the fields.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_DECODE_H
#define ATTUNE_SIMULATOR_DECODE_H

#include "simulator/Exec.h"

#include <map>
#include <optional>
#include <set>
#include <unordered_map>

namespace attune::sim {

/// What a letter of HandlerInfo::signature asks for, in messages.
const char *widthText(char width);

/// A field of an instruction that waits for an offset.
struct Fixup {
  enum Kind : uint8_t { Register, Constant, Special } kind;
  Field field;
  bool def;
  uint32_t inst;
  uint32_t index;    ///< register, constant or special
  uint32_t list = 0; ///< position in Program::lists
};

class Decoder {
public:
  Decoder(Ast &ast, const Function &function, Program &program, Diagnostics &diagnostics);
  /// False when something was reported.
  bool run();

private:
  // Building blocks.
  void error(const Operand &o, const std::string &message) { diagnostics.error(o.loc, message); }
  void error(const std::string &message) { diagnostics.error(current->loc, message); }
  void unsupported();
  bool operandCount(size_t least, size_t most);
  bool operandCount(size_t n) { return operandCount(n, n); }
  Inst &emit(Handler fn, Class cls);
  Inst &emitNamed(std::string_view handler);
  uint32_t last() const { return uint32_t(program.code.size() - 1); }
  void fix(Fixup::Kind kind, Field field, bool def, uint32_t index, uint32_t list = 0);
  uint32_t temporary(Type type);
  uint32_t constant(uint64_t bits, bool wide, int32_t variable = -1);
  Type registerType(uint32_t reg) const;
  /// What the operand is worth as bits of this width, if it is a literal. 'w', 'h', 'q'; `isFloat` for f32,
  /// f64.
  bool literal(const Operand &o, char width, bool isFloat, uint64_t &bits);
  /// Uses an operand as source or destination of a field. `width` as in HandlerInfo::signature.
  bool source(const Operand &o, Field field, char width, bool isFloat = false, uint32_t list = 0);
  bool destination(const Operand &o, Field field, char width, uint32_t list = 0);
  bool predicateSource(const Operand &o, Field field);
  uint32_t reserveList(size_t n);
  struct Address {
    bool wide = true;
  };
  /// An address operand into Field::A, imm and addr64.
  bool address(const Operand &o, Space space);
  bool take(std::vector<std::string_view> &mods, std::string_view name);
  Space takeSpace(std::vector<std::string_view> &mods, bool &ok);
  uint8_t takeOrder(std::vector<std::string_view> &mods, bool atomic);
  uint64_t variableAddress(const Variable &v, int32_t &moduleVariable, uint32_t index) const;

  // Statements by kind.
  void statement();
  void generic();
  void genericOperands(const HandlerInfo &info, bool isFloat, uint16_t aux = 0);
  /// Instructions of FloatOther.cpp and IntegerOther.cpp; false: none of them.
  bool floatOther();
  bool integerOther();
  bool lop3WithPredicate();
  bool fmaInBounds();
  /// The comparison of packed halves that `mods` (without booleans and result type) name, or null.
  const HandlerInfo *packedComparison(std::vector<std::string_view> mods, uint8_t &width, int64_t &imm);
  void setp(bool set);
  void carry(std::string_view operation, bool reads);
  void cvt();
  /// A conversion that has no handler of its own: what ConvertOther.cpp does for it, if it is one of PTX.
  struct AnyConversion {
    Handler fn;
    uint32_t encoded; ///< Inst::imm
    uint8_t count;    ///< Inst::count
    char destination, source;
  };
  std::optional<AnyConversion> anyConversion();
  void mov();
  void moveVector(const Operand &dst, const Operand &src);
  void vectorMove(const Operand &dst, const Operand &src, unsigned bytes);
  void cvta();
  void loadStore(bool store);
  void branch();
  void indexedBranch();
  void barrier();
  void shuffle();
  void vote();
  void collective();
  const HandlerInfo *collectiveHandler();
  void mma();
  // MatrixAny.cpp
  bool otherMma();
  void wmma();
  // WgmmaDecode.cpp
  void wgmma();
  bool wgmmaTypes(const std::vector<std::string_view> &mods, Wgmma &what, std::string &handler);
  void setMaxRegisters();
  bool fragment(const Operand &o, unsigned registers, char width, bool written, uint32_t &list);
  void emitProduct(int64_t product, uint8_t fraction);
  void emitAccess(bool store, std::string_view spaceName, unsigned bytes, Space space, uint32_t address,
                  uint32_t data);
  void matrixMove(bool store);
  void cpAsync();
  void atomic(bool reduction);
  void mbarrierStatement();
  // Requirements.cpp
  bool lackedByTarget();
  /// min and max of three f32, which targets from sm_100 on have: the handler's name ends in ".3".
  bool isExtremeOfThree() const;
  // DecodeCluster.cpp
  void clusterBarrier();
  void clusterAddressOf();
  void movPredicate();
  // AsyncStore.cpp
  void asyncStore();
  void isSpace();
  void createPolicy();
  void nothing();
  void fence();
  // DecodeBulk.cpp
  bool bulk();
  bool bulkValue(const Operand &o, char width, BulkValue &value);
  bool bulkAddress(const Operand &o, Space space, BulkValue &value);
  bool tensorOperand(const Operand &o, Bulk &bulk);
  void tensorMapStatement();

  // Calls.cpp
  FramePlace framePlace(uint32_t variable, bool inFunction) const;
  void beginCalls();
  void call();
  void returnFromCall();
  void frameAddress(const Operand &dst, const Operand &src, char width);
  /// Whether it is a variable in the frame of a function that is called.
  bool inFrame(const Operand &o) const {
    return current->frame && o.kind == OperandKind::Variable && ast.variables[o.index].space == Space::Local;
  }
  // Video.cpp
  bool scalarVideo();

  void layout();
  bool resolveBranches();

  Ast &ast;
  const Function &function;
  Program &program;
  Diagnostics &diagnostics;
  const HandlerTable &table;
  const Statement *current = nullptr;
  std::vector<uint32_t> codeOf; ///< first instruction of a statement
  std::vector<Type> temporaries;
  std::vector<Fixup> fixups;
  std::vector<std::string> specials;
  std::vector<Program::Constant> constants;
  std::unordered_map<uint64_t, uint32_t> constantIndex[2];
  std::vector<std::pair<uint32_t, uint32_t>> branches; ///< instruction, statement
  int32_t carryFlag = -1;                              ///< the predicate that stands for the condition code
  int32_t guard = -1;
  bool guardNegated = false;
  int32_t frameRegister = -1; ///< where the lanes' frames lie, if functions are called
  uint32_t kernelFrameBytes = 0;

  friend class Allocator;
};

/// Gives registers their slots, patches all fields, and finds what may be read before it is written.
class Allocator {
public:
  explicit Allocator(Decoder &decoder) : d(decoder), p(decoder.program) {}
  void run();

private:
  void blocks();
  void order(); ///< BlockOrder.cpp
  void liveness();
  void communication();
  void endless();
  void names();
  void slots();
  void patch();
  void flow();
  void index(); ///< sorts the fixups by instruction
  bool isMove(uint32_t i) const;
  void keepInFlight();
  void watch();
  // Calls.cpp
  void saveAtCalls();
  std::vector<uint32_t> callSuccessors(uint32_t i) const;
  bool isPredicate(uint32_t reg) const { return d.registerType(reg) == Type::Pred; }

  struct Block {
    uint32_t begin, end;
    std::vector<uint32_t> successors;
    std::vector<uint64_t> use, def, in, out;
  };
  Decoder &d;
  Program &p;
  uint32_t registers = 0;
  std::vector<Block> graph;
  std::vector<uint32_t> blockOf;
  std::vector<uint32_t> firstFixup; ///< of each instruction, plus the end
  std::vector<bool> undefined;      ///< may be read before they are written
  std::vector<uint32_t> offset;
  /// Instructions that may touch these registers of products in flight, or need a fence behind them.
  std::map<uint32_t, std::set<uint32_t>> watchedRegisters;
};

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_DECODE_H
