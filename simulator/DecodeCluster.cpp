//===- DecodeCluster.cpp - instructions of clusters -----------------------===//
#include "simulator/Cluster.h"
#include "simulator/Decode.h"

#include <fmt/format.h>

namespace attune::sim {

/// barrier.cluster.arrive{.release, .relaxed}{.aligned}; barrier.cluster.wait{.acquire}{.aligned}.
void Decoder::clusterBarrier() {
  std::vector<std::string_view> mods = current->mods;
  take(mods, "cluster");
  bool arrive = take(mods, "arrive"), wait = take(mods, "wait"), aligned = take(mods, "aligned");
  bool release = arrive && take(mods, "release"), relaxed = arrive && take(mods, "relaxed");
  if (wait)
    take(mods, "acquire");
  if (arrive + wait != 1 || (release && relaxed) || !mods.empty()) {
    unsupported();
    return;
  }
  if (!operandCount(0))
    return;
  emitNamed(arrive ? "cluster:arrive" : "cluster:wait").aux = uint16_t((aligned ? 1 : 0) | (relaxed ? 2 : 0));
  program.ordering = true;
}

/// mapa{.shared::cluster}.type d, a, rank; getctarank{.shared::cluster}.type d, a.
void Decoder::clusterAddressOf() {
  std::vector<std::string_view> mods = current->mods;
  bool map = current->root == "mapa", generic = !take(mods, "shared::cluster");
  if (mods.size() != 1 || (mods[0] != "u32" && mods[0] != "u64") || (generic && mods[0] != "u64")) {
    unsupported();
    return;
  }
  if (!operandCount(map ? 3 : 2))
    return;
  const std::vector<Operand> &ops = current->operands;
  char width = mods[0] == "u64" ? 'q' : 'w';
  Inst &i = emitNamed(current->root);
  i.width = width == 'q' ? 8 : 4;
  i.aux = generic;
  program.ordering = true;
  if (destination(ops[0], Field::D, map ? width : 'w') && source(ops[1], Field::A, width) && map)
    source(ops[2], Field::B, 'w');
}

/// mov.pred: also of the one special register that is a predicate.
void Decoder::movPredicate() {
  const std::vector<Operand> &ops = current->operands;
  if (ops.size() != 2 || ops[1].kind != OperandKind::Special || ops[1].text != "%is_explicit_cluster") {
    generic();
    return;
  }
  emitNamed("setp.ne.u32");
  if (destination(ops[0], Field::D, 'p') && source(ops[1], Field::A, 'w'))
    fix(Fixup::Constant, Field::B, false, constant(0, false));
}

} // namespace attune::sim
