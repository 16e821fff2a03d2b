//===- Ast.h - a PTX file as the parser leaves it ----------------*- C++ -*-===//
//
// Registers, variables and labels are resolved to indices; instructions keep their opcode as text. String
// views point into the file's text, which the module keeps.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_SIMULATOR_AST_H
#define ATTUNE_SIMULATOR_AST_H

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace attune::sim {

enum class Type : uint8_t {
  None,
  Pred,
  B8,
  B16,
  B32,
  B64,
  B128,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  F16x2,
  BF16,
  BF16x2,
  TF32,
  F32,
  F64
};
/// The type that PTX calls `name` (without its dot); None if there is none.
Type parseType(std::string_view name);
std::string_view typeName(Type type);
unsigned typeBytes(Type type); ///< 0 for None; 1 for Pred

struct TextLoc {
  uint32_t line = 0, col = 0;
};

/// Cluster: shared memory of any block of the cluster (shared::cluster).
enum class Space : uint8_t { Generic, Global, Shared, Local, Const, Param, Cluster };

/// A variable of any space, or a parameter.
struct Variable {
  std::string name;
  Space space = Space::Global;
  Type type = Type::B8;
  uint64_t size = 0; ///< bytes; 0 for an array without a size
  uint32_t align = 1;
  bool isExtern = false;
  bool isModuleScope = false;
  bool isArgument = false; ///< .param of a call or a device function: local memory here
  std::vector<uint8_t> init;
  struct Reference { ///< an address stored by an initialiser
    uint64_t at;
    std::string symbol;
    int64_t offset;
  };
  std::vector<Reference> references;
  uint64_t offset = 0;      ///< in its space, set by the decoder
  uint64_t frameOffset = 0; ///< the same in the frame of a function that is called
  TextLoc loc;
};

enum class OperandKind : uint8_t {
  Register, ///< index
  Variable, ///< index into the module's variables, with value as byte offset
  Label,    ///< index = instruction
  Special,  ///< text: "%tid.x"
  Integer,  ///< value
  Float,    ///< value = bits of a double; `single` if it was written as 0f..., then value = bits of a float
  Vector,   ///< elements {a, b}
  Address,  ///< elements[0] is the base; value the offset; further elements what else stands in the brackets
  List,     ///< elements (a, b)
  Pair,     ///< elements[0] | elements[1]
  Part,     ///< elements[0].b1: value is 0 to 3 for bytes, 4 and 5 for halves
  Negative, ///< -elements[0]
  Sink,     ///< _
  Name,     ///< a name that stands for nothing known: text
};

struct Operand {
  OperandKind kind = OperandKind::Sink;
  bool negated = false; ///< !p
  bool single = false;
  uint32_t index = 0;
  int64_t value = 0;
  std::string_view text;
  std::vector<Operand> elements;
  TextLoc loc;
};

struct Statement {
  std::string_view opcode;            ///< "ld.global.v4.u32"
  std::vector<std::string_view> mods; ///< "global", "v4", "u32"
  std::string_view root;              ///< "ld"
  std::vector<Operand> operands;
  int32_t guard = -1; ///< register index
  bool guardNegated = false;
  uint32_t sourceFile = 0, sourceLine = 0; ///< from .loc; 0: none
  uint32_t frame = 0; ///< whose variables it names: 0: the kernel's; else 1 + its place in Function::called
  std::string_view text;
  TextLoc loc;
};

struct RegisterDecl {
  std::string name;
  Type type = Type::B32;
};

/// A parameter or result of a device function that is a register. Its value travels in a variable, as that of
/// any other; the function's body begins with the loads and ends with the stores.
struct RegisterFormal {
  uint32_t reg, variable;
  bool isResult;
};

struct Function {
  std::string name;
  TextLoc loc;
  bool isEntry = true, hasBody = false;
  std::vector<uint32_t> params, results; ///< variable indices
  std::vector<RegisterFormal> registerFormals;
  std::array<uint32_t, 3> maxntid{0, 0, 0}, reqntid{0, 0, 0}, reqcluster{0, 0, 0};
  uint32_t maxClusterRank = 0;
  bool explicitCluster = false, blocksAreClusters = false;
  uint32_t maxnreg = 0, minnctapersm = 0; ///< 0: not stated
  std::vector<RegisterDecl> registers;
  std::vector<Statement> body;
  /// Of a kernel, once its calls are resolved: a function whose body is in the kernel's own, for calls that
  /// cannot be inlined.
  struct Called {
    uint32_t function; ///< in Ast::functions
    uint32_t begin;    ///< first statement
  };
  std::vector<Called> called;
};

struct Ast {
  std::string text; ///< the file
  std::string fileName;
  std::string target;
  int version = 0; ///< 10 * major + minor
  int addressBits = 64;
  std::map<uint32_t, std::string> files; ///< of .file
  std::vector<Variable> variables;
  std::vector<Function> functions;
  std::unordered_map<std::string_view, uint32_t> bodies; ///< functions that can be called by name
  std::vector<uint32_t> addressed;                       ///< those of them whose address the file uses
};

/// Collects messages, at most some dozens of different ones. One that comes again at other places is one line
/// with its count and the places that follow the first.
class Diagnostics {
public:
  explicit Diagnostics(std::string fileName) : file(std::move(fileName)) {}
  void error(TextLoc loc, const std::string &message);
  bool empty() const { return count == 0; }
  bool full() const { return messages.size() >= 50 || count >= 100'000; }
  unsigned errors() const { return count; }
  /// `file:line:col: error: ...`, a line a message.
  std::string text() const;

private:
  struct Message {
    std::string text;
    TextLoc first;
    unsigned count = 0;
    std::vector<uint32_t> further; ///< the next lines, some of them
  };
  std::string file;
  std::vector<Message> messages;
  std::unordered_map<std::string, size_t> known; ///< by text
  unsigned count = 0;
};

/// Parses `ast.text`. Errors go to `diagnostics`; what could be parsed is in `ast`.
void parse(Ast &ast, Diagnostics &diagnostics);

/// Whether the system provides this function (vprintf, malloc, ...).
bool isSystemFunction(std::string_view name);

/// Replaces the calls of a kernel by the bodies of the functions. Functions that call themselves, and those
/// that may be called by their address, are put before the kernel's own statements, once each; calls of them
/// and of the system's functions stay. A call of what has no body is an error.
void inlineCalls(const Ast &ast, Function &kernel, Diagnostics &diagnostics);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_AST_H
