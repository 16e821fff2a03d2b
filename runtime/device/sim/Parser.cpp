//===- Parser.cpp - PTX text to Ast ---------------------------------------===//
//
// One pass. Registers and variables are resolved where they are used (PTX declares before use); labels when
// their function ends. After an error the parser goes on behind the next ';' or '}'.
//
//===----------------------------------------------------------------------===//
#include "runtime/device/sim/Lexer.h"

#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <unordered_map>

namespace attune::sim {

void Diagnostics::error(TextLoc loc, const std::string &message) {
  if (count++ >= 50)
    return;
  if (!messages.empty())
    messages += '\n';
  messages += fmt::format("{}:{}:{}: error: {}", file, loc.line, loc.col, message);
}

static const std::pair<std::string_view, Type> typeNames[] = {
    {"pred", Type::Pred}, {"b8", Type::B8},         {"b16", Type::B16},   {"b32", Type::B32},
    {"b64", Type::B64},   {"b128", Type::B128},     {"u8", Type::U8},     {"u16", Type::U16},
    {"u32", Type::U32},   {"u64", Type::U64},       {"s8", Type::S8},     {"s16", Type::S16},
    {"s32", Type::S32},   {"s64", Type::S64},       {"f16", Type::F16},   {"f16x2", Type::F16x2},
    {"bf16", Type::BF16}, {"bf16x2", Type::BF16x2}, {"tf32", Type::TF32}, {"f32", Type::F32},
    {"f64", Type::F64}};

Type parseType(std::string_view name) {
  for (auto &[text, type] : typeNames)
    if (text == name)
      return type;
  return Type::None;
}

std::string_view typeName(Type type) {
  for (auto &[text, t] : typeNames)
    if (t == type)
      return text;
  return "none";
}

unsigned typeBytes(Type type) {
  switch (type) {
  case Type::None:
    return 0;
  case Type::Pred:
  case Type::B8:
  case Type::U8:
  case Type::S8:
    return 1;
  case Type::B16:
  case Type::U16:
  case Type::S16:
  case Type::F16:
  case Type::BF16:
    return 2;
  case Type::B64:
  case Type::U64:
  case Type::S64:
  case Type::F64:
    return 8;
  case Type::B128:
    return 16;
  default:
    return 4;
  }
}

namespace {

struct Scope {
  int parent;
  std::unordered_map<std::string_view, uint32_t> registers, variables, labels;
  struct Range {
    uint32_t first, count;
  };
  std::unordered_map<std::string_view, Range> ranges;
};

class Parser {
public:
  Parser(Ast &ast, Diagnostics &diagnostics)
      : ast(ast), diagnostics(diagnostics), lexer(ast.text, diagnostics) {
    scopes.push_back({-1, {}, {}, {}, {}});
    take();
  }
  void run();

private:
  // Tokens.
  void take() {
    previousEnd = lexer.position();
    token = lexer.next();
  }
  bool accept(char c) {
    if (!token.is(c))
      return false;
    take();
    return true;
  }
  bool fail(const std::string &expected) {
    diagnostics.error(token.loc, fmt::format("expected {}, got '{}'", expected, token.text.substr(0, 60)));
    return false;
  }
  bool expect(char c, std::string_view where) { return accept(c) || fail(fmt::format("'{}' {}", c, where)); }
  void recover();
  bool skipBraces();

  // Module level.
  bool moduleDirective();
  bool fileDirective();
  bool locDirective();
  bool function(bool entry, bool external);
  bool parameters(Function &f);
  bool variable(Space space, bool external, std::vector<uint32_t> *params);
  bool initialiser(Variable &v);

  // Bodies.
  bool block(unsigned depth);
  bool bodyDirective();
  bool registers();
  bool statement();
  std::optional<Operand> operand();
  std::optional<Operand> operandList(char close, OperandKind kind, std::string_view where);
  void resolveName(Operand &o);
  void resolveLabels();
  bool constant(int64_t &value);

  Ast &ast;
  Diagnostics &diagnostics;
  Lexer lexer;
  Token token;
  size_t previousEnd = 0;
  std::vector<Scope> scopes;
  int scope = 0;
  Function *current = nullptr;
  uint32_t locFile = 0, locLine = 0;
  unsigned operandDepth = 0;
  std::vector<int> statementScope;
};

void Parser::recover() {
  while (token.kind != TokenKind::End && !token.is(';') && !token.is('{') && !token.is('}'))
    take();
  accept(';');
}

bool Parser::skipBraces() {
  if (!expect('{', "to open the block"))
    return false;
  for (unsigned depth = 1; depth;) {
    if (token.kind == TokenKind::End)
      return fail("'}'");
    depth += token.is('{') ? 1 : token.is('}') ? -1 : 0;
    take();
  }
  return true;
}

void Parser::run() {
  while (token.kind != TokenKind::End && !diagnostics.full()) {
    if (!moduleDirective()) {
      recover();
      if (token.is('{'))
        skipBraces();
      else
        accept('}');
    }
  }
  if (ast.target.empty() && diagnostics.empty())
    diagnostics.error({1, 1}, "expected a '.target' directive, got none in the file");
}

bool Parser::fileDirective() {
  take();
  if (token.kind != TokenKind::Integer)
    return fail("a file number");
  uint32_t number = uint32_t(token.value);
  take();
  if (token.kind != TokenKind::String)
    return fail("a file name in quotes");
  ast.files[number] = std::string(token.text);
  take();
  while (accept(',')) {
    if (token.kind != TokenKind::Integer)
      return fail("a number");
    take();
  }
  return true;
}

bool Parser::locDirective() {
  take();
  uint64_t numbers[3];
  auto triple = [&] {
    for (uint64_t &n : numbers) {
      if (token.kind != TokenKind::Integer)
        return fail("a number in .loc");
      n = token.value;
      take();
    }
    return true;
  };
  if (!triple())
    return false;
  locFile = uint32_t(numbers[0]);
  locLine = uint32_t(numbers[1]);
  while (accept(',')) {
    if (token.is(TokenKind::Word, "function_name")) {
      take();
      if (token.kind != TokenKind::Word)
        return fail("a label after function_name");
      take();
      if (accept('+')) {
        if (token.kind != TokenKind::Integer)
          return fail("a number");
        take();
      }
    } else if (token.is(TokenKind::Word, "inlined_at")) {
      take();
      if (!triple())
        return false;
    } else {
      return fail("'function_name' or 'inlined_at'");
    }
  }
  return true;
}

bool Parser::moduleDirective() {
  if (token.kind != TokenKind::Directive) {
    if (accept(';'))
      return true;
    return fail("a directive such as .version, .target, .entry or .global");
  }
  std::string_view d = token.text;
  if (d == ".version") {
    take();
    if (token.kind != TokenKind::Float && token.kind != TokenKind::Integer)
      return fail("a version such as 9.0");
    for (char c : token.text)
      if (c >= '0' && c <= '9' && ast.version < 10000)
        ast.version = ast.version * 10 + (c - '0');
    take();
    return true;
  }
  if (d == ".target") {
    take();
    if (token.kind != TokenKind::Word)
      return fail("a target such as sm_80");
    if (token.text.substr(0, 3) != "sm_")
      return fail("a target such as sm_80");
    ast.target = std::string(token.text);
    take();
    while (accept(',')) {
      if (token.kind != TokenKind::Word)
        return fail("a target option");
      take();
    }
    return true;
  }
  if (d == ".address_size") {
    take();
    if (token.kind != TokenKind::Integer || token.value != 64)
      return fail("an address size of 64");
    take();
    return true;
  }
  if (d == ".file")
    return fileDirective();
  if (d == ".loc")
    return locDirective();
  if (d == ".section") {
    take();
    if (token.kind != TokenKind::Directive && token.kind != TokenKind::Word)
      return fail("a section name");
    take();
    return skipBraces();
  }
  if (d == ".pragma") {
    take();
    while (!token.is(';') && token.kind != TokenKind::End)
      take();
    return expect(';', "after .pragma");
  }
  bool external = false;
  while (token.kind == TokenKind::Directive) {
    d = token.text;
    if (d == ".visible" || d == ".weak" || d == ".common") {
      take();
    } else if (d == ".extern") {
      external = true;
      take();
    } else if (d == ".entry" || d == ".func") {
      take();
      return function(d == ".entry", external);
    } else if (d == ".global" || d == ".const" || d == ".shared") {
      take();
      return variable(d == ".global"  ? Space::Global
                      : d == ".const" ? Space::Const
                                      : Space::Shared,
                      external, nullptr);
    } else if (d == ".alias") {
      recover();
      return true;
    } else {
      break;
    }
  }
  return fail("a directive such as .version, .target, .entry or .global");
}

/// A variable or parameter behind its space: `.align 8 .b8 p[176]`, with initialisers and further names.
bool Parser::variable(Space space, bool external, std::vector<uint32_t> *params) {
  Variable v;
  v.space = space;
  v.isExtern = external;
  v.isModuleScope = !current;
  uint32_t align = 0;
  unsigned vector = 1;
  while (token.kind == TokenKind::Directive) {
    std::string_view d = token.text;
    if (d == ".align") {
      take();
      if (token.kind != TokenKind::Integer || !token.value || token.value > 4096 ||
          (token.value & (token.value - 1)))
        return fail("an alignment that is a power of two up to 4096");
      // On a parameter, `.ptr .align n` states the alignment of what it points to.
      if (space != Space::Param || v.type == Type::B8 || v.type == Type::None)
        align = uint32_t(token.value);
      take();
    } else if (d == ".v2" || d == ".v4") {
      vector = d == ".v2" ? 2 : 4;
      take();
    } else if (d == ".attribute") {
      take();
      if (!expect('(', "after .attribute"))
        return false;
      while (!token.is(')') && !token.is(';') && token.kind != TokenKind::End)
        take();
      if (!expect(')', "to close .attribute"))
        return false;
    } else if (d == ".ptr") {
      take();
      v.type = v.type == Type::None ? Type::U64 : v.type;
      while (token.is(TokenKind::Directive, ".global") || token.is(TokenKind::Directive, ".shared") ||
             token.is(TokenKind::Directive, ".const") || token.is(TokenKind::Directive, ".local") ||
             token.is(TokenKind::Directive, ".generic"))
        take();
      if (token.is(TokenKind::Directive, ".align")) {
        take();
        if (token.kind != TokenKind::Integer)
          return fail("an alignment");
        take();
      }
    } else if (Type t = parseType(d.substr(1)); t != Type::None && t != Type::Pred) {
      v.type = t;
      take();
      if (space == Space::Param && token.is(TokenKind::Directive, ".ptr"))
        continue;
      break;
    } else {
      return fail("a type such as .b8 or .f32");
    }
  }
  while (token.is(TokenKind::Directive, ".ptr")) { // .param .u64 .ptr .global .align 16 name
    take();
    while (token.kind == TokenKind::Directive && token.text != ".align")
      take();
    if (token.is(TokenKind::Directive, ".align")) {
      take();
      if (token.kind != TokenKind::Integer)
        return fail("an alignment");
      take();
    }
  }
  for (;;) {
    if (token.kind != TokenKind::Word)
      return fail("a name");
    v.name = std::string(token.text);
    v.loc = token.loc;
    std::string_view key = token.text;
    take();
    v.size = uint64_t(typeBytes(v.type)) * vector;
    v.align = align ? align : uint32_t(v.size);
    v.init.clear();
    v.references.clear();
    bool open = false;
    while (accept('[')) {
      if (accept(']')) {
        open = true;
        v.size = 0;
        continue;
      }
      if (token.kind != TokenKind::Integer)
        return fail("an array size");
      if (token.value > (1ull << 40) || v.size * token.value > (1ull << 40))
        return fail("an array of at most 1 TB");
      v.size *= token.value;
      take();
      if (!expect(']', "after the array size"))
        return false;
    }
    if (accept('=')) {
      if (!initialiser(v))
        return false;
      if (open)
        v.size = v.init.size();
      if (v.init.size() > v.size) {
        diagnostics.error(
            v.loc, fmt::format("expected at most {} initialiser bytes, got {}", v.size, v.init.size()));
        return true;
      }
      v.init.resize(v.size);
    }
    uint32_t index = uint32_t(ast.variables.size());
    if (!scopes[scope].variables.emplace(key, index).second)
      diagnostics.error(v.loc,
                        fmt::format("expected a new name, got '{}' which is declared already", v.name));
    ast.variables.push_back(v);
    if (params) {
      params->push_back(index);
      return true;
    }
    if (!accept(','))
      break;
  }
  return expect(';', "after the declaration");
}

bool Parser::initialiser(Variable &v) {
  unsigned bytes = typeBytes(v.type);
  auto put = [&](uint64_t bits) {
    for (unsigned i = 0; i < bytes; ++i)
      v.init.push_back(i < 8 ? uint8_t(bits >> (8 * i)) : 0);
  };
  if (token.is('{')) {
    take();
    if (++operandDepth > 8)
      return fail("at most 8 nested braces");
    while (!token.is('}')) {
      if (!initialiser(v)) {
        --operandDepth;
        return false;
      }
      if (!accept(','))
        break;
    }
    --operandDepth;
    return expect('}', "after the initialiser");
  }
  if (v.init.size() > (64u << 20))
    return fail("at most 64 MB of initialisers");
  bool negative = accept('-');
  if (token.kind == TokenKind::Integer) {
    put(negative ? 0 - token.value : token.value);
    take();
    return true;
  }
  if (token.kind == TokenKind::Float) {
    uint64_t bits = token.value;
    if (token.single != (bytes == 4)) {
      if (token.single) {
        float f;
        uint32_t b = uint32_t(bits);
        std::memcpy(&f, &b, 4);
        double d = f;
        std::memcpy(&bits, &d, 8);
      } else {
        double d;
        std::memcpy(&d, &bits, 8);
        float f = float(d);
        uint32_t b;
        std::memcpy(&b, &f, 4);
        bits = b;
      }
    }
    put(negative ? bits ^ (1ull << (8 * bytes - 1)) : bits);
    take();
    return true;
  }
  if (token.kind == TokenKind::Word) {
    bool generic = token.text == "generic";
    std::string symbol(token.text);
    take();
    if (generic) {
      if (!expect('(', "after generic"))
        return false;
      if (token.kind != TokenKind::Word)
        return fail("a variable");
      symbol = std::string(token.text);
      take();
      if (!expect(')', "after the variable"))
        return false;
    }
    int64_t offset = 0;
    if (accept('+')) {
      if (token.kind != TokenKind::Integer)
        return fail("an offset");
      offset = int64_t(token.value);
      take();
    }
    if (bytes != 8)
      return fail("a 64-bit type for an address");
    v.references.push_back({v.init.size(), symbol, offset});
    put(0);
    return true;
  }
  return fail("a number, an address or '{'");
}

bool Parser::parameters(Function &f) {
  if (!accept('('))
    return true;
  while (!token.is(')')) {
    if (token.is(TokenKind::Directive, ".param")) {
      take();
      if (!variable(Space::Param, false, &f.params))
        return false;
    } else if (token.is(TokenKind::Directive, ".reg")) { // device functions; they are refused where called
      take();
      while (!token.is(',') && !token.is(')') && token.kind != TokenKind::End)
        take();
    } else {
      return fail("'.param'");
    }
    if (!accept(','))
      break;
  }
  return expect(')', "after the parameters");
}

bool Parser::function(bool entry, bool external) {
  ast.functions.emplace_back();
  Function &f = ast.functions.back();
  f.isEntry = entry;
  current = &f;
  scopes.resize(1);
  scopes.push_back({0, {}, {}, {}, {}});
  scope = 1;
  statementScope.clear();
  locFile = locLine = 0;
  auto finish = [&](bool ok) {
    scope = 0;
    current = nullptr;
    if (external || !entry)
      ast.functions.pop_back();
    return ok;
  };
  if (!entry && token.is('(') && !parameters(f)) // return values
    return finish(false);
  if (token.kind != TokenKind::Word) {
    fail("a function name");
    return finish(false);
  }
  f.name = std::string(token.text);
  f.loc = token.loc;
  take();
  f.params.clear();
  if (!parameters(f))
    return finish(false);
  while (token.kind == TokenKind::Directive) {
    std::string_view d = token.text;
    take();
    std::array<uint32_t, 3> numbers{1, 1, 1};
    unsigned n = 0;
    while (token.kind == TokenKind::Integer) {
      if (n < 3)
        numbers[n++] = uint32_t(token.value);
      take();
      if (!accept(','))
        break;
    }
    if (d == ".maxntid")
      f.maxntid = numbers;
    else if (d == ".reqntid")
      f.reqntid = numbers;
    else if (d == ".pragma") {
      while (!token.is(';') && token.kind != TokenKind::End)
        take();
      accept(';');
    } else if (d != ".minnctapersm" && d != ".maxnctapersm" && d != ".maxnreg" && d != ".noreturn" &&
               d != ".maxclusterrank" && d != ".explicitcluster" && d != ".reqnctapercluster" &&
               d != ".blocksareclusters" && d != ".abi_preserve" && d != ".abi_preserve_control") {
      diagnostics.error(f.loc, fmt::format("expected a performance directive of '{}', got '{}'", f.name, d));
      return finish(false);
    }
  }
  if (accept(';')) {
    external = true;
    return finish(true);
  }
  if (!token.is('{')) {
    fail("'{' or a performance directive");
    return finish(false);
  }
  bool ok = block(0);
  if (ok)
    resolveLabels();
  return finish(ok);
}

bool Parser::block(unsigned depth) {
  if (!expect('{', "to open a block"))
    return false;
  if (depth > 200)
    return fail("at most 200 nested blocks");
  int outer = scope;
  if (depth) {
    scopes.push_back({outer, {}, {}, {}, {}});
    scope = int(scopes.size()) - 1;
  }
  while (!token.is('}')) {
    if (token.kind == TokenKind::End) {
      fail("'}'");
      scope = outer;
      return false;
    }
    if (diagnostics.full())
      return false;
    bool ok = token.is('{')                        ? block(depth + 1)
              : token.kind == TokenKind::Directive ? bodyDirective()
                                                   : statement();
    if (!ok) {
      if (token.kind == TokenKind::End)
        return false;
      recover();
    }
  }
  take();
  scope = outer;
  return true;
}

bool Parser::bodyDirective() {
  std::string_view d = token.text;
  if (d == ".loc")
    return locDirective();
  if (d == ".reg") {
    take();
    return registers();
  }
  if (d == ".local" || d == ".shared" || d == ".param" || d == ".global" || d == ".const") {
    take();
    return variable(d == ".local"    ? Space::Local
                    : d == ".shared" ? Space::Shared
                    : d == ".param"  ? Space::Param
                    : d == ".const"  ? Space::Const
                                     : Space::Global,
                    false, nullptr);
  }
  if (d == ".extern") {
    take();
    if (!token.is(TokenKind::Directive, ".shared"))
      return fail("'.shared'");
    take();
    return variable(Space::Shared, true, nullptr);
  }
  if (d == ".pragma" || d == ".branchtargets" || d == ".calltargets" || d == ".callprototype") {
    while (!token.is(';') && !token.is('}') && token.kind != TokenKind::End)
      take();
    return expect(';', "after the directive");
  }
  return fail("a directive of a function body or an instruction");
}

bool Parser::registers() {
  if (token.kind != TokenKind::Directive)
    return fail("a register type such as .b32");
  Type type = parseType(token.text.substr(1));
  if (type == Type::None || type == Type::B128)
    return fail("a register type such as .b32");
  take();
  for (;;) {
    if (token.kind != TokenKind::Word)
      return fail("a register name");
    std::string_view name = token.text;
    TextLoc loc = token.loc;
    take();
    uint32_t first = uint32_t(current->registers.size());
    if (accept('<')) {
      if (token.kind != TokenKind::Integer || token.value > 200000 || first + token.value > 1000000)
        return fail("a register count of at most 200000");
      for (uint64_t i = 0; i < token.value; ++i)
        current->registers.push_back({fmt::format("{}{}", name, i), type});
      scopes[scope].ranges[name] = {first, uint32_t(token.value)};
      take();
      if (!expect('>', "after the register count"))
        return false;
    } else {
      current->registers.push_back({std::string(name), type});
      if (!scopes[scope].registers.emplace(name, first).second)
        diagnostics.error(loc,
                          fmt::format("expected a new register, got '{}' which is declared already", name));
    }
    if (!accept(','))
      break;
  }
  return expect(';', "after the register declaration");
}

} // namespace

#include "runtime/device/sim/ParserStatements.inc"

void parse(Ast &ast, Diagnostics &diagnostics) { Parser(ast, diagnostics).run(); }

} // namespace attune::sim
