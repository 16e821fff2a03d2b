//===- ThreadToNvvmNonfinite.cpp - NaNs of hidden values as NVVM ----------===//
#include "compiler/transforms/ThreadToNvvm.h"

#include <limits>

using namespace mlir;

namespace attune {

void ThreadToNvvm::lowerTakeNonfinite(thread::TakeNonfiniteOp op) {
  SwizzledTile tile{int64_t(op.getRows()), int64_t(op.getCols())};
  bool isBf16 = op.getType().isBF16();
  Type word = b.getI32Type();
  auto bor = [&](Value x, Value y) -> Value { return x ? Value(LLVM::OrOp::create(b, loc, x, y)) : y; };
  auto select = [&](Value condition, Value yes, Value no) -> Value {
    return LLVM::SelectOp::create(b, loc, condition, yes, no);
  };
  auto equal = [&](Value x, Value y) -> Value {
    return LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, x, y);
  };

  // What each row sees: a bit for each of the thread's columns of scores, as in keep_columns.
  Registers &scores = registers(op.getScores());
  size_t rows = scores.size() / size_t(tile.rows / 4);
  int64_t words = (tile.rows / 4 + 31) / 32;
  SmallVector<SmallVector<Value>> seen(rows, SmallVector<Value>(size_t(words)));
  Value minusInf = f32(-std::numeric_limits<float>::infinity()), none = i32(0);
  for (size_t i = 0; i != scores.size(); ++i) {
    int64_t column = columnOfAccValue(int64_t(i), tile.rows), bit = column / 8 * 2 + column % 2;
    Value sees = LLVM::FCmpOp::create(b, loc, LLVM::FCmpPredicate::une, scores[i], minusInf);
    Value &bits = seen[size_t(rowOfAccValue(int64_t(i), tile.rows))][size_t(bit / 32)];
    bits = bor(bits, select(sees, i32(int64_t(1) << bit % 32), none));
  }

  // Adding -0 changes nothing, not even a zero's sign.
  Value infinity = f32(std::numeric_limits<float>::infinity()), nothing = f32(-0.0f);
  Value columns = add(mul(laneColumn, 2), add(sharedBase, scalar(op.getOffset())));
  // 32 sums at a time: what is added would else take more registers than there are beside all sums.
  int64_t blocks = tile.cols / 8, atOnce = std::max(1, 16 / int(rows));
  Registers out = registers(op.getOut());
  for (int64_t first = 0; first < blocks; first += atOnce) {
    SmallVector<size_t> places; // of these columns' sums: of each block and half, those of all rows
    for (int64_t block = first; block != std::min(first + atOnce, blocks); ++block)
      for (int64_t half = 0; half != 2; ++half)
        for (size_t i = 0; i != rows; ++i)
          places.push_back(size_t((int64_t(i / 2) * blocks + block) * 4 + int64_t(i % 2) * 2 + half));
    Registers sums;
    for (size_t place : places)
      sums.push_back(out[place]);
    sums = countingLoop(none, i32(tile.rows), 1, sums, [&](Value key, Registers carried) {
      Value bit = add(mul(shr(key, 3), 2), band(key, 1)), index = shr(bit, 5), inWord = band(bit, 31);
      Value owner = bor(band(lane, 28), band(shr(key, 1), 3));
      SmallVector<Value> sees;
      for (SmallVector<Value> &ofRow : seen) {
        Value mine = ofRow[0];
        for (int64_t i = 1; i != words; ++i)
          mine = select(equal(index, i32(i)), ofRow[size_t(i)], mine);
        Value theirs = NVVM::ShflOp::create(b, loc, word, i32(-1), mine, owner, i32(31), NVVM::ShflKind::idx,
                                            UnitAttr());
        sees.push_back(equal(band(LLVM::LShrOp::create(b, loc, theirs, inWord), 1), i32(1)));
      }
      Value row = add(columns, mul(key, tile.pitch()));
      Value swizzle = mul(band(shr(key, tile.swizzleShift()), tile.swizzleMask()), 16);
      Value pair, taken;
      for (size_t at = 0; at != places.size(); ++at) {
        int64_t block = first + int64_t(at / (2 * rows)), half = int64_t(at / rows % 2);
        if (at % (2 * rows) == 0) {
          int64_t chunk = block % tile.chunksPerPanelRow(), panel = block / tile.chunksPerPanelRow();
          Value address = add(row, bxor(swizzle, i32(chunk * 16)));
          pair = LLVM::LoadOp::create(b, loc, word, sharedPointer(add(address, panel * tile.panelBytes())),
                                      /*alignment=*/4);
        }
        if (at % rows == 0) {
          Value value = halfOf(pair, half, isBf16);
          Value beyond = LLVM::FCmpOp::create(b, loc, LLVM::FCmpPredicate::uge,
                                              LLVM::FAbsOp::create(b, loc, value), infinity);
          taken = select(beyond, value, nothing);
        }
        carried[at] = LLVM::FAddOp::create(b, loc, carried[at], select(sees[at % rows], taken, nothing));
      }
      return carried;
    });
    for (auto [place, sum] : llvm::zip(places, sums))
      out[place] = sum;
  }

  meetSharers(op.getMeet());
  // An element is finite unless all bits of its exponent are set.
  int64_t low = isBf16 ? 0x7f80 : 0x7c00, high = low << 16;
  rewriteTile(op.getOffset(), tile.rows * tile.cols * 2, op.getMeet(), [&](Value pair) -> Value {
    Value keepLow = select(equal(band(pair, low), i32(low)), i32(int32_t(0xffff0000)), i32(-1));
    Value keepHigh = select(equal(band(pair, high), i32(high)), i32(0xffff), i32(-1));
    return LLVM::AndOp::create(b, loc, pair, LLVM::AndOp::create(b, loc, keepLow, keepHigh).getResult());
  });
  values[op.getResult()] = std::move(out);
}

Value ThreadToNvvm::halfOf(Value pair, int64_t half, bool isBf16) {
  Type f = b.getF32Type();
  if (isBf16) {
    Value bits = half ? band(pair, int32_t(0xffff0000)) : Value(LLVM::ShlOp::create(b, loc, pair, i32(16)));
    return LLVM::BitcastOp::create(b, loc, f, bits);
  }
  Value bits = LLVM::TruncOp::create(b, loc, b.getI16Type(), shr(pair, 16 * half));
  return LLVM::FPExtOp::create(b, loc, f, LLVM::BitcastOp::create(b, loc, b.getF16Type(), bits));
}

void ThreadToNvvm::meetSharers(std::optional<uint64_t> meeting) {
  if (meeting)
    meet(i32(int64_t(*meeting)), 32 * warps * replicas);
  else
    barrier();
}

void ThreadToNvvm::rewriteTile(Value offset, int64_t bytes, std::optional<uint64_t> meeting,
                               llvm::function_ref<Value(Value)> rewrite) {
  int64_t sharers = meeting ? replicas : 1;
  Type quad = VectorType::get({4}, b.getI32Type());
  Value sharer = sharers == 1 ? thread : add(thread, mul(replica, 32 * warps));
  Value start = mul(sharer, 16), base = add(sharedBase, scalar(offset));
  branch(less(start, i32(bytes)), [&] {
    (void)countingLoop(start, i32(bytes), 32 * warps * sharers * 16, {}, [&](Value place, Registers) {
      Value pointer = sharedPointer(add(base, place));
      Value piece = LLVM::LoadOp::create(b, loc, quad, pointer, /*alignment=*/16);
      for (int64_t i = 0; i != 4; ++i) {
        Value pair = LLVM::ExtractElementOp::create(b, loc, piece, i32(i));
        piece = LLVM::InsertElementOp::create(b, loc, piece, rewrite(pair), i32(i));
      }
      LLVM::StoreOp::create(b, loc, piece, pointer, /*alignment=*/16);
      return Registers();
    });
  });
  // Tensor cores read the tile by the async proxy.
  if (meeting)
    asmMemory(LLVM::LLVMVoidType::get(b.getContext()), "fence.proxy.async.shared::cta;", "", {});
  meetSharers(meeting);
}

} // namespace attune
