//===- BlockRangeTest.cpp - block ranges against a walk over rows and keys ===//
//
// Block ranges against a walk over every row and key: the IR that they build is evaluated by the table of
// scalar operations.
//
//===----------------------------------------------------------------------===//
#include "compiler/schedule/BlockRange.h"

#include "compiler/dialect/ScalarOps.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"

#include <doctest/doctest.h>

#include <random>

using namespace attune;
using namespace mlir;

namespace {
/// Builds into a module of its own and evaluates.
class RangeBuilder {
public:
  RangeBuilder()
      : module(makeModule(context)), b(OpBuilder::atBlockEnd(module->getBody()), UnknownLoc::get(&context)) {}

  Value number(int64_t value) { return Scalars(b).constant(value); }
  int64_t evaluate(Value value) {
    if (auto constant = value.getDefiningOp<arith::ConstantOp>())
      return cast<IntegerAttr>(constant.getValue()).getInt();
    SmallVector<int64_t> operands;
    for (Value operand : value.getDefiningOp()->getOperands())
      operands.push_back(evaluate(operand));
    return findScalarOp(value.getDefiningOp())->evaluate(value.getDefiningOp(), operands).value();
  }

private:
  static OwningOpRef<ModuleOp> makeModule(MLIRContext &context) {
    context.loadDialect<arith::ArithDialect>();
    return ModuleOp::create(UnknownLoc::get(&context));
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;

public:
  NamingBuilder b;
};

struct Sample {
  int64_t lengthQ, lengthKv;
  std::optional<int64_t> first, last, firstShift, lastShift;

  bool sees(int64_t row, int64_t key) const {
    return row >= 0 && row < lengthQ && key >= 0 && key < lengthKv && (!first || key >= *first) &&
           (!last || key <= *last) && (!firstShift || key >= row + *firstShift) &&
           (!lastShift || key <= row + *lastShift);
  }
  MaskLimits limits(RangeBuilder &builder) const {
    auto of = [&](const std::optional<int64_t> &limit) { return limit ? builder.number(*limit) : Value(); };
    return {of(first), builder.number(std::min(last.value_or(lengthKv - 1), lengthKv - 1)), of(firstShift),
            of(lastShift)};
  }
};

/// The range covers every block that is needed, and what it calls whole is whole; on either side of the range
/// nothing is needed.
template <typename Needed, typename Whole>
void check(RangeBuilder &builder, const attune::BlockRange &range, int64_t blocks, Needed needed,
           Whole whole) {
  int64_t begin = builder.evaluate(range.begin), end = builder.evaluate(range.end);
  int64_t wholeBegin = builder.evaluate(range.wholeBegin), wholeEnd = builder.evaluate(range.wholeEnd);
  CHECK(begin >= 0);
  CHECK(begin <= end);
  CHECK(begin <= wholeBegin);
  CHECK(wholeBegin <= wholeEnd);
  CHECK(wholeEnd <= end);
  CHECK(end <= blocks);
  for (int64_t block = 0; block < blocks; ++block) {
    CAPTURE(block);
    if (needed(block))
      CHECK((block >= begin && block < end));
    if (block >= wholeBegin && block < wholeEnd)
      CHECK(whole(block));
  }
}
} // namespace

TEST_CASE("block ranges hold what some row and key need, and whole blocks need no mask") {
  std::mt19937 random(7);
  auto upTo = [&](int64_t n) { return int64_t(random() % uint64_t(n)); };
  int64_t wholes = 0;
  for (int round = 0; round < 600; ++round) {
    Sample sample{1 + upTo(90), 1 + upTo(90), {}, {}, {}, {}};
    if (upTo(2))
      sample.lastShift = upTo(80) - 40;
    if (upTo(3) == 0)
      sample.firstShift = upTo(80) - 60;
    if (upTo(4) == 0)
      sample.first = upTo(60) - 10;
    if (upTo(4) == 0)
      sample.last = upTo(90) - 5;
    CAPTURE(round);
    RangeBuilder builder;
    MaskLimits limits = sample.limits(builder);
    int64_t size = 1 + upTo(4) * 5, keyBlocks = (sample.lengthKv + size - 1) / size,
            rowBlocks = (sample.lengthQ + size - 1) / size;
    int64_t rows = 1 + upTo(20), firstRow = upTo(sample.lengthQ),
            lastRow = std::min(firstRow + rows, sample.lengthQ) - 1;
    auto any = [](int64_t from, int64_t to, auto holds) {
      for (int64_t i = from; i < to; ++i)
        if (holds(i))
          return true;
      return false;
    };
    attune::BlockRange keys = attune::BlockRange::ofKeys(builder.b, limits, builder.number(firstRow),
                                                         builder.number(lastRow), size);
    auto keyNeeded = [&](int64_t block) {
      return any(firstRow, lastRow + 1, [&](int64_t row) {
        return any(block * size, (block + 1) * size, [&](int64_t key) { return sample.sees(row, key); });
      });
    };
    auto keyWhole = [&](int64_t block) {
      return !any(firstRow, lastRow + 1, [&](int64_t row) {
        return any(block * size, (block + 1) * size, [&](int64_t key) { return !sample.sees(row, key); });
      });
    };
    check(builder, keys, keyBlocks, keyNeeded, keyWhole);
    wholes += builder.evaluate(keys.wholeEnd) - builder.evaluate(keys.wholeBegin);

    int64_t firstKey = upTo(sample.lengthKv), lastKey = std::min(firstKey + rows, sample.lengthKv) - 1;
    attune::BlockRange queries =
        attune::BlockRange::ofQueries(builder.b, limits, builder.number(firstKey), builder.number(lastKey),
                                      builder.number(sample.lengthQ), size);
    check(
        builder, queries, rowBlocks,
        [&](int64_t block) {
          return any(firstKey, lastKey + 1, [&](int64_t key) {
            return any(block * size, (block + 1) * size, [&](int64_t row) { return sample.sees(row, key); });
          });
        },
        [&](int64_t block) {
          return !any(firstKey, lastKey + 1, [&](int64_t key) {
            return any(block * size, std::min((block + 1) * size, sample.lengthQ),
                       [&](int64_t row) { return !sample.sees(row, key); });
          });
        });

    // Pieces follow each other and make up the range.
    int64_t parts = 1 + upTo(5), at = builder.evaluate(keys.begin);
    for (int64_t part = 0; part < parts; ++part) {
      attune::BlockRange piece = keys.piece(builder.b, builder.number(part), builder.number(parts));
      CHECK(builder.evaluate(piece.begin) == at);
      at = builder.evaluate(piece.end);
      CHECK(builder.evaluate(piece.wholeBegin) >= builder.evaluate(piece.begin));
      CHECK(builder.evaluate(piece.wholeEnd) <= at);
      for (int64_t block = builder.evaluate(piece.wholeBegin); block < builder.evaluate(piece.wholeEnd);
           ++block)
        CHECK(keyWhole(block));
    }
    CHECK(at == builder.evaluate(keys.end));
  }
  CHECK(wholes > 200);
}
