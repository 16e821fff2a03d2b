//===- Memory.cpp - arrays, rings and what crosses between them -----------===//
#include "compiler/dialect/Elements.h"
#include "runtime/reference/Float16.h"
#include "tests/oracle/Strand.h"

#include "llvm/ADT/TypeSwitch.h"

#include <atomic>
#include <cstring>

#include <fmt/format.h>

using namespace mlir;

namespace attune::oracle {

std::optional<MatrixView> Strand::viewOf(const BoundArray &array, ArrayRef<int64_t> indices,
                                         int64_t rows) const {
  MatrixView view{&array};
  for (auto [axis, index] : llvm::enumerate(indices)) {
    if (index < 0 || index >= array.extents[axis])
      return std::nullopt;
    view.start += index * array.strides[axis];
  }
  // What follows the indices is rows of elements, or rows of one element each.
  size_t axis = indices.size(), left = array.extents.size() - axis;
  view.rowsOfArray = array.extents[axis];
  view.rows = rows < 0 ? view.rowsOfArray : rows;
  view.stride = array.strides[axis];
  view.cols = left == 2 ? array.extents[axis + 1] : 1;
  return view;
}

/// An element as the word that it becomes: what is narrow is widened.
static uint32_t wordOf(DType type, const char *element) {
  auto load = [&](auto value) {
    std::memcpy(&value, element, sizeof value);
    return value;
  };
  switch (infoOf(type).bytes()) {
  case 1:
    return load(uint8_t());
  case 2:
    return wordOf(reference::toFloat(type, load(uint16_t())));
  default:
    return load(uint32_t());
  }
}

Strand::Next Strand::loadValues(tile::LoadValueOp load) {
  const BoundArray &array = *get<const BoundArray *>(load.getArray());
  std::vector<std::vector<uint32_t>> indices;
  for (Value index : load.getIndices())
    indices.push_back(expanded(index));
  auto shaped = dyn_cast<RankedTensorType>(load.getType());
  std::vector<uint32_t> loaded(shaped ? indices.front().size() : 1);
  int64_t bytes = infoOf(array.argument->type).bytes();
  for (size_t i = 0; i != loaded.size(); ++i) {
    int64_t place = 0;
    for (size_t axis = 0; axis != indices.size(); ++axis) {
      int64_t index = int32_t(indices[axis][i]);
      if (index < 0 || index >= array.extents[axis] || !array.data)
        return fail(load, "has an index that the array has not");
      place += index * array.strides[axis];
    }
    loaded[i] = wordOf(array.argument->type, array.data + place * bytes);
  }
  if (!shaped)
    return give(load.getResult(), Words(loaded[0]));
  return give(load.getResult(), Words(shaped.getRank() == 1 ? Words::Rows : Words::Tile, std::move(loaded)));
}

uint32_t *Strand::entryOf(Value workspace, int64_t index) const {
  const BoundArray &array = *get<const BoundArray *>(workspace);
  return index < 0 || index >= array.extents[0] ? nullptr : reinterpret_cast<uint32_t *>(array.data) + index;
}

Strand::Next Strand::scan(Operation *op, Region &region, int64_t begin, int64_t end) {
  Block &body = region.front();
  bool isLast = isa<tile::LastBlockOp>(op), isLeast = isa<tile::LeastOp>(op);
  std::vector<uint32_t> counts(op->getNumResults());
  int64_t answer = isLast ? begin - 1 : isLeast ? INT32_MAX : isa<tile::LargestOp>(op) ? INT32_MIN : 0;
  for (int64_t i = begin; i < end; ++i) {
    values[body.getArgument(0)] = Words(uint32_t(int32_t(i)));
    for (Operation &inner : body.without_terminator())
      if (Next next = step(&inner); next != Next::Following)
        return next;
    if (isa<tile::CountBlocksOp>(op)) {
      for (auto [count, holds] : llvm::zip(counts, body.getTerminator()->getOperands()))
        count += whole(holds) != 0;
      continue;
    }
    int64_t made = whole(body.getTerminator()->getOperand(0));
    if (isLast)
      answer = made ? i : answer;
    else
      answer = isLeast ? std::min(answer, made) : std::max(answer, made);
  }
  if (!isa<tile::CountBlocksOp>(op))
    return give(op->getResult(0), Words(uint32_t(int32_t(answer))));
  for (auto [result, count] : llvm::zip(op->getResults(), counts))
    give(result, Words(count));
  return Next::Following;
}

Strand::Next Strand::memory(Operation *op) {
  Value result = op->getNumResults() ? op->getResult(0) : Value();
  auto indices = [&](ValueRange range) {
    llvm::SmallVector<int64_t> numbers;
    for (Value value : range)
      numbers.push_back(whole(value));
    return numbers;
  };
  auto newTile = [&](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    return std::make_shared<SharedTile>(*elementOf(tensor.getElementType()), tensor.getDimSize(0),
                                        tensor.getDimSize(1));
  };
  return llvm::TypeSwitch<Operation *, Next>(op)
      .Case([&](gpu::BlockIdOp id) { return give(result, Words(facts.index[size_t(id.getDimension())])); })
      .Case([&](gpu::GridDimOp dim) { return give(result, Words(facts.grid[size_t(dim.getDimension())])); })
      .Case([&](tile::ReplicaOp) { return give(result, Words(replica)); })
      .Case([&](tile::AttemptOp) { return give(result, Words(facts.attempt)); })
      .Case([&](tile::UniformOp same) { return give(result, words(same.getValue())); })
      .Case([&](tile::RetryOp retry) {
        std::vector<uint32_t> condition = expanded(retry.getCondition());
        bool again = std::any_of(condition.begin(), condition.end(), [](uint32_t bit) { return bit != 0; });
        if (!again || !whole(retry.getAllowed()))
          return Next::Following;
        following = uint32_t(whole(retry.getNext()));
        return Next::Again;
      })
      .Case([&](tile::ViewOp view) {
        auto made = viewOf(*get<const BoundArray *>(view.getArray()), indices(view.getIndices()),
                           whole(view.getRows()));
        return made ? give(result, *made) : fail(op, "has an index that the array has not");
      })
      .Case([&](tile::LoadValueOp load) { return loadValues(load); })
      .Case([&](tile::LoadEntryOp load) {
        uint32_t *entry = entryOf(load.getWorkspace(), whole(load.getIndex()));
        return entry ? give(result, Words(*entry)) : fail(op, "has an index that the workspace has not");
      })
      .Case([&](tile::StoreEntryOp store) {
        uint32_t *entry = entryOf(store.getWorkspace(), whole(store.getIndex()));
        if (!entry)
          return fail(op, "has an index that the workspace has not");
        *entry = words(store.getValue())[0];
        return Next::Following;
      })
      .Case([&](tile::CountBlocksOp one) {
        return scan(op, one.getBody(), whole(one.getBegin()), whole(one.getEnd()));
      })
      .Case([&](tile::LastBlockOp one) {
        return scan(op, one.getBody(), whole(one.getBegin()), whole(one.getEnd()));
      })
      .Case([&](tile::LeastOp one) {
        return scan(op, one.getBody(), whole(one.getBegin()), whole(one.getEnd()));
      })
      .Case([&](tile::LargestOp one) {
        return scan(op, one.getBody(), whole(one.getBegin()), whole(one.getEnd()));
      })
      .Case([&](tile::RingOp ring) {
        auto type = cast<tile::RingType>(result.getType());
        auto made = std::make_shared<Ring>();
        made->depth = type.getDepth();
        return give(result, made);
      })
      .Case([&](tile::AcquireOp acquire) {
        auto tile = newTile(result.getType());
        Next next =
            place(op, *get<std::shared_ptr<Ring>>(acquire.getRing()), whole(acquire.getIndex()), tile);
        return next == Next::Following ? give(result, tile) : next;
      })
      .Case([&](tile::AsyncCopyOp copying) {
        if (copying.getCondition() && !whole(copying.getCondition()))
          return Next::Following;
        return copy(op, get<MatrixView>(copying.getView()), whole(copying.getRow()),
                    *tileOf(copying.getTile()), copying.getBounded());
      })
      .Case([&](tile::CommitOp commit) {
        Ring &ring = *get<std::shared_ptr<Ring>>(commit.getRing());
        auto found = ring.tiles.find(whole(commit.getIndex()));
        if (found == ring.tiles.end())
          return fail(op, "names a tile that nobody acquired");
        found->second->ready = true;
        return Next::Following;
      })
      .Case([&](tile::FillOp fill) {
        Ring &ring = *get<std::shared_ptr<Ring>>(fill.getRing());
        auto tile = newTile(cast<tile::RingType>(fill.getRing().getType()).getSlot());
        Next next = place(op, ring, whole(fill.getIndex()), tile);
        if (next != Next::Following)
          return next;
        auto view =
            viewOf(*get<const BoundArray *>(fill.getMap()), {whole(fill.getBatch()), whole(fill.getHead())},
                   /*rows=*/-1);
        if (!view)
          return fail(op, "has an index that the array has not");
        tile->ready = true;
        return copy(op, *view, whole(fill.getRow()), *tile, /*bounded=*/true);
      })
      .Case([&](tile::WaitOp wait) {
        Ring &ring = *get<std::shared_ptr<Ring>>(wait.getRing());
        auto found = ring.tiles.find(whole(wait.getIndex()));
        if (found == ring.tiles.end() || !found->second->ready)
          return Next::Stay;
        if (!found->second->written)
          return fail(op, "waits for a tile that nobody filled");
        ++found->second->waited;
        return give(result, found->second);
      })
      .Case([&](tile::ReleaseOp release) {
        Ring &ring = *get<std::shared_ptr<Ring>>(release.getRing());
        auto found = ring.tiles.find(whole(release.getIndex()));
        if (found == ring.tiles.end())
          return fail(op, "gives back a tile that is not there");
        ++found->second->released;
        return Next::Following;
      })
      .Case<tile::ReuseSmemOp, tile::ReuseTileOp>(
          [&](auto) { return give(result, newTile(result.getType())); })
      .Case<tile::StoreOp, tile::StoreRowsOp>(
          [&](auto to) { return store(op, get<MatrixView>(to.getView()), to.getRow()); })
      .Case([&](tile::TmaStoreOp to) {
        auto view = viewOf(*get<const BoundArray *>(to.getMap()), {whole(to.getBatch()), whole(to.getHead())},
                           /*rows=*/-1);
        return view ? store(op, *view, to.getRow()) : fail(op, "has an index that the array has not");
      })
      // Order only: whatever it is, the values are these.
      .Case<tile::StoreWaitOp, tile::TurnWaitOp, tile::TurnPassOp>([&](auto) { return Next::Following; })
      .Case([&](tile::VoteOp one) { return vote(one); })
      .Case([&](tile::DrawOp draw) {
        auto *counter = reinterpret_cast<uint32_t *>(get<const BoundArray *>(draw.getCounter())->data);
        return give(result, Words(std::atomic_ref(*counter).fetch_add(1)));
      })
      .Case([&](tile::WordsOp) { return give(result, std::make_shared<NumberRing>()); })
      .Case([&](tile::PutOp put) {
        get<std::shared_ptr<NumberRing>>(put.getWords())->numbers[whole(put.getIndex())] =
            words(put.getValue())[0];
        return Next::Following;
      })
      .Case([&](tile::GetOp from) {
        auto &numbers = get<std::shared_ptr<NumberRing>>(from.getWords())->numbers;
        auto found = numbers.find(whole(from.getIndex()));
        return found == numbers.end() ? Next::Stay : give(result, Words(found->second));
      })
      .Default([&](Operation *) { return compute(op); });
}

/// The last strand to vote ends the round.
Strand::Next Strand::vote(tile::VoteOp vote) {
  Meeting &meeting = *facts.meeting;
  if (!votedIn) {
    votedIn = meeting.round;
    for (uint32_t ofWarp : expanded(vote.getBits()))
      meeting.bits |= ofWarp;
    if (++meeting.arrived == meeting.voters) {
      meeting.result = meeting.bits;
      meeting.bits = 0;
      meeting.arrived = 0;
      ++meeting.round;
    }
  }
  if (meeting.round == *votedIn)
    return Next::Stay;
  votedIn.reset();
  return give(vote.getResult(), Words(meeting.result));
}

/// Puts `tile` into the slot for tile `index`, once what is in there was given back.
Strand::Next Strand::place(Operation *op, Ring &ring, int64_t index, std::shared_ptr<SharedTile> &tile) {
  if (ring.tiles.count(index))
    return fail(op, fmt::format("fills tile {} once more", index));
  auto before = ring.tiles.find(index - ring.depth);
  if (before != ring.tiles.end()) {
    SharedTile &old = *before->second;
    if (old.waited == 0 || old.released < old.waited)
      return Next::Stay;
    old.gone = true;
    ring.tiles.erase(before);
  }
  ring.tiles[index] = tile;
  return Next::Following;
}

/// Rows `row`... of a matrix; what it lacks is zeros.
Strand::Next Strand::copy(Operation *op, const MatrixView &view, int64_t row, SharedTile &tile,
                          bool bounded) {
  if (tile.gone)
    return fail(op, "writes a tile whose slot holds another one");
  if (!view.array->data)
    return fail(op, "reads an array that is absent");
  tile.written = true;
  tile.changed();
  auto *from = reinterpret_cast<const uint16_t *>(view.array->data) + view.start;
  int64_t cols = std::min(tile.cols, view.cols);
  for (int64_t r = 0; r != tile.rows; ++r) {
    uint16_t *to = tile.bits.data() + r * tile.cols;
    std::fill_n(to, tile.cols, 0);
    bool exists = row + r >= 0 && row + r < view.rows;
    if (!exists && !bounded)
      return fail(op, fmt::format("is not bounded and reads row {} of {}", row + r, view.rows));
    if (!exists)
      continue;
    if (row + r >= view.rowsOfArray)
      return fail(op, fmt::format("reads row {} of an array of {}", row + r, view.rowsOfArray));
    std::copy_n(from + (row + r) * view.stride, cols, to);
  }
  return Next::Following;
}

/// The rows that the view has.
Strand::Next Strand::store(Operation *op, const MatrixView &view, Value firstRow) {
  Value value = op->getOperand(0);
  auto type = cast<RankedTensorType>(value.getType());
  bool tile = type.getRank() == 2;
  if (!view.array->data)
    return fail(op, "writes an array that is absent");
  std::vector<uint32_t> from = expanded(value);
  int64_t first = whole(firstRow), each = tile ? type.getDimSize(1) : partsOfRow;
  for (int64_t r = 0; r != type.getDimSize(0); ++r) {
    int64_t row = first + r;
    if (row < 0 || row >= view.rows)
      continue;
    if (row >= view.rowsOfArray)
      return fail(op, fmt::format("writes row {} of an array of {}", row, view.rowsOfArray));
    int64_t start = view.start + row * view.stride;
    const uint32_t *words = from.data() + r * each;
    if (!tile) { // threads of a row hold the same value
      reinterpret_cast<uint32_t *>(view.array->data)[start] = *words;
      continue;
    }
    auto *to = reinterpret_cast<uint16_t *>(view.array->data) + start;
    for (int64_t c = 0; c != std::min(each, view.cols); ++c)
      to[c] = reference::fromFloat(view.array->argument->type, std::bit_cast<float>(words[c]));
  }
  return Next::Following;
}

} // namespace attune::oracle
