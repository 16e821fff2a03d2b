//===- DecodeBulk.cpp - cp.async.bulk, cp.reduce.async.bulk, tensormap ----===//
#include "simulator/Decode.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

void execBulk(Warp &w, const Inst &i);
void execBulkCommit(Warp &w, const Inst &i);
void execBulkWait(Warp &w, const Inst &i);
void execMapReplace(Warp &w, const Inst &i);
void execMapCopy(Warp &w, const Inst &i);

bool Decoder::bulkValue(const Operand &o, char width, BulkValue &value) {
  value.list = reserveList(1);
  value.present = true;
  value.wide = width == 'q';
  return source(o, Field::List, width, false, value.list);
}

/// An address whose register may have 32 bits in shared memory.
bool Decoder::bulkAddress(const Operand &o, Space space, BulkValue &value) {
  if (o.kind != OperandKind::Address || o.elements.empty()) {
    error(o, fmt::format("expected an address in brackets as operand of '{}'", current->opcode));
    return false;
  }
  const Operand &base = o.elements[0];
  bool narrow = base.kind == OperandKind::Register && space == Space::Shared &&
                typeBytes(registerType(base.index)) == 4;
  if (base.kind == OperandKind::Variable) {
    const Variable &v = ast.variables[base.index];
    bool module = v.space == Space::Global || v.space == Space::Const;
    if (space == Space::Shared ? v.space != Space::Shared : !module) {
      error(base, fmt::format("expected a variable of the operand's state space, got '{}'", base.text));
      return false;
    }
    int32_t index = -1;
    uint64_t offset = variableAddress(v, index, base.index);
    value.list = reserveList(1);
    value.present = value.wide = true;
    fix(Fixup::Constant, Field::List, false, constant(offset, true, index), value.list);
  } else if (!bulkValue(base, narrow ? 'w' : 'q', value)) {
    return false;
  }
  value.add = base.kind == OperandKind::Integer ? 0 : o.value;
  return true;
}

/// [map, {coordinates}].
bool Decoder::tensorOperand(const Operand &o, Bulk &bulk) {
  if (o.kind != OperandKind::Address || o.elements.size() != 2 || o.elements[1].kind != OperandKind::Vector ||
      o.elements[1].elements.size() != bulk.rank) {
    error(o, fmt::format("expected a tensor map and a vector of {} coordinates in brackets", bulk.rank));
    return false;
  }
  if (!bulkAddress(o, Space::Generic, bulk.global))
    return false;
  for (size_t k = 0; k < bulk.rank; ++k)
    if (!bulkValue(o.elements[1].elements[k], 'w', bulk.coords[k]))
      return false;
  return true;
}

/// True: treated, or reported.
bool Decoder::bulk() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  Bulk b;
  bool reduce = take(mods, "reduce");
  if (!take(mods, "async") || !take(mods, "bulk"))
    return false;
  if (!reduce && mods.size() == 1 && mods[0] == "commit_group") {
    if (operandCount(0))
      emit(execBulkCommit, Class::AsyncCopy);
    return true;
  }
  if (!reduce && !mods.empty() && mods[0] == "wait_group") {
    bool read = take(mods, "read");
    if (mods.size() != 1)
      return false;
    if (!operandCount(1))
      return true;
    if (ops[0].kind != OperandKind::Integer || ops[0].value < 0) {
      error(ops[0], "expected a constant number of groups");
      return true;
    }
    Inst &inst = emit(execBulkWait, Class::AsyncCopy);
    inst.imm = ops[0].value;
    inst.aux = read;
    return true;
  }
  bool prefetch = take(mods, "prefetch"), tensor = take(mods, "tensor");
  if (tensor) {
    static constexpr std::string_view ranks[] = {"1d", "2d", "3d", "4d", "5d"};
    for (uint8_t k = 0; k < 5; ++k)
      if (take(mods, ranks[k]))
        b.rank = k + 1;
    for (std::string_view m : mods)
      if (m.substr(0, 6) == "im2col" || m.substr(0, 6) == "tile::") {
        error(fmt::format(
            "unsupported instruction '{}': of tensor copies the tile mode is simulated, .{} is not",
            current->opcode, m));
        return true;
      }
    take(mods, "tile");
    if (!b.rank)
      return false;
  }
  bool hint = take(mods, "L2::cache_hint"), multicast = take(mods, "multicast::cluster"),
       byteMask = take(mods, "cp_mask"), group = take(mods, "bulk_group"),
       barrier = take(mods, "mbarrier::complete_tx::bytes");
  // The spaces in their order: to, from.
  std::vector<std::string_view> spaces;
  for (std::string_view m : mods)
    if (m == "shared::cluster" || m == "shared::cta" || m == "global" || m == "L2")
      spaces.push_back(m);
  for (std::string_view m : spaces)
    take(mods, m);
  if (spaces.size() != 2)
    return false;
  bool toShared = spaces[0].substr(0, 6) == "shared", fromShared = spaces[1].substr(0, 6) == "shared";
  if (prefetch && spaces[0] == "L2" && spaces[1] == "global" && !group && !barrier)
    b.kind = BulkKind::Prefetch;
  else if (toShared && spaces[1] == "global" && barrier && !group)
    b.kind = BulkKind::Load;
  else if (spaces[0] == "shared::cluster" && spaces[1] == "shared::cta" && barrier && !group && !tensor)
    b.kind = BulkKind::SharedCopy;
  else if (spaces[0] == "global" && fromShared && group && !barrier)
    b.kind = BulkKind::Store;
  else
    return false;
  bool load = b.kind == BulkKind::Load, store = b.kind == BulkKind::Store;
  if ((prefetch && b.kind != BulkKind::Prefetch) || (multicast && !load) ||
      (byteMask && (!store || tensor)) || (reduce && !store && b.kind != BulkKind::SharedCopy))
    return false;
  if (reduce) {
    static constexpr std::pair<std::string_view, ReduceOp> operations[] = {
        {"add", ReduceOp::Add}, {"min", ReduceOp::Min}, {"max", ReduceOp::Max}, {"inc", ReduceOp::Inc},
        {"dec", ReduceOp::Dec}, {"and", ReduceOp::And}, {"or", ReduceOp::Or},   {"xor", ReduceOp::Xor}};
    for (auto [name, op] : operations)
      if (take(mods, name))
        b.op = op;
    if (b.op == ReduceOp::None)
      return false;
    if (!tensor) {
      static constexpr std::pair<std::string_view, ReduceType> types[] = {
          {"u32", ReduceType::U32},  {"b32", ReduceType::U32}, {"s32", ReduceType::S32},
          {"u64", ReduceType::U64},  {"b64", ReduceType::U64}, {"s64", ReduceType::S64},
          {"f32", ReduceType::F32},  {"f64", ReduceType::F64}, {"f16", ReduceType::F16},
          {"bf16", ReduceType::BF16}};
      bool noftz = take(mods, "noftz");
      if (mods.size() != 1)
        return false;
      bool found = false;
      for (auto [name, type] : types)
        if (mods[0] == name) {
          b.type = type;
          found = true;
        }
      bool bits = mods[0][0] == 'b' && mods[0] != "bf16", half = mods[0] == "f16" || mods[0] == "bf16";
      bool logic = b.op == ReduceOp::And || b.op == ReduceOp::Or || b.op == ReduceOp::Xor;
      bool counts = b.op == ReduceOp::Inc || b.op == ReduceOp::Dec;
      bool ordered = b.op == ReduceOp::Min || b.op == ReduceOp::Max;
      bool isFloat = mods[0] == "f32" || mods[0] == "f64";
      if (!found || logic != bits || (counts && mods[0] != "u32") || (ordered && isFloat) ||
          (noftz != (half && b.op == ReduceOp::Add)) || (b.op == ReduceOp::Add && mods[0] == "s64") ||
          (b.kind == BulkKind::SharedCopy &&
           (half || isFloat || (ordered && sizeOf(b.type) == 8) || mods[0] == "b64")))
        return false;
      mods.clear();
    }
  }
  if (!mods.empty())
    return false;
  // Operands, in the order of the forms.
  emit(execBulk, Class::AsyncCopy);
  uint32_t at = last();
  size_t n = 0, count = b.kind == BulkKind::Prefetch ? (tensor ? 1 : 2)
                        : store                      ? (tensor ? 2 : 3)
                                                     : (tensor ? 3 : 4);
  if (!operandCount(count + multicast + hint + byteMask))
    return true;
  bool ok = true;
  auto global = [&] {
    ok = ok && (tensor ? tensorOperand(ops[n], b) : bulkAddress(ops[n], Space::Global, b.global));
    ++n;
  };
  auto shared = [&](BulkValue &value) {
    ok = ok && bulkAddress(ops[n], Space::Shared, value);
    ++n;
  };
  auto value = [&](BulkValue &into, char width) {
    ok = ok && bulkValue(ops[n], width, into);
    ++n;
  };
  switch (b.kind) {
  case BulkKind::Load:
    shared(b.shared);
    global();
    if (!tensor)
      value(b.size, 'w');
    shared(b.barrier);
    break;
  case BulkKind::SharedCopy:
    shared(b.shared);
    shared(b.source);
    value(b.size, 'w');
    shared(b.barrier);
    break;
  case BulkKind::Store:
    global();
    shared(b.shared);
    if (!tensor)
      value(b.size, 'w');
    break;
  case BulkKind::Prefetch:
    global();
    if (!tensor)
      value(b.size, 'w');
    break;
  }
  if (multicast)
    value(b.blocks, 'h');
  if (hint) {
    BulkValue policy;
    value(policy, 'q');
  }
  if (byteMask)
    value(b.byteMask, 'h');
  if (!ok)
    return true;
  Inst &inst = program.code[at];
  inst.imm = int64_t(program.bulks.size());
  inst.target = at;
  if (reduce) {
    inst.order = kStrong | kDeviceScope;
    inst.atomic = true;
    program.ordering = true;
  }
  program.asyncProxy |= b.kind != BulkKind::Prefetch;
  program.bulks.push_back(b);
  return true;
}

/// tensormap.replace.tile.FIELD{.space}.b1024.TYPE [map], {ordinal,} value;
/// tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.SCOPE.sync.aligned [to], [from],
/// 128.
void Decoder::tensorMapStatement() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  MapReplacement r;
  if (take(mods, "cp_fenceproxy")) {
    bool ok = true;
    for (std::string_view m : {"global", "shared::cta", "tensormap::generic", "release", "sync", "aligned"})
      ok &= take(mods, m);
    bool scope = mods.size() == 1 &&
                 (mods[0] == "cta" || mods[0] == "cluster" || mods[0] == "gpu" || mods[0] == "sys");
    if (!ok || !scope) {
      unsupported();
      return;
    }
    if (!operandCount(3))
      return;
    if (ops[2].kind != OperandKind::Integer || ops[2].value != 128) {
      error(ops[2], "expected a size of 128 bytes");
      return;
    }
    emit(execMapCopy, Class::AsyncCopy);
    uint32_t at = last();
    if (!bulkAddress(ops[0], Space::Global, r.map) || !bulkAddress(ops[1], Space::Shared, r.value))
      return;
    program.code[at].imm = int64_t(program.replacements.size());
    program.replacements.push_back(r);
    return;
  }
  static constexpr std::string_view fields[] = {
      "global_address", "rank",     "box_dim",           "global_dim",   "global_stride",
      "element_stride", "elemtype", "interleave_layout", "swizzle_mode", "swizzle_atomicity",
      "fill_mode"};
  bool ok = take(mods, "replace");
  ok &= take(mods, "tile");
  ok &= take(mods, "b1024");
  bool found = false, known;
  for (uint8_t k = 0; k < std::size(fields); ++k)
    if (take(mods, fields[k])) {
      r.field = MapReplacement::Field(k);
      found = true;
    }
  Space space = takeSpace(mods, known);
  bool wide = r.field == MapReplacement::Address || r.field == MapReplacement::GlobalStride;
  if (!ok || !found || mods.size() != 1 || mods[0] != (wide ? "b64" : "b32") ||
      (space != Space::Shared && space != Space::Global && space != Space::Generic)) {
    unsupported();
    return;
  }
  bool ordinal = r.field >= MapReplacement::BoxDim && r.field <= MapReplacement::ElementStride;
  if (!operandCount(2 + ordinal))
    return;
  if (ordinal) {
    if (ops[1].kind != OperandKind::Integer || ops[1].value < 0 || ops[1].value > 4) {
      error(ops[1], "expected the number of a dimension from 0 to 4");
      return;
    }
    r.ordinal = uint32_t(ops[1].value);
  }
  r.shared = space == Space::Shared;
  r.generic = space == Space::Generic;
  emit(execMapReplace, Class::AsyncCopy);
  uint32_t at = last();
  if (!bulkAddress(ops[0], space == Space::Global ? Space::Global : space, r.map) ||
      !bulkValue(ops[1 + ordinal], wide ? 'q' : 'w', r.value))
    return;
  program.code[at].imm = int64_t(program.replacements.size());
  program.replacements.push_back(r);
}

} // namespace attune::sim
