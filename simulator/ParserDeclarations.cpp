//===- ParserDeclarations.cpp - variables, parameters, registers ----------===//
#include "simulator/Parser.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

/// A variable or parameter behind its space: `.align 8 .b8 p[176]`, with initialisers and further names.
bool Parser::variable(Space space, bool external, std::vector<uint32_t> *params) {
  Variable v;
  v.space = space;
  v.isExtern = external;
  v.isModuleScope = !current;
  if (space == Space::Param && current && !(params && current->isEntry)) {
    v.space = Space::Local;
    v.isArgument = true;
  }
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
    } else if (d == ".texref" || d == ".samplerref" || d == ".surfref") { // which instructions refuse
      v.type = Type::B64;
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
      if (token.value > (1ull << 30) || v.size * token.value > (1ull << 30))
        return fail("an array of at most 1 GB");
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

bool Parser::parameters(std::vector<uint32_t> &indices) {
  if (!accept('('))
    return true;
  while (!token.is(')')) {
    if (token.is(TokenKind::Directive, ".param")) {
      take();
      if (!variable(Space::Param, false, &indices))
        return false;
    } else if (token.is(TokenKind::Directive, ".reg") && !current->isEntry) {
      take();
      if (!registerParameter(indices))
        return false;
    } else {
      return fail(current->isEntry ? "'.param'" : "'.param' or '.reg'");
    }
    if (!accept(','))
      break;
  }
  return expect(')', "after the parameters");
}

/// A parameter or result of a device function behind `.reg`: `.u32 %r`.
bool Parser::registerParameter(std::vector<uint32_t> &indices) {
  Type type = token.kind == TokenKind::Directive ? parseType(token.text.substr(1)) : Type::None;
  if (type == Type::None || type == Type::Pred || type == Type::B128)
    return fail("a register type such as .b32");
  take();
  if (token.kind != TokenKind::Word)
    return fail("a register name");
  uint32_t reg = uint32_t(current->registers.size()), index = uint32_t(ast.variables.size());
  current->registers.push_back({std::string(token.text), type});
  if (!scopes[scope].registers.emplace(token.text, reg).second)
    diagnostics.error(token.loc,
                      fmt::format("expected a new register, got '{}' which is declared already", token.text));
  Variable v;
  v.name = std::string(token.text);
  v.loc = token.loc;
  v.space = Space::Local;
  v.type = type;
  v.size = v.align = typeBytes(type);
  v.isArgument = true;
  ast.variables.push_back(std::move(v));
  indices.push_back(index);
  current->registerFormals.push_back({reg, index, &indices == &current->results});
  take();
  return true;
}

/// Loads the parameters that are registers, or stores the results.
void Parser::moveFormals(bool results, int32_t guard, bool guardNegated) {
  for (const RegisterFormal &formal : current->registerFormals) {
    if (formal.isResult != results)
      continue;
    Statement s;
    s.opcode = s.root = results ? "st" : "ld";
    s.mods = {"param", typeName(current->registers[formal.reg].type)};
    s.guard = guard;
    s.guardNegated = guardNegated;
    s.loc = current->loc;
    s.text = results ? "a result" : "an argument";
    Operand reg, variable, address;
    reg.kind = OperandKind::Register;
    reg.index = formal.reg;
    variable.kind = OperandKind::Variable;
    variable.index = formal.variable;
    address.kind = OperandKind::Address;
    address.elements = {variable};
    s.operands = results ? std::vector{address, reg} : std::vector{reg, address};
    current->body.push_back(std::move(s));
    statementScope.push_back(scope);
  }
}

bool Parser::registers() {
  uint32_t width = 1;
  if (token.is(TokenKind::Directive, ".v2") || token.is(TokenKind::Directive, ".v4")) {
    width = token.text == ".v2" ? 2 : 4;
    take();
  }
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
    if (width > 1) {
      uint32_t count = 0;
      if (accept('<')) {
        if (token.kind != TokenKind::Integer || !token.value || token.value > 50000 ||
            first + width * token.value > 1000000)
          return fail("a register count from 1 to 50000");
        count = uint32_t(token.value);
        take();
        if (!expect('>', "after the register count"))
          return false;
      }
      for (uint32_t i = 0; i < std::max(count, 1u); ++i)
        for (uint32_t k = 0; k < width; ++k)
          current->registers.push_back(
              {fmt::format("{}{}.{}", name, count ? std::to_string(i) : "", "xyzw"[k]), type});
      if (!scopes[scope].vectors.emplace(name, Scope::Vector{first, width, count}).second)
        diagnostics.error(loc,
                          fmt::format("expected a new register, got '{}' which is declared already", name));
    } else if (accept('<')) {
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

} // namespace attune::sim
