//===- ChannelRoles.cpp - roles that meet at rings, played out ------------===//
#include "compiler/transforms/ChannelModel.h"

#include "llvm/ADT/MapVector.h"

#include <map>

using namespace mlir;

namespace attune {

namespace {
/// One tile of a ring.
struct Tile {
  bool filled = false;
  int64_t waits = 0, released = 0; ///< replicas that waited; warps that released
  int64_t expected = 0;            ///< warps that release it, in the end
  Operation *fill = nullptr;
};
} // namespace

LogicalResult playRoles(ArrayRef<RoleTrace> roles, const std::string &context,
                        llvm::DenseMap<Value, int64_t> &releases) {
  llvm::MapVector<Value, std::map<int64_t, Tile>> rings;
  auto depthOf = [](Value ring) { return cast<tile::RingType>(ring.getType()).getDepth(); };
  // A word's slot is used again after a vote at which all roles met; here it is as if each had its own.
  auto isWord = [](const RingEvent &event) { return isa<tile::PutOp, tile::GetOp>(event.op); };

  // A slot's barrier counts the same number of arrivals for every tile.
  for (const RoleTrace &trace : roles)
    for (const RingEvent &event : trace.events) {
      Tile &tile = rings[event.ring][event.index];
      if (isa<tile::ReleaseOp>(event.op))
        tile.expected += int64_t(tile::RoleOp(trace.role).getWarps());
    }
  for (auto &[ring, tiles] : rings)
    for (auto &[index, tile] : tiles) {
      if (tile.expected == 0)
        continue;
      auto [entry, isNew] = releases.try_emplace(ring, tile.expected);
      if (entry->second != tile.expected)
        return ring.getDefiningOp()->emitOpError("expected every tile to be released by as many warps, got ")
               << entry->second << " and " << tile.expected << context;
    }

  std::vector<size_t> next(roles.size(), 0);
  // Whether the event may happen now; an error is a rule that it breaks.
  auto step = [&](const RoleTrace &trace, const RingEvent &event) -> FailureOr<bool> {
    auto &tiles = rings[event.ring];
    Tile &tile = tiles[event.index];
    if (isWord(event)) {
      bool puts = isa<tile::PutOp>(event.op);
      if (puts && tile.filled)
        return event.op->emitOpError("expected word ") << event.index << " to be put once" << context;
      tile.filled |= puts;
      return tile.filled;
    }
    if (isa<tile::FillOp>(event.op)) {
      if (tile.filled)
        return event.op->emitOpError("expected tile ") << event.index << " to be filled once" << context;
      if (int64_t before = event.index - depthOf(event.ring); before >= 0) {
        auto old = tiles.find(before);
        if (old == tiles.end() || !old->second.fill)
          return event.op->emitOpError("expected tile ")
                 << before << " to be filled before tile " << event.index << ", which takes its slot"
                 << context;
        if (old->second.expected == 0)
          return event.op->emitOpError("expected tile ")
                 << before << " to be released before tile " << event.index << " takes its slot" << context;
        if (old->second.released != old->second.expected)
          return false;
      }
      tile.filled = true;
      tile.fill = event.op;
      return true;
    }
    if (isa<tile::WaitOp>(event.op)) {
      if (!tile.filled)
        return false;
      ++tile.waits;
      return true;
    }
    if (tile.waits == 0)
      return event.op->emitOpError("expected tile ")
             << event.index << " to be waited for before it is released" << context;
    tile.released += int64_t(tile::RoleOp(trace.role).getWarps());
    return true;
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t i = 0; i != roles.size(); ++i)
      while (next[i] != roles[i].events.size()) {
        FailureOr<bool> done = step(roles[i], roles[i].events[next[i]]);
        if (failed(done))
          return failure();
        if (!*done)
          break;
        ++next[i];
        moved = true;
      }
  }
  for (size_t i = 0; i != roles.size(); ++i)
    if (next[i] != roles[i].events.size()) {
      const RingEvent &event = roles[i].events[next[i]];
      return event.op->emitOpError("expected a slot that ")
             << (isa<tile::FillOp>(event.op) ? "is emptied" : "is filled") << " in the end, but tile "
             << event.index << " waits for ever" << context;
    }
  // A copy that nobody waits for may land when the CTA is gone; a slot that is not released stays full.
  for (auto &[ring, tiles] : rings)
    for (auto &[index, tile] : tiles) {
      if (isa<tile::WordsType>(ring.getType()))
        continue;
      if (tile.filled && tile.waits == 0)
        return tile.fill->emitOpError("expected tile ") << index << " to be waited for" << context;
      if (releases.lookup(ring) && tile.released == 0)
        return tile.fill->emitOpError("expected tile ") << index << " to be released" << context;
    }
  return mlir::success();
}

} // namespace attune
