//===- DecodeMemory.cpp - loads and stores, copies, atomics ---------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

void execCpAsync(Warp &w, const Inst &i);
void execCommit(Warp &w, const Inst &i);
void execWaitGroup(Warp &w, const Inst &i);

Space Decoder::takeSpace(std::vector<std::string_view> &mods, bool &ok) {
  static const std::pair<std::string_view, Space> names[] = {
      {"global", Space::Global},      {"shared", Space::Shared},
      {"shared::cta", Space::Shared}, {"shared::cluster", Space::Cluster},
      {"local", Space::Local},        {"const", Space::Const},
      {"param", Space::Param},        {"param::entry", Space::Param},
      {"param::func", Space::Param}};
  ok = true;
  for (auto [name, space] : names)
    if (take(mods, name))
      return space;
  return Space::Generic;
}

/// Takes the cache qualifiers, which change nothing here, and those of order and scope; gives Inst::order.
uint8_t Decoder::takeOrder(std::vector<std::string_view> &mods, bool atomic) {
  uint8_t order = atomic ? kStrong : 0;
  for (auto [name, bits] : {std::pair<std::string_view, int>{"volatile", kStrong},
                            {"mmio", kStrong},
                            {"cv", kStrong},
                            {"relaxed", kStrong},
                            {"acquire", kStrong | kAcquire},
                            {"release", kStrong | kRelease},
                            {"acq_rel", kStrong | kAcquire | kRelease}})
    if (take(mods, name))
      order |= uint8_t(bits);
  bool block = take(mods, "cta"), cluster = take(mods, "cluster");
  for (std::string_view wider : {"gpu", "sys"})
    take(mods, wider);
  if (order && !block) // without a scope: atomics mean the device, volatile means the system
    order |= cluster ? kClusterScope : kDeviceScope;
  static const std::string_view plain[] = {"weak", "ca", "cg", "cs", "lu", "wb", "wt", "nc", "unified"};
  mods.erase(std::remove_if(mods.begin(), mods.end(),
                            [&](std::string_view m) {
                              return std::find(std::begin(plain), std::end(plain), m) != std::end(plain) ||
                                     m.substr(0, 4) == "L1::" || m.substr(0, 4) == "L2::" ||
                                     m.substr(0, 7) == "level::";
                            }),
             mods.end());
  return order;
}

/// membar.SCOPE; fence{.sc, .acq_rel, ...}.SCOPE; fence.proxy.KIND; fence.mbarrier_init. Aliases and changes
/// of tensor maps are seen at once here.
void Decoder::fence() {
  auto has = [&](std::string_view m) {
    return std::find(current->mods.begin(), current->mods.end(), m) != current->mods.end();
  };
  auto begins = [&](std::string_view prefix) {
    return std::any_of(current->mods.begin(), current->mods.end(),
                       [&](std::string_view m) { return m.substr(0, prefix.size()) == prefix; });
  };
  if (has("mbarrier_init") || (has("proxy") && begins("async"))) {
    bool shared = begins("shared::") || begins("sync_restrict::shared");
    uint16_t spaces = has("mbarrier_init") ? kInitialisations
                      : has("global")      ? kGlobalProxy
                      : shared             ? kSharedProxy
                                           : uint16_t(kSharedProxy | kGlobalProxy);
    if (operandCount(0))
      emit(execProxyFence, Class::Control).aux = spaces;
    return;
  }
  if (has("proxy")) {
    if (!has("alias") && !begins("tensormap::generic"))
      unsupported();
    else if (operandCount(0, 2))
      nothing();
    return;
  }
  emit(execFence, Class::Control).aux = uint16_t(has("cta")       ? Scope::Block
                                                 : has("cluster") ? Scope::Cluster
                                                                  : Scope::Device);
}

bool Decoder::address(const Operand &o, Space space) {
  if (o.kind != OperandKind::Address || o.elements.empty()) {
    error(o, fmt::format("expected an address in brackets as operand of '{}'", current->opcode));
    return false;
  }
  uint32_t at = last();
  const Operand &base = o.elements[0];
  program.code[at].imm = o.value;
  program.code[at].addr64 = true;
  if (base.kind == OperandKind::Register) {
    unsigned bytes = typeBytes(registerType(base.index));
    if (bytes != 8 &&
        !(bytes == 4 && (space == Space::Shared || space == Space::Cluster || space == Space::Local ||
                         space == Space::Const || space == Space::Param))) {
      error(base, fmt::format("expected a 64-bit address register, got '{}' of type {}", base.text,
                              typeName(registerType(base.index))));
      return false;
    }
    program.code[at].addr64 = bytes == 8;
    fix(Fixup::Register, Field::A, false, base.index);
    return true;
  }
  if (base.kind == OperandKind::Variable) {
    const Variable &v = ast.variables[base.index];
    bool module = v.space == Space::Global || v.space == Space::Const;
    bool same = space == Space::Generic   ? module
                : module                  ? (space == Space::Global || space == Space::Const)
                : space == Space::Cluster ? v.space == Space::Shared
                                          : v.space == space;
    if (!same) {
      error(base, fmt::format("expected a variable of the instruction's state space, got '{}'", base.text));
      return false;
    }
    if (inFrame(base)) {
      program.code[at].imm += int64_t(v.frameOffset);
      fix(Fixup::Register, Field::A, false, uint32_t(frameRegister));
      return true;
    }
    int32_t index = -1;
    uint64_t offset = variableAddress(v, index, base.index);
    fix(Fixup::Constant, Field::A, false, constant(offset, true, index));
    return true;
  }
  if (base.kind == OperandKind::Integer) {
    program.code[at].imm = 0;
    fix(Fixup::Constant, Field::A, false, constant(uint64_t(o.value), true));
    return true;
  }
  error(base, fmt::format("expected a register or a declared variable in the address, got '{}'", base.text));
  return false;
}

void Decoder::loadStore(bool store) {
  std::vector<std::string_view> mods = current->mods;
  bool ok;
  Space space = takeSpace(mods, ok);
  const std::vector<Operand> &operands = current->operands;
  for (size_t k = 0; k < operands.size() && space == Space::Param; ++k) // arguments of a call
    if (operands[k].kind == OperandKind::Address && !operands[k].elements.empty() &&
        operands[k].elements[0].kind == OperandKind::Variable &&
        ast.variables[operands[k].elements[0].index].isArgument)
      space = Space::Local;
  // ldu is for read-only data too.
  bool nonCoherent = current->root == "ldu" || std::find(mods.begin(), mods.end(), "nc") != mods.end();
  uint8_t order = takeOrder(mods, false);
  unsigned count = take(mods, "v2") ? 2 : take(mods, "v4") ? 4 : 1;
  Type type = mods.size() == 1 ? parseType(mods[0]) : Type::None;
  unsigned width = typeBytes(type);
  if (type == Type::None || type == Type::Pred || width > 8 || width * count > 16) {
    unsupported();
    return;
  }
  if (!operandCount(2, 3))
    return;
  const Operand &data = current->operands[store ? 1 : 0];
  const Operand &where = current->operands[store ? 0 : 1];
  const char *spaceName = "generic";
  switch (space) {
  case Space::Global:
  case Space::Const:
    spaceName = "global";
    break;
  case Space::Shared:
  case Space::Cluster:
    spaceName = "shared";
    break;
  case Space::Local:
    spaceName = "local";
    break;
  case Space::Param:
    if (store) {
      unsupported();
      return;
    }
    spaceName = "param";
    break;
  case Space::Generic:
    break;
  }
  const HandlerInfo *info =
      table.find(fmt::format("{}:{}:{}:{}", store ? "st" : "ld", spaceName, width, count));
  emit(info->fn, info->cls);
  uint32_t at = last();
  program.code[at].count = uint8_t(count);
  program.code[at].width = uint8_t(width);
  program.code[at].order = order;
  program.code[at].nonCoherent = nonCoherent;
  program.code[at].aux = uint16_t(space);
  program.ordering |= order != 0 || space == Space::Cluster;
  program.communicates |= !store && order && (space == Space::Global || space == Space::Generic);
  program.code[at].target = at; // its place among the allocation hints
  if (!address(where, space))
    return;
  uint32_t list = reserveList(count);
  program.code[at].list = list;
  if (count > 1 && (data.kind != OperandKind::Vector || data.elements.size() != count)) {
    error(data, fmt::format("expected a vector of {} registers", count));
    return;
  }
  bool isSigned = type == Type::S8 || type == Type::S16 || type == Type::S32;
  for (unsigned n = 0; n < count; ++n) {
    const Operand &o = count > 1                                                       ? data.elements[n]
                       : data.kind == OperandKind::Vector && data.elements.size() == 1 ? data.elements[0]
                                                                                       : data;
    if (o.kind == OperandKind::Sink && !store)
      continue;
    if (o.kind == OperandKind::Register) {
      Type rt = registerType(o.index);
      unsigned bytes = rt == Type::Pred ? 0 : typeBytes(rt);
      if (bytes < width || !bytes) {
        error(o, fmt::format("expected a register of at least {} bits, got '{}' of type {}", 8 * width,
                             o.text, typeName(rt)));
        return;
      }
      Extend &e = program.code[at].extend;
      if (bytes == 8 && width < 8)
        e = store ? Extend::Zero64 : isSigned ? Extend::Sign64 : Extend::Zero64;
      else if (!store && isSigned && width < 4 && bytes > width)
        e = bytes == 2 ? Extend::Sign16 : Extend::Sign32;
      fix(Fixup::Register, Field::List, !store, o.index, list + n);
    } else if (store) {
      if (!source(o, Field::List,
                  width == 8   ? 'q'
                  : width == 2 ? 'h'
                               : 'w',
                  type == Type::F32 || type == Type::F64, list + n))
        return;
    } else {
      error(o, "expected a register as destination of 'ld'");
      return;
    }
  }
}

/// createpolicy gives a register whose bits only cache hints take.
void Decoder::createPolicy() {
  if (!operandCount(1, 4))
    return;
  emitNamed("mov:64");
  if (destination(current->operands[0], Field::D, 'q'))
    fix(Fixup::Constant, Field::A, false, constant(0, true));
}

void Decoder::matrixMove(bool store) {
  std::vector<std::string_view> mods = current->mods;
  bool ok = take(mods, "sync");
  ok &= take(mods, "aligned");
  ok &= take(mods, "m8n8");
  ok &= take(mods, "b16");
  bool trans = take(mods, "trans");
  unsigned n = take(mods, "x1") ? 1 : take(mods, "x2") ? 2 : take(mods, "x4") ? 4 : 0;
  bool known;
  Space space = takeSpace(mods, known);
  if (!ok || !n || !mods.empty() || (space != Space::Shared && space != Space::Generic)) {
    unsupported();
    return;
  }
  if (!operandCount(2))
    return;
  const Operand &data = current->operands[store ? 1 : 0];
  emitNamed(fmt::format("{}:{}{}", current->root, n, trans ? ":trans" : ""));
  uint32_t at = last();
  program.code[at].aux = space == Space::Generic;
  if (!address(current->operands[store ? 0 : 1], space))
    return;
  uint32_t list = reserveList(n);
  program.code[at].list = list;
  if (n == 1 && data.kind == OperandKind::Register) {
    store ? source(data, Field::List, 'w', false, list) : destination(data, Field::List, 'w', list);
    return;
  }
  if (data.kind != OperandKind::Vector || data.elements.size() != n) {
    error(data, fmt::format("expected a vector of {} registers", n));
    return;
  }
  for (unsigned k = 0; k < n; ++k)
    if (store ? !source(data.elements[k], Field::List, 'w', false, list + k)
              : !destination(data.elements[k], Field::List, 'w', list + k))
      return;
}

/// cp.async.{ca,cg}.shared.global [dst], [src], size{, source size}{, policy}; commit_group; wait_group N;
/// wait_all.
void Decoder::cpAsync() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  if (!take(mods, "async")) {
    unsupported();
    return;
  }
  if (mods.size() == 1 && mods[0] == "commit_group") {
    if (operandCount(0))
      emit(execCommit, Class::AsyncCopy);
    return;
  }
  if (mods.size() == 1 && mods[0] == "wait_all") {
    if (operandCount(0)) {
      emit(execWaitGroup, Class::AsyncCopy);
      program.code.back().imm = kUncommitted;
    }
    return;
  }
  if (mods.size() == 1 && mods[0] == "wait_group") {
    if (!operandCount(1))
      return;
    if (ops[0].kind != OperandKind::Integer || ops[0].value < 0 || ops[0].value > 1000) {
      error(ops[0], "expected a constant number of groups");
      return;
    }
    emit(execWaitGroup, Class::AsyncCopy);
    program.code.back().imm = ops[0].value;
    return;
  }
  bool cg = take(mods, "cg"), ca = take(mods, "ca");
  bool shared = take(mods, "shared") || take(mods, "shared::cta"), global = take(mods, "global");
  takeOrder(mods, false);
  if (cg == ca || !shared || !global || !mods.empty()) {
    unsupported();
    return;
  }
  if (!operandCount(3, 5))
    return;
  if (ops[2].kind != OperandKind::Integer ||
      !(ops[2].value == 16 || (ca && (ops[2].value == 4 || ops[2].value == 8)))) {
    error(ops[2], cg ? "expected a copy size of 16 bytes" : "expected a copy size of 4, 8 or 16 bytes");
    return;
  }
  int32_t ignored = -1; // the source size that an ignore-src predicate stands for
  if (ops.size() > 3 && ops[3].kind == OperandKind::Register && registerType(ops[3].index) == Type::Pred) {
    ignored = int32_t(temporary(Type::B32));
    emitNamed("selp.b32");
    fix(Fixup::Register, Field::D, true, uint32_t(ignored));
    uint64_t size = uint64_t(ops[2].value);
    fix(Fixup::Constant, Field::A, false, constant(ops[3].negated ? size : 0, false));
    fix(Fixup::Constant, Field::B, false, constant(ops[3].negated ? 0 : size, false));
    fix(Fixup::Register, Field::C, false, ops[3].index);
  }
  emit(execCpAsync, Class::AsyncCopy);
  uint32_t at = last();
  program.code[at].count = uint8_t(ops[2].value);
  program.code[at].target = at;
  if (!address(ops[0], Space::Shared))
    return;
  // The second address: register into B, its offset into the list.
  const Operand &src = ops[1];
  if (src.kind != OperandKind::Address || src.elements.empty()) {
    error(src, "expected an address in brackets");
    return;
  }
  uint32_t list = reserveList(2);
  program.code[at].list = list;
  program.lists[list] = uint32_t(uint64_t(src.value));
  program.lists[list + 1] = uint32_t(uint64_t(src.value) >> 32);
  if (src.elements[0].kind == OperandKind::Variable)
    program.lists[list] = program.lists[list + 1] = 0;
  Operand base = src.elements[0];
  if (base.kind == OperandKind::Variable)
    base.value = src.value;
  if (!source(base, Field::B, 'q'))
    return;
  if (ops.size() > 3 && !(ops.size() == 4 && ops[3].kind == OperandKind::Register &&
                          typeBytes(registerType(ops[3].index)) == 8)) {
    program.code[at].aux = 1; // has a source size
    if (ignored >= 0)
      fix(Fixup::Register, Field::C, false, uint32_t(ignored));
    else
      source(ops[3], Field::C, 'w');
  }
}

/// atom and red; a vector of them is one for each element.
void Decoder::atomic(bool reduction) {
  std::vector<std::string_view> mods = current->mods;
  bool known;
  Space space = takeSpace(mods, known);
  take(mods, "noftz");
  std::string_view op;
  for (std::string_view name : {"add", "min", "max", "and", "or", "xor", "inc", "dec", "exch", "cas"})
    if (take(mods, name))
      op = name;
  unsigned elements = take(mods, "v2") ? 2 : take(mods, "v4") ? 4 : take(mods, "v8") ? 8 : 1;
  bool hint = std::find(mods.begin(), mods.end(), "L2::cache_hint") != mods.end();
  uint8_t order = takeOrder(mods, true);
  if (op.empty() || mods.size() != 1 || space == Space::Local || space == Space::Const ||
      space == Space::Param) {
    unsupported();
    return;
  }
  Type type = parseType(mods[0]);
  unsigned width = typeBytes(type);
  const HandlerInfo *info = table.find(fmt::format("atom:{}:{}", op, mods[0]));
  if (!info || (elements > 1 && (op != "add" || elements * width > 16 || type == Type::F64))) {
    unsupported();
    return;
  }
  bool cas = op == "cas";
  if (!operandCount((reduction ? 2 : 3) + cas + hint))
    return;
  const std::vector<Operand> &ops = current->operands;
  size_t n = reduction ? 0 : 1;
  for (size_t k : {size_t(0), n + 1})
    if (elements > 1 && (k || !reduction) && ops[k].kind != OperandKind::Sink &&
        (ops[k].kind != OperandKind::Vector || ops[k].elements.size() != elements)) {
      error(ops[k], fmt::format("expected a vector of {} registers", elements));
      return;
    }
  char w = width == 8 ? 'q' : width == 2 ? 'h' : 'w';
  bool isFloat = type == Type::F32 || type == Type::F64;
  for (unsigned e = 0; e < elements; ++e) {
    auto element = [&](size_t k) -> const Operand & {
      return elements > 1 && ops[k].kind == OperandKind::Vector ? ops[k].elements[e] : ops[k];
    };
    emit(info->fn, info->cls);
    uint32_t at = last();
    bool wanted = !reduction && element(0).kind != OperandKind::Sink;
    program.code[at].width = uint8_t(width);
    program.code[at].aux = uint16_t(space == Space::Global    ? 0
                                    : space == Space::Shared  ? 1
                                    : space == Space::Generic ? 2
                                                              : 3);
    program.code[at].target = at;
    program.code[at].count = wanted;
    program.code[at].order = order;
    program.code[at].atomic = true;
    program.ordering = true;
    if (wanted && !destination(element(0), Field::D, w))
      return;
    if (!address(ops[n], space) || !source(element(n + 1), Field::B, w, isFloat))
      return;
    program.code[at].imm += int64_t(e * width);
    if (cas && !source(ops[n + 2], Field::C, w, isFloat))
      return;
  }
}

} // namespace attune::sim
