//===- ParserStatements.cpp - instructions, operands, labels --------------===//
#include "simulator/Parser.h"

#include <fmt/format.h>

namespace attune::sim {

/// A vector register by its name, one of a range of them, or a component (%q.x, also .r .g .b .a).
bool Parser::resolveVector(Operand &o, const Scope &in) const {
  if (in.vectors.empty())
    return false;
  std::string_view name = o.text;
  size_t component = std::string_view::npos;
  if (name.size() > 2 && name[name.size() - 2] == '.') {
    component = std::string_view("xyzwrgba").find(name.back());
    if (component == std::string_view::npos)
      return false;
    component %= 4;
    name.remove_suffix(2);
  }
  uint32_t number = 0;
  auto it = in.vectors.find(name);
  if (it == in.vectors.end() || it->second.count) {
    size_t digits = name.size();
    while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9')
      --digits;
    if (digits == name.size() || name.size() - digits > 6)
      return false;
    for (size_t i = digits; i < name.size(); ++i)
      number = number * 10 + uint32_t(name[i] - '0');
    it = in.vectors.find(name.substr(0, digits));
    if (it == in.vectors.end() || number >= it->second.count)
      return false;
  }
  const Scope::Vector &v = it->second;
  uint32_t first = v.first + number * v.width;
  if (component != std::string_view::npos) {
    if (component >= v.width)
      return false;
    o.kind = OperandKind::Register;
    o.index = first + uint32_t(component);
    return true;
  }
  o.kind = OperandKind::Vector;
  for (uint32_t k = 0; k < v.width; ++k) {
    Operand element;
    element.kind = OperandKind::Register;
    element.text = o.text;
    element.loc = o.loc;
    element.index = first + k;
    o.elements.push_back(std::move(element));
  }
  return true;
}

void Parser::resolveName(Operand &o) {
  std::string_view name = o.text;
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9')
    --digits;
  // A register of a range is its prefix and a number without leading zeros.
  bool numbered =
      digits < name.size() && name.size() - digits <= 6 && (name[digits] != '0' || digits + 1 == name.size());
  uint32_t number = 0;
  if (numbered)
    for (size_t i = digits; i < name.size(); ++i)
      number = number * 10 + uint32_t(name[i] - '0');
  for (int s = scope; s >= 0; s = scopes[s].parent) {
    const Scope &in = scopes[s];
    if (auto it = in.registers.find(name); it != in.registers.end()) {
      o.kind = OperandKind::Register;
      o.index = it->second;
      return;
    }
    if (numbered) {
      auto it = in.ranges.find(name.substr(0, digits));
      if (it != in.ranges.end() && number < it->second.count) {
        o.kind = OperandKind::Register;
        o.index = it->second.first + number;
        return;
      }
    }
    if (auto it = in.variables.find(name); it != in.variables.end()) {
      o.kind = OperandKind::Variable;
      o.index = it->second;
      return;
    }
    if (resolveVector(o, in))
      return;
  }
  // A byte or half of a register, as the video instructions take them.
  static constexpr std::string_view parts[] = {".b0", ".b1", ".b2", ".b3", ".h0", ".h1"};
  for (size_t n = 0; n < std::size(parts) && name.size() > 3; ++n) {
    if (!name.ends_with(parts[n]))
      continue;
    Operand whole;
    whole.text = name.substr(0, name.size() - 3);
    whole.loc = o.loc;
    resolveName(whole);
    if (whole.kind != OperandKind::Register)
      break;
    o.kind = OperandKind::Part;
    o.value = int64_t(n);
    o.elements.push_back(std::move(whole));
    return;
  }
  if (name == "_") {
    o.kind = OperandKind::Sink;
  } else if (name == "WARP_SZ") {
    o.kind = OperandKind::Integer;
    o.value = 32;
  } else if (name[0] == '%') {
    o.kind = OperandKind::Special;
  } else {
    o.kind = OperandKind::Name; // a label, perhaps of later in the function
  }
}

std::optional<Operand> Parser::operandList(char close, OperandKind kind, std::string_view where) {
  Operand list;
  list.kind = kind;
  list.loc = token.loc;
  take();
  while (!token.is(close)) {
    std::optional<Operand> o = operand();
    if (!o)
      return std::nullopt;
    list.elements.push_back(std::move(*o));
    if (!accept(','))
      break;
  }
  if (!expect(close, where))
    return std::nullopt;
  return list;
}

bool Parser::constant(int64_t &value) {
  bool negative = false;
  while (token.is('-') || token.is('+')) {
    negative ^= token.is('-');
    take();
  }
  if (token.kind != TokenKind::Integer)
    return fail("a number");
  value = negative ? int64_t(0 - token.value) : int64_t(token.value);
  take();
  return true;
}

std::optional<Operand> Parser::operand() {
  if (operandDepth > 16) {
    fail("at most 16 nested operands");
    return std::nullopt;
  }
  ++operandDepth;
  struct Leave {
    unsigned &depth;
    ~Leave() { --depth; }
  } leave{operandDepth};
  Operand o;
  o.loc = token.loc;
  if (token.is('{'))
    return operandList('}', OperandKind::Vector, "after the vector");
  if (token.is('('))
    return operandList(')', OperandKind::List, "after the list");
  if (token.is('[')) {
    take();
    o.kind = OperandKind::Address;
    std::optional<Operand> base = operand();
    if (!base)
      return std::nullopt;
    if (base->kind == OperandKind::Integer) {
      o.value = base->value;
    } else if (base->kind == OperandKind::Variable) {
      o.value = base->value;
      base->value = 0;
    }
    o.elements.push_back(std::move(*base));
    while (token.is('+') || token.is('-')) {
      bool minus = token.is('-');
      take();
      int64_t offset;
      if (!constant(offset))
        return std::nullopt;
      o.value = int64_t(uint64_t(o.value) + (minus ? 0 - uint64_t(offset) : uint64_t(offset)));
    }
    while (accept(',')) {
      std::optional<Operand> more = operand();
      if (!more)
        return std::nullopt;
      o.elements.push_back(std::move(*more));
    }
    if (!expect(']', "after the address"))
      return std::nullopt;
    return o;
  }
  if (token.is('-') || token.is('+')) {
    bool negative = token.is('-');
    take();
    if (token.kind == TokenKind::Float) {
      o.kind = OperandKind::Float;
      o.single = token.single;
      o.value = int64_t(negative ? token.value ^ (token.single ? 1ull << 31 : 1ull << 63) : token.value);
      take();
      return o;
    }
    if (token.kind == TokenKind::Word && negative) { // vmad's
      std::optional<Operand> positive = operand();
      if (!positive)
        return std::nullopt;
      o.kind = OperandKind::Negative;
      o.text = positive->text;
      o.elements.push_back(std::move(*positive));
      return o;
    }
    if (token.kind != TokenKind::Integer) {
      fail("a number");
      return std::nullopt;
    }
    o.kind = OperandKind::Integer;
    o.value = int64_t(negative ? 0 - token.value : token.value);
    take();
    return o;
  }
  if (token.is('~')) {
    take();
    if (token.kind != TokenKind::Integer) {
      fail("a number");
      return std::nullopt;
    }
    o.kind = OperandKind::Integer;
    o.value = int64_t(~token.value);
    take();
    return o;
  }
  if (token.is('!')) {
    o.negated = true;
    take();
  }
  if (token.kind == TokenKind::Integer || token.kind == TokenKind::Float) {
    o.kind = token.kind == TokenKind::Integer ? OperandKind::Integer : OperandKind::Float;
    o.single = token.single;
    o.value = int64_t(token.value);
    take();
    return o;
  }
  if (token.kind != TokenKind::Word) {
    fail("an operand");
    return std::nullopt;
  }
  o.text = token.text;
  take();
  resolveName(o);
  // A variable plus a constant: `smem+16`.
  while (o.kind == OperandKind::Variable && (token.is('+') || token.is('-'))) {
    bool minus = token.is('-');
    take();
    int64_t offset;
    if (!constant(offset))
      return std::nullopt;
    o.value = int64_t(uint64_t(o.value) + (minus ? 0 - uint64_t(offset) : uint64_t(offset)));
  }
  if (token.is('|')) {
    take();
    std::optional<Operand> second = operand();
    if (!second)
      return std::nullopt;
    Operand pair;
    pair.kind = OperandKind::Pair;
    pair.loc = o.loc;
    pair.elements.push_back(std::move(o));
    pair.elements.push_back(std::move(*second));
    return pair;
  }
  return o;
}

bool Parser::statement() {
  if (accept(';'))
    return true;
  Statement s;
  s.loc = token.loc;
  size_t begin = size_t(token.text.data() - ast.text.data());
  if (token.is('@')) {
    take();
    s.guardNegated = accept('!');
    if (token.kind != TokenKind::Word)
      return fail("a predicate register");
    Operand guard;
    guard.text = token.text;
    guard.loc = token.loc;
    resolveName(guard);
    if (guard.kind != OperandKind::Register || current->registers[guard.index].type != Type::Pred)
      return fail("a predicate register");
    s.guard = int32_t(guard.index);
    take();
  }
  if (token.kind != TokenKind::Word)
    return fail("an instruction, a label or a directive");
  s.opcode = token.text;
  take();
  if (s.guard < 0 && token.is(':')) {
    take();
    uint32_t at = uint32_t(current->body.size());
    lastLabel = s.opcode;
    if (!scopes[scope].labels.emplace(s.opcode, at).second)
      diagnostics.error(s.loc,
                        fmt::format("expected a new label, got '{}' which is defined already", s.opcode));
    return true;
  }
  for (size_t start = 0; start <= s.opcode.size();) {
    size_t dot = s.opcode.find('.', start);
    std::string_view part = s.opcode.substr(start, dot == std::string_view::npos ? dot : dot - start);
    if (start == 0)
      s.root = part;
    else
      s.mods.push_back(part);
    if (dot == std::string_view::npos)
      break;
    start = dot + 1;
  }
  while (!token.is(';')) {
    std::optional<Operand> o = operand();
    if (!o)
      return false;
    s.operands.push_back(std::move(*o));
    if (!accept(','))
      break;
  }
  if (!token.is(';'))
    return fail("';' after the instruction");
  size_t end = size_t(token.text.data() - ast.text.data());
  take();
  s.text = std::string_view(ast.text).substr(begin, end - begin);
  s.sourceFile = locFile;
  s.sourceLine = locLine;
  if (s.root == "ret" && !current->isEntry)
    moveFormals(true, s.guard, s.guardNegated);
  current->body.push_back(std::move(s));
  statementScope.push_back(scope);
  return true;
}

/// `.branchtargets L1, L2, ...;` behind the label that brx.idx names.
bool Parser::branchTargets() {
  std::vector<Operand> &list = targetLists[lastLabel];
  list.clear();
  while (!token.is(';')) {
    std::optional<Operand> o = operand();
    if (!o)
      return false;
    list.push_back(std::move(*o));
    if (!accept(','))
      break;
  }
  return expect(';', "after the branch targets");
}

void Parser::resolveLabels() {
  auto resolve = [&](auto &self, Operand &o, int from) -> void {
    for (Operand &e : o.elements)
      self(self, e, from);
    if (o.kind != OperandKind::Name)
      return;
    for (int s = from; s >= 0; s = scopes[s].parent) {
      auto it = scopes[s].labels.find(o.text);
      if (it == scopes[s].labels.end())
        continue;
      o.kind = OperandKind::Label;
      o.index = it->second;
      return;
    }
  };
  for (size_t i = 0; i < current->body.size(); ++i) {
    Statement &s = current->body[i];
    if (s.root == "brx" && s.operands.size() == 2)
      if (auto it = targetLists.find(s.operands[1].text); it != targetLists.end()) {
        s.operands[1].kind = OperandKind::List;
        s.operands[1].elements = it->second;
      }
    if (s.root != "call") // a function may have a label's name
      for (Operand &o : s.operands)
        resolve(resolve, o, statementScope[i]);
  }
  targetLists.clear();
}

} // namespace attune::sim
