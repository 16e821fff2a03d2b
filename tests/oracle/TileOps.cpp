//===- TileOps.cpp - what operations on tiles and rows compute ------------===//
#include "compiler/dialect/Elements.h"
#include "runtime/reference/Float16.h"
#include "tests/oracle/Strand.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace attune::oracle {

#pragma STDC FP_CONTRACT OFF

static constexpr float infinity = std::numeric_limits<float>::infinity();

const reference::DecodedMatrix &SharedTile::decoded(bool transpose) const {
  std::unique_ptr<reference::DecodedMatrix> &known = transpose ? transposed : plain;
  if (known)
    return *known;
  known = std::make_unique<reference::DecodedMatrix>(type, transpose ? cols : rows, transpose ? rows : cols);
  for (int64_t r = 0; r != rows; ++r)
    for (int64_t c = 0; c != cols; ++c)
      if (uint16_t element = bits[size_t(r * cols + c)])
        transpose ? known->set(c, r, element) : known->set(r, c, element);
  return *known;
}

Strand::Next Strand::compute(Operation *op) {
  Value result = op->getNumResults() ? op->getResult(0) : Value();
  return llvm::TypeSwitch<Operation *, Next>(op)
      .Case([&](tensor::SplatOp splat) {
        const Words &scalar = words(splat.getInput());
        if (scalar.spread() == Words::One)
          return give(result, scalar);
        auto spread = cast<RankedTensorType>(result.getType()).getRank() == 1 ? Words::Rows : Words::Tile;
        return give(result, Words(spread, scalar.expanded(result.getType(), warps)));
      })
      .Case([&](tile::DotOp dot) {
        return product(dot, dot.getA(), dot.getB(), dot.getTransposed(), dot.getC());
      })
      .Case([&](tile::DotIssueOp dot) {
        return product(dot, dot.getA(), dot.getB(), dot.getTransposed(), dot.getC());
      })
      .Case([&](tile::DotWaitOp wait) { return give(result, words(wait.getValue())); })
      .Case([&](tile::LoadOperandOp load) {
        SharedTile *tile = tileOf(load.getTile());
        if (!tile->written || tile->gone)
          return fail(op, "reads a tile that is not there");
        return give(result, Words(Words::Tile, {tile->bits.begin(), tile->bits.end()}));
      })
      .Case([&](tile::ToAOpOp round) {
        DType type = *elementOf(cast<RankedTensorType>(result.getType()).getElementType());
        std::vector<uint32_t> bits = expanded(round.getValue());
        for (uint32_t &word : bits)
          word = reference::fromFloat(type, std::bit_cast<float>(word));
        return give(result, Words(Words::Tile, std::move(bits)));
      })
      .Case([&](tile::RowReduceOp reduce) {
        Words parts = reduced(reduce.getValue(), reduce.getInit(), reduce.getKind());
        return give(result,
                    reduce.getPartial() ? parts : combined(parts, result.getType(), reduce.getKind()));
      })
      .Case([&](tile::RowCombineOp combine) {
        return give(result, combined(words(combine.getValue()), result.getType(), combine.getKind()));
      })
      .Case([&](tile::RowBroadcastOp broadcast) {
        const Words &rows = words(broadcast.getValue());
        if (rows.spread() == Words::One)
          return give(result, rows);
        auto shape = cast<RankedTensorType>(result.getType()).getShape();
        std::vector<uint32_t> tile(size_t(shape[0] * shape[1]));
        for (int64_t i = 0; i != shape[0] * shape[1]; ++i)
          tile[size_t(i)] = rows[size_t(i / shape[1] * partsOfRow + partOfColumn(i % shape[1]))];
        return give(result, Words(Words::Tile, std::move(tile)));
      })
      .Case([&](tile::RowIndexOp) {
        std::vector<uint32_t> rows(
            size_t(cast<RankedTensorType>(result.getType()).getDimSize(0) * partsOfRow));
        for (size_t i = 0; i != rows.size(); ++i)
          rows[i] = uint32_t(i / partsOfRow);
        return give(result, Words(Words::Rows, std::move(rows)));
      })
      .Case([&](tile::ColumnIndexOp) {
        auto shape = cast<RankedTensorType>(result.getType()).getShape();
        std::vector<uint32_t> tile(size_t(shape[0] * shape[1]));
        for (size_t i = 0; i != tile.size(); ++i)
          tile[i] = uint32_t(i % size_t(shape[1]));
        return give(result, Words(Words::Tile, std::move(tile)));
      })
      .Case([&](tile::FirstColumnOp) {
        std::vector<uint32_t> columns(
            size_t(cast<RankedTensorType>(result.getType()).getDimSize(0) * partsOfRow));
        for (size_t i = 0; i != columns.size(); ++i)
          columns[i] = uint32_t(i % partsOfRow * 2);
        return give(result, Words(Words::Rows, std::move(columns)));
      })
      .Case([&](tile::RampOp ramp) {
        const Words &rows = words(ramp.getValue());
        float step = words(ramp.getStep()).f32(0);
        auto shape = cast<RankedTensorType>(result.getType()).getShape();
        std::vector<uint32_t> tile(size_t(shape[0] * shape[1]));
        for (int64_t i = 0; i != shape[0] * shape[1]; ++i) {
          int64_t column = i % shape[1], part = partOfColumn(column), beyond = column - part * 2;
          size_t row = size_t(i / shape[1] * partsOfRow + part);
          tile[size_t(i)] =
              beyond == 0 ? rows[row] : wordOf(canonical(std::fma(step, float(beyond), rows.f32(row))));
        }
        return give(result, Words(Words::Tile, std::move(tile)));
      })
      .Case([&](tile::KeepColumnsOp keep) { return give(result, kept(keep)); })
      .Case([&](tile::TakeNonfiniteOp take) { return give(result, nonfinite(take)); })
      .Case([&](tile::WarpAnyOp any) {
        std::vector<uint32_t> condition = expanded(any.getCondition()), ofWarps(size_t(warps), 0);
        for (size_t i = 0; i != condition.size(); ++i)
          ofWarps[size_t(warpOfRow(int64_t(i) / partsOfRow, warps))] |= condition[i];
        return give(result, Words::ofWarps(std::move(ofWarps)));
      })
      .Default([&](Operation *) { return fail(op, "has no meaning here"); });
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Strand::Next Strand::product(Operation *op, Value a, Value b, bool transposed, Value c) {
  Value result = op->getResult(0);
  auto shape = cast<RankedTensorType>(result.getType()).getShape();
  auto aType = cast<RankedTensorType>(a.getType());
  int64_t rows = shape[0], columns = shape[1], depth = aType.getDimSize(1);
  SharedTile *right = tileOf(b), *left = isa<tile::SmemAttr>(aType.getEncoding()) ? tileOf(a) : nullptr;
  for (SharedTile *tile : {left, right})
    if (tile && (!tile->written || tile->gone))
      return fail(op, "reads a tile that is not there");
  const reference::DecodedMatrix &factor = right->decoded(transposed);
  std::vector<uint32_t> factors =
      left ? std::vector<uint32_t>(left->bits.begin(), left->bits.end()) : expanded(a);
  const std::vector<uint32_t> addend = c ? expanded(c) : std::vector<uint32_t>(size_t(rows * columns), 0);
  std::vector<float> sums(addend.size());
  reference::DecodedMatrix one(*elementOf(aType.getElementType()), 1, depth);
  for (int64_t row = 0; row != rows; ++row) {
    const uint32_t *x = factors.data() + row * depth, *y = addend.data() + row * columns;
    float *sum = sums.data() + row * columns;
    // Rows alike have products alike, and zeros give zeros, unless there is a NaN or an infinity to meet.
    if (row > 0 && std::equal(x, x + depth, x - depth) && std::equal(y, y + columns, y - columns)) {
      std::copy_n(sum - columns, columns, sum);
      continue;
    }
    auto isZero = [](uint32_t word) { return word == 0; };
    if (factor.finite() && std::all_of(x, x + depth, isZero) && std::all_of(y, y + columns, isZero))
      continue;
    one.clear();
    for (int64_t k = 0; k != depth; ++k)
      one.set(0, k, uint16_t(x[k]));
    std::transform(y, y + columns, sum, [](uint32_t word) { return std::bit_cast<float>(word); });
    reference::exactMatmulRow(one, 0, factor, depth, sum, columns, facts.rule);
  }
  std::vector<uint32_t> bits(sums.size());
  std::transform(sums.begin(), sums.end(), bits.begin(), wordOf);
  return give(result, Words(Words::Tile, std::move(bits)));
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

static float together(tile::Reduction kind, float a, float b) {
  return kind == tile::Reduction::Max ? maxOf(a, b) : canonical(a + b);
}

/// The part of each row that each of its threads owns, in ascending column order, upon its part of `init`.
Words Strand::reduced(Value value, Value init, tile::Reduction kind) const {
  auto shape = cast<RankedTensorType>(value.getType()).getShape();
  std::vector<uint32_t> tile = expanded(value), parts = expanded(init);
  for (int64_t row = 0; row != shape[0]; ++row) {
    const uint32_t *x = tile.data() + row * shape[1];
    float part[partsOfRow];
    uint32_t *result = parts.data() + row * partsOfRow;
    std::transform(result, result + partsOfRow, part,
                   [](uint32_t word) { return std::bit_cast<float>(word); });
    for (int64_t column = 0; column != shape[1]; ++column) {
      float &mine = part[partOfColumn(column)];
      mine = together(kind, mine, std::bit_cast<float>(x[column]));
    }
    std::transform(part, part + partsOfRow, result, wordOf);
  }
  return Words(Words::Rows, std::move(parts));
}

/// Neighbours first, then pairs: the same for all threads of a row, whichever is first.
Words Strand::combined(const Words &rows, Type type, tile::Reduction kind) const {
  std::vector<uint32_t> parts = rows.expanded(type, warps);
  for (size_t row = 0; row != parts.size(); row += partsOfRow) {
    auto part = [&](size_t i) { return std::bit_cast<float>(parts[row + i]); };
    float whole = together(kind, together(kind, part(0), part(1)), together(kind, part(2), part(3)));
    std::fill_n(parts.begin() + int64_t(row), partsOfRow, wordOf(whole));
  }
  return Words(Words::Rows, std::move(parts));
}

//===----------------------------------------------------------------------===//
// What rows see
//===----------------------------------------------------------------------===//

Words Strand::kept(tile::KeepColumnsOp keep) const {
  auto shape = cast<RankedTensorType>(keep.getValue().getType()).getShape();
  std::vector<uint32_t> tile = expanded(keep.getValue());
  auto limit = [&](Value given, int64_t otherwise) { return given ? whole(given) : otherwise; };
  constexpr int64_t none = int64_t(1) << 40;
  int64_t first = limit(keep.getFirst(), -none), last = limit(keep.getLast(), none);
  int64_t firstShift = limit(keep.getFirstShift(), -none), lastShift = limit(keep.getLastShift(), none);
  for (int64_t r = 0; r != shape[0]; ++r)
    for (int64_t c = 0; c != shape[1]; ++c) {
      int64_t row = whole(keep.getRow()) + r, column = whole(keep.getColumn()) + c;
      if (column < first || column > last || column < row + firstShift || column > row + lastShift)
        tile[size_t(r * shape[1] + c)] = wordOf(-infinity);
    }
  return Words(Words::Tile, std::move(tile));
}

Words Strand::nonfinite(tile::TakeNonfiniteOp take) const {
  SharedTile *tile = tileOf(take.getTile());
  std::vector<uint32_t> scores = expanded(take.getScores()), out = expanded(take.getOut());
  int64_t rows = cast<RankedTensorType>(take.getScores().getType()).getDimSize(0);
  for (int64_t key = 0; key != tile->rows; ++key)
    for (int64_t column = 0; column != tile->cols; ++column) {
      uint16_t &element = tile->bits[size_t(key * tile->cols + column)];
      if (float value = reference::toFloat(tile->type, element); !std::isfinite(value)) {
        tile->taken.push_back({key, column, value});
        element = 0;
      }
    }
  for (const SharedTile::Taken &one : tile->taken)
    for (int64_t row = 0; row != rows; ++row)
      if (uint32_t &sum = out[size_t(row * tile->cols + one.column)];
          scores[size_t(row * tile->rows + one.row)] != wordOf(-infinity))
        sum = wordOf(canonical(std::bit_cast<float>(sum) + one.value));
  tile->changed();
  return Words(Words::Tile, std::move(out));
}

} // namespace attune::oracle
