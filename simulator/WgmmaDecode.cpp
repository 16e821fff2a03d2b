//===- WgmmaDecode.cpp - wgmma and setmaxnreg -----------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace attune::sim {

/// "m64n128k16": N and K. False: another M, or no shape.
static bool parseShape(std::string_view text, unsigned &n, unsigned &k) {
  const char *end = text.data() + text.size();
  if (text.substr(0, 4) != "m64n")
    return false;
  auto [at, bad] = std::from_chars(text.data() + 4, end, n);
  if (bad != std::errc() || at == end || *at != 'k')
    return false;
  auto [last, wrong] = std::from_chars(at + 1, end, k);
  return wrong == std::errc() && last == end;
}

/// SHAPE, then the types of D, A and B.
bool Decoder::wgmmaTypes(const std::vector<std::string_view> &mods, Wgmma &what, std::string &handler) {
  constexpr std::string_view names[] = {"f16", "bf16", "tf32", "e4m3", "e5m2", "s8", "u8"};
  auto find = [&](std::string_view text, MatrixType &type) {
    auto at = std::find(std::begin(names), std::end(names), text);
    type = MatrixType(at - std::begin(names));
    return at != std::end(names);
  };
  unsigned n = 0, k = 0;
  if (mods.size() != 4 || !find(mods[2], what.a) || !find(mods[3], what.b) || !parseShape(mods[0], n, k))
    return false;
  std::string_view d = mods[1];
  bool integer = what.a >= MatrixType::S8, bytes = what.a >= MatrixType::E4M3;
  auto mixed = [](MatrixType t) { return t >= MatrixType::S8 ? 2 : t >= MatrixType::E4M3 ? 1 : 0; };
  bool types = mixed(what.a) == mixed(what.b) && (bytes || what.a == what.b) &&
               (integer ? d == "s32" : d == "f32" || (d == "f16" && (bytes || what.a == MatrixType::F16)));
  bool shape = n >= 8 && n <= 256 && n % 8 == 0 && k == what.k() && (!integer || n <= 24 || n % 16 == 0);
  if (!types || !shape || (what.saturate && !integer))
    return false;
  what.columns = uint16_t(n);
  what.registers = uint8_t(d == "f16" ? n / 4 : n / 2);
  handler = fmt::format("wgmma:{}:{}:{}", d, mods[2], mods[3]);
  return true;
}

/// wgmma.mma_async.sync.aligned.SHAPE.D.A.B{.satfinite} d, a, b, scale-d{, scale-a, scale-b{, trans-a}{,
/// trans-b}}; wgmma.fence, commit_group, wait_group N.
void Decoder::wgmma() {
  std::vector<std::string_view> mods = current->mods;
  const std::vector<Operand> &ops = current->operands;
  if (ast.target != "sm_90a") {
    error(fmt::format("expected .target sm_90a for '{}', got {}", current->opcode, ast.target));
    return;
  }
  std::string_view action = mods.empty() ? std::string_view() : mods[0];
  if (action == "mma_async" && mods.size() > 1 && mods[1] == "sp") {
    error(fmt::format("unsupported sparse product '{}'", current->opcode));
    return;
  }
  bool ok = take(mods, "sync");
  ok &= take(mods, "aligned");
  if (!ok || mods.empty()) {
    unsupported();
    return;
  }
  program.usesWarpgroups = true;
  mods.erase(mods.begin());
  if (action == "fence" && mods.empty()) {
    if (operandCount(0))
      emit(execWgmmaFence, Class::Barrier);
    return;
  }
  if (action == "commit_group" && mods.empty()) {
    if (operandCount(0))
      emit(execWgmmaCommit, Class::AsyncCopy);
    return;
  }
  if (action == "wait_group" && mods.empty()) {
    if (!operandCount(1))
      return;
    if (ops[0].kind != OperandKind::Integer || ops[0].value < 0 || ops[0].value > 1000) {
      error(ops[0], "expected a constant number of groups");
      return;
    }
    emit(execWgmmaWait, Class::AsyncCopy).imm = ops[0].value;
    return;
  }
  Wgmma what;
  std::string handler;
  what.saturate = take(mods, "satfinite");
  if (action != "mma_async" || !wgmmaTypes(mods, what, handler)) {
    unsupported();
    return;
  }
  what.multiply = table.find(handler)->fn;
  if (!operandCount(4, 8))
    return;
  what.aRegisters = ops[1].kind == OperandKind::Vector;
  bool integer = what.a >= MatrixType::S8, sixteen = what.a <= MatrixType::BF16;
  size_t immediates = integer ? 0 : sixteen ? (what.aRegisters ? 3 : 4) : 2;
  if (!operandCount(4 + immediates))
    return;
  for (size_t n = 4; n < ops.size(); ++n) {
    bool scale = n < 6;
    int64_t v = ops[n].value;
    if (ops[n].kind != OperandKind::Integer || !(scale ? v == 1 || v == -1 : v == 0 || v == 1)) {
      error(ops[n], scale ? "expected 1 or -1 as the scale of a matrix"
                          : "expected 0 or 1: whether it is transposed");
      return;
    }
    if (n == 4)
      what.negateA = v < 0;
    else if (n == 5)
      what.negateB = v < 0;
    else if (n == 6 && !what.aRegisters)
      what.transposeA = v;
    else
      what.transposeB = v;
  }
  program.asyncProxy = true;
  emit(execWgmma, Class::Matrix);
  uint32_t at = last(), list = reserveList(what.registers + (what.aRegisters ? 4u : 0u));
  program.code[at].list = list;
  program.code[at].imm = int64_t(program.wgmmas.size());
  uint32_t own = list;
  if (!fragment(ops[0], what.registers, 'w', true, list) ||
      !fragment(ops[0], what.registers, 'w', false, own))
    return;
  if (what.aRegisters ? !fragment(ops[1], 4, 'w', false, list) : !source(ops[1], Field::A, 'q'))
    return;
  if (!source(ops[2], Field::B, 'q'))
    return;
  const Operand &scale = ops[3];
  if (scale.kind == OperandKind::Integer)
    what.scaleNegated = !scale.value; // of the predicate 0, which is true
  else if (predicateSource(scale, Field::C))
    what.scaleNegated = scale.negated;
  program.wgmmas.push_back(what);
}

/// setmaxnreg.{inc,dec}.sync.aligned.u32 N.
void Decoder::setMaxRegisters() {
  std::vector<std::string_view> mods = current->mods;
  bool ok = take(mods, "sync");
  ok &= take(mods, "aligned");
  bool more = take(mods, "inc"), less = take(mods, "dec");
  if (!ok || more == less || mods.size() != 1 || mods[0] != "u32") {
    unsupported();
    return;
  }
  if (!operandCount(1))
    return;
  const Operand &o = current->operands[0];
  if (o.kind != OperandKind::Integer || o.value < 24 || o.value > 256 || o.value % 8) {
    error(o, fmt::format("expected a number of registers that is a multiple of 8 from 24 to 256, got '{}'",
                         o.kind == OperandKind::Integer ? std::to_string(o.value) : std::string(o.text)));
    return;
  }
  program.usesWarpgroups = program.changesRegisters = true;
  Inst &i = emit(execSetMaxRegisters, Class::Control);
  i.imm = o.value;
  i.aux = more;
}

} // namespace attune::sim
