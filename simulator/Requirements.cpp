//===- Requirements.cpp - which target an instruction needs ---------------===//
//
// What an assembler refuses for the file's `.target`, the simulator refuses too: else a kernel would run here
// that no such device can load. The numbers are those of the PTX ISA's "Target ISA Notes", compared with what
// ptxas 13.0 takes for sm_75 to sm_90a.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::sim {

namespace {

/// An instruction of this root that has all these modifiers needs the target. `suffixed`: and one of the
/// kind "sm_90a", whose features later targets may lack.
struct Requirement {
  std::string_view root;
  std::array<std::string_view, 2> mods;
  int sm;
  bool suffixed = false;
};

constexpr Requirement requirements[] = {
    {"abs", {"bf16"}, 80},
    {"abs", {"bf16x2"}, 80},
    {"add", {"bf16"}, 90},
    {"add", {"bf16x2"}, 90},
    {"add", {"s16x2"}, 90},
    {"add", {"u16x2"}, 90},
    {"applypriority", {}, 80},
    {"atom", {"b128"}, 90},
    {"atom", {"bf16"}, 90},
    {"atom", {"bf16x2"}, 90},
    {"atom", {"v2"}, 90},
    {"atom", {"v4"}, 90},
    {"atom", {"v8"}, 90},
    {"barrier", {"cluster"}, 90},
    {"cp", {"async"}, 80},
    {"cp", {"bulk"}, 90},
    {"createpolicy", {}, 80},
    {"cvt", {"bf16"}, 80},
    {"cvt", {"bf16x2"}, 80},
    {"cvt", {"e4m3x2"}, 89},
    {"cvt", {"e5m2x2"}, 89},
    {"cvt", {"f16x2", "f32"}, 80},
    {"cvt", {"relu"}, 80},
    {"cvt", {"tf32"}, 80},
    {"cvt", {"tf32", "rn"}, 90},
    {"cvt", {"tf32", "rz"}, 90},
    {"discard", {}, 80},
    {"elect", {}, 90},
    {"ex2", {"bf16"}, 90},
    {"ex2", {"bf16x2"}, 90},
    {"ex2", {"f16"}, 75},
    {"ex2", {"f16x2"}, 75},
    {"fence", {"mbarrier_init"}, 90},
    {"fence", {"proxy", "async"}, 90},
    {"fma", {"bf16"}, 80},
    {"fma", {"bf16x2"}, 80},
    {"fma", {"oob"}, 90},
    {"fma", {"relu"}, 80},
    {"getctarank", {}, 90},
    {"griddepcontrol", {}, 90},
    {"ldmatrix", {}, 75},
    {"mapa", {}, 90},
    {"max", {"NaN"}, 80},
    {"max", {"bf16"}, 80},
    {"max", {"bf16x2"}, 80},
    {"max", {"f16"}, 80},
    {"max", {"f16x2"}, 80},
    {"max", {"relu"}, 90},
    {"max", {"s16x2"}, 90},
    {"max", {"u16x2"}, 90},
    {"max", {"xorsign"}, 86},
    {"mbarrier", {}, 80},
    {"mbarrier", {"complete_tx"}, 90},
    {"mbarrier", {"expect_tx"}, 90},
    {"mbarrier", {"try_wait"}, 90},
    {"min", {"NaN"}, 80},
    {"min", {"bf16"}, 80},
    {"min", {"bf16x2"}, 80},
    {"min", {"f16"}, 80},
    {"min", {"f16x2"}, 80},
    {"min", {"relu"}, 90},
    {"min", {"s16x2"}, 90},
    {"min", {"u16x2"}, 90},
    {"min", {"xorsign"}, 86},
    {"mma", {"bf16"}, 80},
    {"mma", {"e4m3"}, 89},
    {"mma", {"e5m2"}, 89},
    {"mma", {"f64"}, 80},
    {"mma", {"f64", "m16n8k16"}, 90},
    {"mma", {"f64", "m16n8k4"}, 90},
    {"mma", {"f64", "m16n8k8"}, 90},
    {"mma", {"m16n8k16"}, 80},
    {"mma", {"m16n8k32"}, 80},
    {"mma", {"m16n8k64"}, 80},
    {"mma", {"m16n8k8"}, 75},
    {"mma", {"m8n8k16"}, 75},
    {"mma", {"m8n8k32"}, 75},
    {"mma", {"sp"}, 80},
    {"mma", {"tf32"}, 80},
    {"movmatrix", {}, 75},
    {"mul", {"bf16"}, 90},
    {"mul", {"bf16x2"}, 90},
    {"neg", {"bf16"}, 80},
    {"neg", {"bf16x2"}, 80},
    {"prefetch", {"tensormap"}, 90},
    {"red", {"async"}, 90},
    {"red", {"bf16"}, 90},
    {"red", {"bf16x2"}, 90},
    {"red", {"v2"}, 90},
    {"red", {"v4"}, 90},
    {"red", {"v8"}, 90},
    {"redux", {}, 80},
    {"set", {"bf16"}, 90},
    {"set", {"bf16x2"}, 90},
    {"setmaxnreg", {}, 90, true},
    {"setp", {"bf16"}, 90},
    {"setp", {"bf16x2"}, 90},
    {"st", {"async"}, 90},
    {"stmatrix", {}, 90},
    {"sub", {"bf16"}, 90},
    {"sub", {"bf16x2"}, 90},
    {"tanh", {"bf16"}, 90},
    {"tanh", {"bf16x2"}, 90},
    {"tanh", {}, 75},
    {"tensormap", {}, 90, true},
    {"wgmma", {}, 90, true},
    {"wmma", {"bf16"}, 80},
    {"wmma", {"f64"}, 80},
    {"wmma", {"s8"}, 75},
    {"wmma", {"tf32"}, 80},
    {"wmma", {"u8"}, 75},
};

/// A conversion between bf16 and anything but f32 is newer.
bool isNewConversion(const std::vector<std::string_view> &mods) {
  size_t n = mods.size();
  return n >= 2 && (mods[n - 2] == "bf16" || mods[n - 1] == "bf16") && mods[n - 2] != "f32" &&
         mods[n - 1] != "f32";
}

} // namespace

/// Reports it if the file's target lacks the current instruction.
bool Decoder::lackedByTarget() {
  const std::vector<std::string_view> &mods = current->mods;
  int sm = std::atoi(ast.target.c_str() + 3), need = 0;
  bool suffixed = false;
  auto has = [&](std::string_view m) {
    return m.empty() || std::find(mods.begin(), mods.end(), m) != mods.end();
  };
  auto [first, last] =
      std::equal_range(std::begin(requirements), std::end(requirements), Requirement{current->root, {}, 0},
                       [](const Requirement &a, const Requirement &b) { return a.root < b.root; });
  for (const Requirement *r = first; r != last; ++r)
    if (has(r->mods[0]) && has(r->mods[1])) {
      need = std::max(need, r->sm);
      suffixed |= r->suffixed;
    }
  for (std::string_view m : mods)
    if (m == "cluster" || m == "shared::cluster")
      need = std::max(need, 90);
  if (current->root == "cvt" && isNewConversion(mods))
    need = 90;
  if (isExtremeOfThree())
    need = 100;
  for (const Operand &o : current->operands)
    if (o.kind == OperandKind::Special &&
        (o.text.find("cluster") != o.text.npos || o.text == "%aggr_smem_size"))
      need = 90;
    else if (o.kind == OperandKind::Special && o.text.starts_with("%reserved_smem"))
      need = std::max(need, 80);
  bool hasSuffix = ast.target.find_first_of("af") != std::string::npos;
  if (sm >= need && (!suffixed || hasSuffix))
    return false;
  error(fmt::format("expected .target sm_{}{} for '{}', got {}", need, suffixed ? "a" : " or higher",
                    current->opcode, ast.target));
  return true;
}

} // namespace attune::sim
