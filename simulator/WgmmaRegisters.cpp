//===- WgmmaRegisters.cpp - which registers a product in flight may hold --===//
//
// Where the program may be when a product is in flight: from its wgmma.mma_async to every wait that covers
// it, counted in the commits between them. Over all ways through the program the fewest commits count. With
// that,
//   - registers of the product are kept alive up to those waits, so that no other register gets their slot;
//   - other instructions that touch them there are watched (execWatched);
//   - so are those that touch a register of a product with no wgmma.fence on some way to it.
// A correct program has next to none of the watched ones, so that the checks cost nothing.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>

namespace attune::sim {

namespace {
/// Commits since the product was issued, at most kMostCommits; kNone: it is not in flight.
constexpr uint8_t kNone = 255, kMostCommits = 200;
using Flight = std::vector<uint8_t>;
using Set = std::vector<bool>;
} // namespace

/// A move of a whole register: not one that packs or unpacks.
bool Allocator::isMove(uint32_t i) const {
  uint32_t at = p.code[i].statement;
  if (at >= d.function.body.size() || d.function.body[at].root != "mov")
    return false;
  const std::vector<Operand> &ops = d.function.body[at].operands;
  return std::none_of(ops.begin(), ops.end(), [](const Operand &o) { return o.kind == OperandKind::Vector; });
}

void Allocator::keepInFlight() {
  std::vector<uint32_t> products;
  for (uint32_t i = 0; i < p.code.size(); ++i)
    if (p.code[i].fn == execWgmma)
      products.push_back(i);
  if (products.empty())
    return;
  // Registers of products, by the products that have them.
  std::map<uint32_t, std::vector<uint32_t>> holders; // register to indices of products
  auto eachRegister = [&](uint32_t i, auto see) {
    for (uint32_t f = firstFixup[i]; f < firstFixup[i + 1]; ++f)
      if (const Fixup &x = d.fixups[f]; x.kind == Fixup::Register && !isPredicate(x.index))
        see(x);
  };
  for (uint32_t k = 0; k < products.size(); ++k)
    eachRegister(products[k], [&](const Fixup &x) {
      if (x.field == Field::List && (holders[x.index].empty() || holders[x.index].back() != k))
        holders[x.index].push_back(k);
    });

  // What is in flight where.
  std::map<uint32_t, uint32_t> productAt;
  for (uint32_t k = 0; k < products.size(); ++k)
    productAt[products[k]] = k;
  auto step = [&](Flight &state, uint32_t i) {
    const Inst &inst = p.code[i];
    if (inst.fn == execWgmma)
      state[productAt[i]] = 0;
    else if (inst.fn == execWgmmaCommit)
      for (uint8_t &v : state)
        v = v == kNone ? kNone : uint8_t(std::min<int>(v + 1, kMostCommits));
    else if (inst.fn == execWgmmaWait)
      for (uint8_t &v : state)
        v = v != kNone && v > inst.imm ? kNone : v;
  };
  std::vector<Flight> in(graph.size(), Flight(products.size(), kNone));
  std::vector<uint32_t> work;
  for (uint32_t b = 0; b < graph.size(); ++b)
    work.push_back(uint32_t(graph.size()) - 1 - b);
  std::vector<bool> queued(graph.size(), true);
  while (!work.empty()) {
    uint32_t b = work.back();
    work.pop_back();
    queued[b] = false;
    Flight state = in[b];
    for (uint32_t i = graph[b].begin; i < graph[b].end; ++i)
      step(state, i);
    for (uint32_t s : graph[b].successors) {
      bool changed = false;
      for (size_t k = 0; k < state.size(); ++k)
        if (state[k] < in[s][k]) {
          in[s][k] = state[k];
          changed = true;
        }
      if (changed && !queued[s]) {
        queued[s] = true;
        work.push_back(s);
      }
    }
  }
  auto walk = [&](auto see) { // every instruction with what is in flight before it
    for (uint32_t b = 0; b < graph.size(); ++b) {
      Flight state = in[b];
      for (uint32_t i = graph[b].begin; i < graph[b].end; ++i) {
        see(i, state);
        step(state, i);
      }
    }
  };
  auto inFlight = [&](const Flight &state, uint32_t reg) {
    auto it = holders.find(reg);
    return it != holders.end() &&
           std::any_of(it->second.begin(), it->second.end(), [&](uint32_t k) { return state[k] != kNone; });
  };
  // A move of a result in flight makes its destination another place of that result.
  for (bool changed = true; changed;) {
    changed = false;
    walk([&](uint32_t i, const Flight &state) {
      if (p.code[i].fn == execWgmma || !isMove(i))
        return;
      std::vector<uint32_t> from;
      eachRegister(i, [&](const Fixup &x) {
        if (!x.def && inFlight(state, x.index))
          for (uint32_t k : holders[x.index])
            from.push_back(k);
      });
      if (from.empty())
        return;
      eachRegister(i, [&](const Fixup &x) {
        if (!x.def)
          return;
        std::vector<uint32_t> &to = holders[x.index];
        for (uint32_t k : from)
          if (std::find(to.begin(), to.end(), k) == to.end()) {
            to.push_back(k);
            changed = true;
          }
      });
    });
  }
  std::vector<Fixup> kept;
  walk([&](uint32_t i, const Flight &state) {
    const Inst &inst = p.code[i];
    if (inst.fn == execWgmmaWait) {
      for (const auto &[reg, by] : holders)
        if (inFlight(state, reg))
          kept.push_back({Fixup::Register, Field::Flight, false, i, reg});
    } else if (inst.fn != execWgmma) {
      eachRegister(i, [&](const Fixup &x) {
        if (inFlight(state, x.index))
          watchedRegisters[i].insert(x.index);
      });
    }
  });

  // Registers of products that are touched with no fence on the way to the product.
  std::map<uint32_t, uint32_t> number;
  for (const auto &[reg, by] : holders)
    number.emplace(reg, uint32_t(number.size()));
  auto touch = [&](Set &touched, uint32_t i) {
    const Inst &inst = p.code[i];
    if (inst.fn == execWgmmaFence)
      touched.assign(number.size(), false);
    else if (inst.fn != execWgmma && !isMove(i))
      eachRegister(i, [&](const Fixup &x) {
        if (auto it = number.find(x.index); it != number.end())
          touched[it->second] = true;
      });
  };
  std::vector<Set> touchedIn(graph.size(), Set(number.size(), false));
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t b = 0; b < graph.size(); ++b) {
      Set touched = touchedIn[b];
      for (uint32_t i = graph[b].begin; i < graph[b].end; ++i)
        touch(touched, i);
      for (uint32_t s : graph[b].successors)
        for (size_t n = 0; n < touched.size(); ++n)
          if (touched[n] && !touchedIn[s][n])
            changed = touchedIn[s][n] = true;
    }
  }
  std::set<uint32_t> unfenced;
  for (uint32_t b = 0; b < graph.size(); ++b) {
    Set touched = touchedIn[b];
    for (uint32_t i = graph[b].begin; i < graph[b].end; ++i) {
      if (p.code[i].fn == execWgmma)
        eachRegister(i, [&](const Fixup &x) {
          if (x.field == Field::List && touched[number[x.index]])
            unfenced.insert(x.index);
        });
      touch(touched, i);
    }
  }
  for (uint32_t i = 0; !unfenced.empty() && i < p.code.size(); ++i)
    if (p.code[i].fn != execWgmma && !isMove(i))
      eachRegister(i, [&](const Fixup &x) {
        if (unfenced.contains(x.index))
          watchedRegisters[i].insert(x.index);
      });
  for (uint32_t i = 0; i < p.code.size(); ++i)
    if (isMove(i) && watchedRegisters.contains(i)) // both its sides
      eachRegister(i, [&](const Fixup &x) { watchedRegisters[i].insert(x.index); });
  d.fixups.insert(d.fixups.end(), kept.begin(), kept.end());
  index();
}

/// Replaces the handlers of the instructions to be watched.
void Allocator::watch() {
  for (const auto &[i, registers] : watchedRegisters) {
    Inst &inst = p.code[i];
    Watched watched;
    watched.fn = inst.fn;
    watched.move = isMove(i);
    for (uint32_t f = firstFixup[i]; f < firstFixup[i + 1]; ++f)
      if (const Fixup &x = d.fixups[f]; x.kind == Fixup::Register && registers.contains(x.index))
        (x.def ? watched.writes : watched.reads).push_back(offset[x.index]);
    inst.watched = uint32_t(p.watched.size());
    p.watched.push_back(std::move(watched));
    inst.fn = execWatched;
  }
}

} // namespace attune::sim
