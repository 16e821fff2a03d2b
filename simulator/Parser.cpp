//===- Parser.cpp - modules, functions and blocks -------------------------===//
#include "simulator/Parser.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::sim {

constexpr size_t kFurther = 3; ///< places that are named besides the first

void Diagnostics::error(TextLoc loc, const std::string &message) {
  ++count;
  auto [it, fresh] = known.try_emplace(message, messages.size());
  if (fresh)
    messages.push_back({message, loc, 0, {}});
  Message &m = messages[it->second];
  if (++m.count > 1 && m.further.size() < kFurther && loc.line != m.first.line &&
      (m.further.empty() || m.further.back() != loc.line))
    m.further.push_back(loc.line);
}

std::string Diagnostics::text() const {
  std::string all;
  for (const Message &m : messages) {
    all += fmt::format("{}{}:{}:{}: error: {}", all.empty() ? "" : "\n", file, m.first.line, m.first.col,
                       m.text);
    if (m.count > 1)
      all += fmt::format(" ({} times{}{}{})", m.count, m.further.empty() ? "" : ", the next at line ",
                         fmt::join(m.further, ", "), m.further.size() < kFurther ? "" : " ...");
  }
  return all;
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
  for (uint32_t f = 0; f < ast.functions.size(); ++f)
    if (!ast.functions[f].isEntry && ast.functions[f].hasBody)
      ast.bodies[ast.functions[f].name] = f;
  findAddressed();
}

/// Which functions may be called by their address: those that an initialiser or a mov names.
void Parser::findAddressed() {
  auto name = [&](std::string_view text) {
    auto it = ast.bodies.find(text);
    if (it != ast.bodies.end() &&
        std::find(ast.addressed.begin(), ast.addressed.end(), it->second) == ast.addressed.end())
      ast.addressed.push_back(it->second);
  };
  if (ast.bodies.empty())
    return;
  for (const Variable &v : ast.variables)
    for (const Variable::Reference &r : v.references)
      name(r.symbol);
  for (const Function &f : ast.functions)
    for (const Statement &s : f.body)
      if (s.root == "mov" && s.operands.size() == 2 && s.operands[1].kind == OperandKind::Name)
        name(s.operands[1].text);
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

/// Devices of compute capability 7.0 and later.
static bool isSimulated(std::string_view target) {
  static constexpr std::string_view known[] = {"sm_70",  "sm_72",  "sm_75",  "sm_80",  "sm_86",
                                               "sm_87",  "sm_88",  "sm_89",  "sm_90",  "sm_100",
                                               "sm_101", "sm_103", "sm_110", "sm_120", "sm_121"};
  bool suffixed = target.back() == 'a' || target.back() == 'f';
  if (suffixed)
    target.remove_suffix(1);
  auto it = std::find(std::begin(known), std::end(known), target);
  return it != std::end(known) && (!suffixed || it - std::begin(known) >= 8);
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
    if (!isSimulated(ast.target))
      diagnostics.error(token.loc, fmt::format("unsupported target '{}': sm_70 to sm_121 are simulated, "
                                               "without the instructions that only sm_100a and later have",
                                               ast.target));
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

bool Parser::function(bool entry, bool external) {
  ast.functions.emplace_back();
  Function &f = ast.functions.back();
  f.isEntry = entry;
  current = &f;
  scopes.resize(1);
  scopes.push_back({0, {}, {}, {}, {}, {}});
  scope = 1;
  statementScope.clear();
  locFile = locLine = 0;
  auto finish = [&](bool ok) {
    scope = 0;
    current = nullptr;
    if (external)
      ast.functions.pop_back();
    return ok;
  };
  if (!entry && token.is('(') && !parameters(f.results))
    return finish(false);
  if (token.kind != TokenKind::Word) {
    fail("a function name");
    return finish(false);
  }
  f.name = std::string(token.text);
  f.loc = token.loc;
  take();
  if (!parameters(f.params))
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
    else if (d == ".reqnctapercluster")
      f.reqcluster = numbers;
    else if (d == ".maxclusterrank")
      f.maxClusterRank = numbers[0];
    else if (d == ".explicitcluster")
      f.explicitCluster = true;
    else if (d == ".blocksareclusters")
      f.blocksAreClusters = true;
    else if (d == ".maxnreg")
      f.maxnreg = numbers[0];
    else if (d == ".minnctapersm")
      f.minnctapersm = numbers[0];
    else if (d == ".pragma") {
      while (!token.is(';') && token.kind != TokenKind::End)
        take();
      accept(';');
    } else if (d != ".maxnctapersm" && d != ".noreturn" && d != ".abi_preserve" &&
               d != ".abi_preserve_control") {
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
  f.hasBody = true;
  moveFormals(false);
  bool ok = block(0);
  if (ok) {
    moveFormals(true);
    resolveLabels();
  }
  return finish(ok);
}

bool Parser::block(unsigned depth) {
  if (!expect('{', "to open a block"))
    return false;
  if (depth > 200)
    return fail("at most 200 nested blocks");
  int outer = scope;
  if (depth) {
    scopes.push_back({outer, {}, {}, {}, {}, {}});
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
  if (d == ".branchtargets") {
    take();
    return branchTargets();
  }
  if (d == ".pragma" || d == ".calltargets" || d == ".callprototype") {
    while (!token.is(';') && !token.is('}') && token.kind != TokenKind::End)
      take();
    return expect(';', "after the directive");
  }
  return fail("a directive of a function body or an instruction");
}

void parse(Ast &ast, Diagnostics &diagnostics) { Parser(ast, diagnostics).run(); }

} // namespace attune::sim
