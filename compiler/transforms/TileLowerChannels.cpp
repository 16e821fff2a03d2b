//===- TileLowerChannels.cpp - rings become slots and barriers ------------===//
#include "compiler/ir/IrText.h"
#include "compiler/schedule/Naming.h"
#include "compiler/transforms/ChannelModel.h"
#include "compiler/transforms/Passes.h"

#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILELOWERCHANNELS
#include "compiler/transforms/Passes.h.inc"

namespace {
struct TileLowerChannelsPass : impl::TileLowerChannelsBase<TileLowerChannelsPass> {
  void runOnOperation() override {
    tile::KernelOp kernel = getOperation();
    FailureOr<ChannelPlan> plan = getAnalysis<ChannelAnalysis>().plan;
    if (failed(plan))
      return signalPassFailure();
    SmallVector<Operation *> ops;
    SmallVector<tile::RingOp> rings;
    SmallVector<tile::WordsOp> words;
    kernel.walk([&](Operation *op) {
      if (auto ring = dyn_cast<tile::RingOp>(op))
        rings.push_back(ring);
      else if (auto numbers = dyn_cast<tile::WordsOp>(op))
        words.push_back(numbers);
      else
        ops.push_back(op);
    });
    // Waits that follow each other share the last one's wait_group, with the smallest count, and its barrier.
    for (Operation *op : llvm::reverse(ops))
      if (auto wait = dyn_cast<tile::WaitOp>(op);
          wait && wait.getRing().getType().getKind() == tile::RingKind::Copies &&
          sharesBarrierWithPrevious(wait))
        shareWithPrevious(wait, *plan);
    initialiseBarriers(rings, words, *plan);
    for (Operation *op : ops)
      if (failed(lower(op, *plan)))
        return signalPassFailure();
    kernel.walk([](scf::ForOp loop) { carryPlaces(loop); });
    // Rings that TMA fills stay, for their barriers.
    llvm::erase_if(rings, [](tile::RingOp ring) { return ring.getType().getKind() == tile::RingKind::Tma; });
    nameRings(kernel, rings);
    for (tile::RingOp ring : rings)
      ring.erase();
    for (tile::WordsOp numbers : words)
      numbers.erase();
  }

private:
  /// Below this, tiles of shared memory are numbers; a table on the kernel says which ring each number means.
  void nameRings(tile::KernelOp kernel, ArrayRef<tile::RingOp> rings) {
    if (rings.empty())
      return;
    Builder b(&getContext());
    SmallVector<NamedAttribute> table;
    for (size_t i = 0; i != rings.size(); ++i) {
      tile::RingOp ring = rings[i];
      StringRef name = nameOf(ring.getLoc());
      std::string key = name.empty() ? "ring_" + std::to_string(i) : name.str();
      int64_t offset = int64_t(ring.getOffset().value_or(0)),
              bytes = tile::tileBytes(ring.getType().getSlot());
      SmallVector<int64_t> slots;
      for (int64_t slot = 0; slot != ring.getType().getDepth(); ++slot)
        slots.push_back(offset + slot * bytes);
      if (llvm::none_of(table, [&](NamedAttribute entry) { return entry.getName() == key; }))
        table.push_back(b.getNamedAttr(key, b.getDenseI64ArrayAttr(slots)));
    }
    kernel->setDiscardableAttr("rings", b.getDictionaryAttr(table));
  }

  void shareWithPrevious(tile::WaitOp wait, ChannelPlan &plan) {
    Operation *previous = wait->getPrevNode();
    while (!isa<tile::WaitOp>(previous))
      previous = previous->getPrevNode();
    plan.pending[previous] = std::min(pendingOf(previous, plan), pendingOf(wait, plan));
    shared.insert(wait);
  }

  /// A wait that no run reached waits for everything.
  static int64_t pendingOf(Operation *wait, const ChannelPlan &plan) {
    return plan.pending.lookup_or(wait, 0);
  }

  static Value constant(NamingBuilder &b, int64_t value) {
    return b.make<arith::ConstantOp>("", b.getI32IntegerAttr(int32_t(value)));
  }

  /// `start` + (`index` mod depth) * `bytes`.
  static Value inSlot(NamingBuilder &b, int64_t depth, Value index, Value start, int64_t bytes) {
    if (depth == 1)
      return start;
    Value slot = llvm::isPowerOf2_64(uint64_t(depth))
                     ? Value(b.make<arith::AndIOp>("slot", index, constant(b, depth - 1)))
                     : Value(b.make<arith::RemUIOp>("slot", index, constant(b, depth)));
    return b.make<arith::AddIOp>("", start, b.make<arith::MulIOp>("", slot, constant(b, bytes)));
  }

  /// The tile in slot `index` mod depth of a ring.
  Value slotTile(NamingBuilder &b, tile::RingOp ring, Value index) {
    tile::RingType type = ring.getType();
    // The offset keeps the ring's name.
    Value start =
        arith::ConstantOp::create(b, ring.getLoc(), b.getI32IntegerAttr(int32_t(*ring.getOffset())));
    return tile::SmemTileOp::create(
        b, b.unnamed(), type.getSlot(),
        inSlot(b, type.getDepth(), index, start, tile::tileBytes(type.getSlot())));
  }

  static Value placeOf(NamingBuilder &b, tile::RingOp ring, Value index) {
    return b.make<tile::PlaceOp>("place", tile::PlaceType::get(b.getContext(), ring.getType().getDepth()),
                                 index);
  }

  /// The parity of the phase in which slot `index` mod `depth` holds tile `index`.
  static Value slotParity(NamingBuilder &b, int64_t depth, Value index) {
    Value round = index;
    if (depth > 1)
      round = b.make<arith::DivUIOp>("", index, constant(b, depth));
    return b.make<arith::AndIOp>("parity", round, constant(b, 1));
  }

  /// The barriers of all rings of kind tma and of all words, before anything else happens. An empty slot was
  /// never filled before its first tile: that phase counts as ended.
  static void initialiseBarriers(ArrayRef<tile::RingOp> rings, ArrayRef<tile::WordsOp> words,
                                 const ChannelPlan &plan) {
    SmallVector<int64_t> offsets, counts;
    Operation *last = nullptr;
    for (tile::RingOp ring : rings) {
      if (ring.getType().getKind() != tile::RingKind::Tma)
        continue;
      int64_t depth = ring.getType().getDepth(), releases = plan.releases.lookup(ring.getResult());
      ring.setReleases(uint64_t(releases));
      for (int64_t i = 0; i != (releases ? 2 : 1) * depth; ++i) {
        offsets.push_back(int64_t(*ring.getBarriers()) + 8 * i);
        counts.push_back(i < depth ? 1 : releases);
      }
      last = ring;
    }
    for (tile::WordsOp numbers : words) {
      for (int64_t i = 0; i != numbers.getType().getDepth(); ++i) {
        offsets.push_back(int64_t(*numbers.getBarriers()) + 8 * i);
        counts.push_back(1);
      }
      if (!last || last->isBeforeInBlock(numbers))
        last = numbers;
    }
    if (!last)
      return;
    OpBuilder b(last->getContext());
    b.setInsertionPointAfter(last);
    tile::BarrierInitOp::create(b, last->getLoc(), offsets, counts);
  }

  static void lowerFill(tile::FillOp fill, tile::RingOp ring) {
    NamingBuilder b(OpBuilder(fill), fill.getLoc());
    Value place = placeOf(b, ring, fill.getIndex());
    b.make<tile::SlotAcquireOp>("", ring, place);
    b.make<tile::TmaLoadOp>("", fill.getMap(), fill.getRow(), fill.getHead(), fill.getBatch(), ring, place);
  }

  /// `index` of a loop's body as a number that the loop does not change (null: 0), the loop's counter, and a
  /// constant.
  struct Walk {
    Value start;
    int64_t ahead;
  };
  static std::optional<Walk> walkOf(Value index, scf::ForOp loop) {
    if (index == loop.getInductionVar())
      return Walk{Value(), 0};
    Operation *op = index.getDefiningOp();
    if (!isa_and_nonnull<arith::AddIOp, arith::SubIOp>(op))
      return std::nullopt;
    bool adds = isa<arith::AddIOp>(op);
    for (unsigned i : {0u, 1u}) {
      std::optional<Walk> walk = walkOf(op->getOperand(i), loop);
      Value other = op->getOperand(1 - i);
      APInt number;
      if (!walk || (i == 1 && !adds))
        continue;
      if (matchPattern(other, m_ConstantInt(&number)))
        walk->ahead += adds ? number.getSExtValue() : -number.getSExtValue();
      else if (adds && !walk->start && loop.isDefinedOutsideOfLoop(other))
        walk->start = other;
      else
        continue;
      return walk;
    }
    return std::nullopt;
  }

  /// Where a loop goes through a ring tile by tile, it carries the place instead of dividing for it. Of
  /// places one tile apart, that behind is what that ahead was an iteration before.
  static void carryPlaces(scf::ForOp loop) {
    APInt step;
    if (!matchPattern(loop.getStep(), m_ConstantInt(&step)) || !step.isOne())
      return;
    struct Cursor {
      Walk walk;
      tile::PlaceType type;
      SmallVector<tile::PlaceOp> ops;
    };
    SmallVector<Cursor> cursors;
    for (auto place : loop.getBody()->getOps<tile::PlaceOp>()) {
      std::optional<Walk> walk = walkOf(place.getIndex(), loop);
      if (!walk)
        continue;
      auto same = llvm::find_if(cursors, [&](const Cursor &cursor) {
        return cursor.walk.start == walk->start && cursor.walk.ahead == walk->ahead &&
               cursor.type == place.getType();
      });
      if (same == cursors.end())
        same = &cursors.emplace_back(Cursor{*walk, place.getType(), {}});
      same->ops.push_back(place);
    }
    if (cursors.empty())
      return;
    Location where = loop.getLoc();
    if (auto name = dyn_cast<NameLoc>(where))
      where = name.getChildLoc();
    NamingBuilder before(OpBuilder(loop), where);
    SmallVector<Value> inits;
    for (const Cursor &cursor : cursors) {
      Value first = before.make<arith::AddIOp>("", loop.getLowerBound(), constant(before, cursor.walk.ahead));
      if (cursor.walk.start)
        first = before.make<arith::AddIOp>("", cursor.walk.start, first);
      inits.push_back(before.make<tile::PlaceOp>("", cursor.type, first));
    }
    auto yields = [&](OpBuilder &builder, Location, ArrayRef<BlockArgument> arguments) {
      NamingBuilder b(builder, where);
      SmallVector<Value> next;
      for (size_t i = 0; i != cursors.size(); ++i) {
        const Cursor &cursor = cursors[i];
        BlockArgument argument = arguments[i];
        argument.setLoc(b.named("place"));
        Value ahead;
        for (auto [other, candidate] : llvm::zip(cursors, arguments))
          if (other.walk.start == cursor.walk.start && other.walk.ahead == cursor.walk.ahead + 1 &&
              other.type == cursor.type)
            ahead = candidate;
        next.push_back(ahead ? ahead : Value(b.make<tile::NextPlaceOp>("", cursor.type, argument)));
        if (ahead)
          argument.setLoc(b.named("place_before"));
        for (tile::PlaceOp place : cursor.ops) {
          place.getResult().replaceAllUsesWith(argument);
          place.erase();
        }
      }
      return next;
    };
    SmallVector<Location> names;
    for (BlockArgument argument : loop.getBody()->getArguments())
      names.push_back(argument.getLoc());
    DictionaryAttr notes = loop->getDiscardableAttrDictionary();
    IRRewriter rewriter(loop.getContext());
    rewriter.setInsertionPoint(loop);
    auto carrying =
        loop.replaceWithAdditionalYields(rewriter, inits, /*replaceInitOperandUsesInLoop=*/false, yields);
    auto made = cast<scf::ForOp>(carrying->getOperation());
    made->setDiscardableAttrs(notes);
    for (auto [argument, name] : llvm::zip(made.getBody()->getArguments(), names))
      argument.setLoc(name);
  }

  /// The barrier of word `index`, and where it lies.
  static std::pair<Value, Value> wordAt(NamingBuilder &b, tile::WordsOp words, Value index) {
    int64_t depth = words.getType().getDepth();
    return {inSlot(b, depth, index, constant(b, int64_t(*words.getBarriers())), 8),
            inSlot(b, depth, index, constant(b, int64_t(*words.getOffset())), 4)};
  }

  LogicalResult lower(Operation *op, const ChannelPlan &plan) {
    NamingBuilder b(OpBuilder(op), op->getLoc());
    auto ringOf = [&](Value ring) -> tile::RingOp {
      auto definition = ring.getDefiningOp<tile::RingOp>();
      if (!definition || !definition.getOffset()) {
        op->emitOpError("expected a ring that tile-allocate-smem has placed");
        return {};
      }
      return definition;
    };
    if (auto acquire = dyn_cast<tile::AcquireOp>(op)) {
      tile::RingOp ring = ringOf(acquire.getRing());
      if (!ring)
        return failure();
      if (plan.barrierBefore.contains(op) || !plan.reached.contains(op))
        gpu::BarrierOp::create(b, op->getLoc());
      acquire.getTile().replaceAllUsesWith(slotTile(b, ring, acquire.getIndex()));
    } else if (auto wait = dyn_cast<tile::WaitOp>(op)) {
      tile::RingOp ring = ringOf(wait.getRing());
      if (!ring)
        return failure();
      if (ring.getType().getKind() == tile::RingKind::Tma) {
        wait.getTile().replaceAllUsesWith(Value(tile::SlotWaitOp::create(
            b, op->getLoc(), wait.getTile().getType(), ring, placeOf(b, ring, wait.getIndex()))));
      } else {
        if (!shared.contains(op)) {
          tile::WaitGroupOp::create(b, op->getLoc(), pendingOf(op, plan));
          gpu::BarrierOp::create(b, op->getLoc());
        }
        wait.getTile().replaceAllUsesWith(slotTile(b, ring, wait.getIndex()));
      }
    } else if (isa<tile::CommitOp>(op)) {
      tile::CommitGroupOp::create(b, op->getLoc());
    } else if (auto reuse = dyn_cast<tile::ReuseSmemOp>(op)) {
      gpu::BarrierOp::create(b, op->getLoc());
      Value start = b.make<arith::ConstantOp>("", b.getI32IntegerAttr(0));
      reuse.getTile().replaceAllUsesWith(
          Value(tile::SmemTileOp::create(b, op->getLoc(), reuse.getTile().getType(), start)));
    } else if (auto fill = dyn_cast<tile::FillOp>(op)) {
      tile::RingOp ring = ringOf(fill.getRing());
      if (!ring)
        return failure();
      lowerFill(fill, ring);
    } else if (auto release = dyn_cast<tile::ReleaseOp>(op)) {
      tile::RingOp ring = ringOf(release.getRing());
      if (!ring)
        return failure();
      if (ring.getType().getKind() == tile::RingKind::Tma)
        b.make<tile::SlotReleaseOp>("", ring, placeOf(b, ring, release.getIndex()));
    } else if (auto put = dyn_cast<tile::PutOp>(op)) {
      auto [barrier, place] = wordAt(b, put.getWords().getDefiningOp<tile::WordsOp>(), put.getIndex());
      b.make<tile::StoreWordOp>("", put.getValue(), place);
      b.make<tile::BarrierArriveOp>("", barrier);
    } else if (auto get = dyn_cast<tile::GetOp>(op)) {
      auto words = get.getWords().getDefiningOp<tile::WordsOp>();
      auto [barrier, place] = wordAt(b, words, get.getIndex());
      b.make<tile::BarrierWaitOp>("", barrier, slotParity(b, words.getType().getDepth(), get.getIndex()));
      get.getResult().replaceAllUsesWith(
          Value(tile::LoadWordOp::create(b, get.getLoc(), b.getI32Type(), place)));
    } else {
      return mlir::success();
    }
    op->erase();
    return mlir::success();
  }

  DenseSet<Operation *> shared; ///< waits whose wait_group and barrier are those of a wait before them
};
} // namespace
} // namespace attune
