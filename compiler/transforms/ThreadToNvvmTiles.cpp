//===- ThreadToNvvmTiles.cpp - tiles, fragments and rows as NVVM ----------===//
#include "compiler/transforms/ThreadToNvvm.h"

#include "compiler/dialect/Elements.h"

#include "mlir/IR/Matchers.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace attune {

//===----------------------------------------------------------------------===//
// Copies between global and shared memory, 16 bytes a thread
//===----------------------------------------------------------------------===//

std::pair<Value, int64_t> ThreadToNvvm::splitConstant(Value offset) {
  APInt constant;
  if (matchPattern(offset, m_ConstantInt(&constant)))
    return {Value(), constant.getSExtValue()};
  if (auto sum = offset.getDefiningOp<LLVM::AddOp>())
    for (auto [part, other] : {std::pair(sum.getLhs(), sum.getRhs()), std::pair(sum.getRhs(), sum.getLhs())})
      if (matchPattern(part, m_ConstantInt(&constant)))
        return {other, constant.getSExtValue()};
  return {offset, 0};
}

ThreadToNvvm::SharedAddress ThreadToNvvm::sharedAddress(Value laneOffset, Value tileOffset) {
  auto [variable, constant] = splitConstant(tileOffset);
  Value lane = add(laneOffset, sharedBase);
  return {variable ? add(lane, variable) : lane, constant};
}

void ThreadToNvvm::forEachPiece(const SwizzledTile &tile, Value tileOffset, const GlobalView &view,
                                Value firstRow, bool bounded, llvm::function_ref<void(const Piece &)> piece) {
  // Thread i takes chunk i mod chunks of row i / chunks of each panel, then rows a whole pass further down.
  // The swizzle is the same in every pass where a pass is a multiple of 8 rows; otherwise the row bits that a
  // pass adds are constants, which an exclusive-or brings in.
  int64_t chunks = tile.chunksPerPanelRow(), rowsPerPass = 32 * warps / chunks;
  int64_t passes = (tile.rows + rowsPerPass - 1) / rowsPerPass, panels = tile.cols / tile.panelCols();
  int64_t chunkBits = chunks == 8 ? 3 : chunks == 4 ? 2 : 1;
  Value chunk = band(thread, chunks - 1), row = shr(thread, chunkBits);
  Value swizzled = bxor(chunk, band(shr(row, tile.swizzleShift()), tile.swizzleMask()));
  SharedAddress shared = sharedAddress(add(mul(row, tile.pitch()), mul(swizzled, 16)), tileOffset);
  Value rowIndex = add(firstRow, row);
  // The base is the same for all threads, so it may stay in a uniform register as long as nothing of the
  // thread's own is added to it.
  Value chunkBytes = LLVM::ZExtOp::create(b, loc, b.getI64Type(), mul(chunk, 16));
  Value first = add(madWide(mul(rowIndex, view.elementBytes), view.rowStride, view.base), chunkBytes);
  bool partialColumns = view.cols < tile.cols;
  Value columnExists;
  if (partialColumns)
    columnExists = less(chunk, i32((view.cols - (panels - 1) * tile.panelCols()) / 8));

  for (int64_t pass = 0; pass != passes; ++pass) {
    int64_t down = pass * rowsPerPass;
    Value global = pass == 0 ? first : madWide(view.rowStride, i32(down * view.elementBytes), first);
    int64_t flips = rowsPerPass % 8 == 0 ? 0 : (down >> tile.swizzleShift() & tile.swizzleMask()) * 16;
    Value lane = flips ? bxor(shared.lane, i32(flips)) : shared.lane;
    int64_t place = shared.constant + down * tile.pitch();
    Value rowExists = bounded ? less(add(rowIndex, down), view.rows) : Value();
    auto panelsOfPass = [&] {
      for (int64_t panel = 0; panel != panels; ++panel) {
        Value exists = rowExists;
        if (partialColumns && panel == panels - 1)
          exists = exists ? Value(LLVM::AndOp::create(b, loc, exists, columnExists)) : columnExists;
        piece({{lane, place + panel * tile.panelBytes()}, global, panel * tile.pitch(), exists});
      }
    };
    // The last pass may reach past the tile's rows.
    if (down + rowsPerPass > tile.rows)
      branch(less(row, i32(tile.rows - down)), panelsOfPass);
    else
      panelsOfPass();
  }
}

void ThreadToNvvm::lowerAsyncCopy(thread::AsyncCopyOp op) {
  SwizzledTile tile{int64_t(op.getRows()), int64_t(op.getCols())};
  auto copy = [&] {
    forEachPiece(tile, scalar(op.getOffset()), views[op.getView()], scalar(op.getRow()), op.getBounded(),
                 [&](const Piece &piece) {
                   // Written out, so that constants are immediates and not registers that LLVM takes out of a
                   // loop.
                   std::string text =
                       llvm::formatv("cp.async.cg.shared.global [$0+{0}], [$1+{1}], 16{2};",
                                     piece.shared.constant, piece.globalBytes, piece.exists ? ", $2" : "");
                   SmallVector<Value> operands = {piece.shared.lane, piece.global};
                   // A source size of 0 fills with zeros and reads nothing.
                   if (piece.exists)
                     operands.push_back(LLVM::SelectOp::create(b, loc, piece.exists, i32(16), i32(0)));
                   asmMemory(LLVM::LLVMVoidType::get(b.getContext()), text, piece.exists ? "r,l,r" : "r,l",
                             operands);
                 });
  };
  if (op.getCondition())
    branch(scalar(op.getCondition()), copy);
  else
    copy();
}

void ThreadToNvvm::lowerStore(thread::StoreOp op) {
  SwizzledTile tile{int64_t(op.getM()), int64_t(op.getN())};
  GlobalView view = views[op.getView()];
  Type element = op.getView().getType().getElementType();
  Registers values = registers(op.getValue());
  int64_t blocks = tile.cols / 8;

  // Each thread's pairs: 8 columns are one chunk, of which the thread holds 4 bytes.
  Value row = add(mul(warp, 16), laneRow);
  SharedAddress start =
      sharedAddress(add(mul(row, tile.pitch()), mul(laneColumn, 2)), scalar(op.getStaging()));
  Value swizzle = mul(band(shr(laneRow, tile.swizzleShift()), tile.swizzleMask()), 16);
  for (int64_t slab = 0; slab != slabsPerWarp(tile.rows, warps); ++slab)
    for (int64_t block = 0; block != blocks; ++block) {
      int64_t chunk = block % tile.chunksPerPanelRow(), panel = block / tile.chunksPerPanelRow();
      Value place = add(start.lane, bxor(swizzle, i32(chunk * 16)));
      for (int64_t half = 0; half != 2; ++half) {
        size_t first = size_t((slab * blocks + block) * 4 + half * 2);
        int64_t offset =
            start.constant + panel * tile.panelBytes() + (slab * 16 * warps + half * 8) * tile.pitch();
        LLVM::StoreOp::create(b, loc, pack(values[first], values[first + 1], element),
                              sharedPointer(add(place, offset)));
      }
    }
  if (op.getMeet()) {
    // TMA fills the staging tile again.
    asmMemory(LLVM::LLVMVoidType::get(b.getContext()), "fence.proxy.async.shared::cta;", "", {});
    meet(scalar(op.getMeet()), 32 * warps);
  } else {
    barrier();
  }

  Type quad = VectorType::get({4}, b.getI32Type());
  forEachPiece(tile, scalar(op.getStaging()), view, opaque(scalar(op.getRow())), /*bounded=*/true,
               [&](const Piece &piece) {
                 branch(piece.exists, [&] {
                   Value bytes = LLVM::LoadOp::create(
                       b, loc, quad, sharedPointer(add(piece.shared.lane, piece.shared.constant)),
                       /*alignment=*/16);
                   LLVM::StoreOp::create(b, loc, bytes, globalPointer(piece.global, piece.globalBytes),
                                         /*alignment=*/16);
                 });
               });
}

void ThreadToNvvm::lowerStoreRows(thread::StoreRowsOp op) {
  GlobalView view = views[op.getView()];
  Registers values = registers(op.getValue());
  Value firstRow = add(add(scalar(op.getRow()), mul(warp, 16)), laneRow);
  // The four threads of a row hold the same value; the first one stores it.
  branch(LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, laneColumn, i32(0)), [&] {
    for (size_t i = 0; i != values.size(); ++i) {
      Value row = add(firstRow, rowOfRowValue(int64_t(i), warps));
      branch(less(row, view.rows), [&] {
        LLVM::StoreOp::create(b, loc, values[i],
                              globalPointer(madWide(mul(row, view.elementBytes), view.rowStride, view.base)));
      });
    }
  });
}

//===----------------------------------------------------------------------===//
// Tensor cores
//===----------------------------------------------------------------------===//

ThreadToNvvm::SharedAddress ThreadToNvvm::laneAddress(const SwizzledTile &tile, Value tileOffset, Value row,
                                                      Value chunk) {
  Value swizzled = bxor(chunk, band(shr(row, tile.swizzleShift()), tile.swizzleMask()));
  return sharedAddress(add(mul(row, tile.pitch()), mul(swizzled, 16)), tileOffset);
}

SmallVector<Value, 4> ThreadToNvvm::loadBlock(const SwizzledTile &tile, SharedAddress lane, int64_t row,
                                              int64_t col, bool transposed) {
  // Sixteen columns are two chunks: inside a panel they only change swizzled bits, which the lane's address
  // holds exclusive-ored with its row.
  int64_t panel = col / tile.panelCols(), chunk = col % tile.panelCols() / 8;
  Value address = chunk ? bxor(lane.lane, i32(chunk * 16)) : lane.lane;
  int64_t constant = lane.constant + panel * tile.panelBytes() + row * tile.pitch();
  std::string text = llvm::formatv("ldmatrix.sync.aligned.m8n8.x4{0}.shared.b16 {{$0, $1, $2, $3}, [$4+{1}];",
                                   transposed ? ".trans" : "", constant);
  Type word = b.getI32Type();
  Type four = LLVM::LLVMStructType::getLiteral(b.getContext(), {word, word, word, word});
  Value loaded = asmMemory(four, text, "=r,=r,=r,=r,r", address).getResult(0);
  SmallVector<Value, 4> registers;
  for (int64_t i = 0; i != 4; ++i)
    registers.push_back(LLVM::ExtractValueOp::create(b, loc, loaded, i));
  return registers;
}

void ThreadToNvvm::storeBlock(const SwizzledTile &tile, SharedAddress lane, int64_t row, int64_t col,
                              ArrayRef<Value> registers) {
  int64_t panel = col / tile.panelCols(), chunk = col % tile.panelCols() / 8;
  SmallVector<Value> operands{chunk ? bxor(lane.lane, i32(chunk * 16)) : lane.lane};
  llvm::append_range(operands, registers);
  int64_t constant = lane.constant + panel * tile.panelBytes() + row * tile.pitch();
  std::string text =
      llvm::formatv("stmatrix.sync.aligned.m8n8.x4.shared.b16 [$0+{0}], {{$1, $2, $3, $4};", constant);
  asmMemory(LLVM::LLVMVoidType::get(b.getContext()), text, "r,r,r,r,r", operands);
}

SmallVector<Value, 4> ThreadToNvvm::loadSlab(const SwizzledTile &tile, SharedAddress lane, int64_t slab,
                                             int64_t kStep) {
  return loadBlock(tile, lane, slab * 16 * warps, kStep * 16, /*transposed=*/false);
}

void ThreadToNvvm::lowerLoadOperand(thread::LoadOperandOp op) {
  SwizzledTile tile{int64_t(op.getRows()), int64_t(op.getCols())};
  SharedAddress lanes =
      laneAddress(tile, scalar(op.getOffset()), add(mul(warp, 16), band(lane, 15)), shr(lane, 4));
  Registers result;
  for (int64_t slab = 0; slab != slabsPerWarp(tile.rows, warps); ++slab)
    for (int64_t kStep = 0; kStep != tile.cols / 16; ++kStep)
      llvm::append_range(result, loadSlab(tile, lanes, slab, kStep));
  values[op.getResult()] = std::move(result);
}

void ThreadToNvvm::lowerDot(thread::DotOp op) {
  int64_t m = int64_t(op.getM()), n = int64_t(op.getN()), k = int64_t(op.getK()),
          slabs = slabsPerWarp(m, warps), kSteps = k / infoOf(op.getType()).mmaK;
  Type element = op.getType();
  bool aInShared = op.getA().getType().isInteger(32);
  SwizzledTile aTile{m, k}, bTile = op.getTransposed() ? SwizzledTile{n, k} : SwizzledTile{k, n};

  Registers a;
  SharedAddress aLanes = {}, bLanes = {};
  if (aInShared)
    aLanes = laneAddress(aTile, scalar(op.getA()), add(mul(warp, 16), band(lane, 15)), shr(lane, 4));
  else
    a = registers(op.getA());
  if (op.getTransposed()) // rows are n: the four 8 x 8 matrices are k, k + 8 of n, then of n + 8
    bLanes = laneAddress(bTile, scalar(op.getB()), add(band(lane, 7), mul(shr(lane, 4), 8)),
                         band(shr(lane, 3), 1));
  else // rows are k, loaded transposed: k, k + 8 of n, then of n + 8
    bLanes = laneAddress(bTile, scalar(op.getB()), band(lane, 15), shr(lane, 4));

  Registers c = op.getC() ? registers(op.getC()) : Registers(size_t(accValues(m, n, warps)), f32(0.0f));
  Type f = b.getF32Type(), four = LLVM::LLVMStructType::getLiteral(b.getContext(), {f, f, f, f});
  Type pair = VectorType::get({2}, element);
  auto operand = [&](Value word) {
    return infoOf(element).mmaTakesVectors ? Value(LLVM::BitcastOp::create(b, loc, pair, word)) : word;
  };
  StringRef name = infoOf(element).mma;
  for (int64_t kStep = 0; kStep != kSteps; ++kStep) {
    SmallVector<SmallVector<Value, 4>> aRegisters;
    for (int64_t slab = 0; slab != slabs; ++slab) {
      if (aInShared)
        aRegisters.push_back(loadSlab(aTile, aLanes, slab, kStep));
      else
        aRegisters.emplace_back(a.begin() + (slab * kSteps + kStep) * 4,
                                a.begin() + (slab * kSteps + kStep) * 4 + 4);
      for (Value &word : aRegisters.back())
        word = operand(word);
    }
    for (int64_t block = 0; block != n / 16; ++block) {
      auto bRegisters = op.getTransposed() ? loadBlock(bTile, bLanes, block * 16, kStep * 16, false)
                                           : loadBlock(bTile, bLanes, kStep * 16, block * 16, true);
      for (int64_t half = 0; half != 2; ++half)
        for (int64_t slab = 0; slab != slabs; ++slab) {
          size_t first = size_t((slab * (n / 8) + 2 * block + half) * 4);
          SmallVector<Value> operands(aRegisters[size_t(slab)].begin(), aRegisters[size_t(slab)].end());
          for (int64_t i = 0; i != 2; ++i)
            operands.push_back(operand(bRegisters[size_t(2 * half + i)]));
          for (size_t i = 0; i != 4; ++i)
            operands.push_back(c[first + i]);
          Value sum = intrinsic(name, four, operands);
          for (size_t i = 0; i != 4; ++i)
            c[first + i] = LLVM::ExtractValueOp::create(b, loc, sum, int64_t(i));
        }
    }
  }
  values[op.getResult()] = std::move(c);
}

void ThreadToNvvm::lowerToAOp(thread::ToAOpOp op) {
  // Two accumulators of 8 columns are one A operand of 16: the pairs already lie in the right thread.
  Type element = cast<VectorType>(op.getResult().getType()).getElementType();
  Registers &source = registers(op.getValue());
  Registers result;
  for (size_t i = 0; i != source.size(); i += 2)
    result.push_back(pack(source[i], source[i + 1], element));
  values[op.getResult()] = std::move(result);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

void ThreadToNvvm::lowerRowReduce(thread::RowReduceOp op) {
  Registers rows = registers(op.getInit()), &source = registers(op.getValue());
  int64_t n = int64_t(source.size()) / (int64_t(rows.size()) / 2) * 2;
  for (size_t i = 0; i != source.size(); ++i) {
    Value &row = rows[size_t(rowOfAccValue(int64_t(i), n))];
    row = op.getKind() == tile::Reduction::Max ? Value(LLVM::MaxNumOp::create(b, loc, row, source[i]))
                                               : Value(LLVM::FAddOp::create(b, loc, row, source[i]));
  }
  values[op.getResult()] = std::move(rows);
}

void ThreadToNvvm::lowerRowCombine(thread::RowCombineOp op) {
  Registers rows = registers(op.getValue());
  for (int64_t distance : {1, 2})
    for (Value &row : rows) {
      Value other = shuffle(row, distance);
      row = op.getKind() == tile::Reduction::Max ? Value(LLVM::MaxNumOp::create(b, loc, row, other))
                                                 : Value(LLVM::FAddOp::create(b, loc, row, other));
    }
  values[op.getResult()] = std::move(rows);
}

void ThreadToNvvm::lowerRowIndex(thread::RowIndexOp op) {
  int64_t count = cast<VectorType>(op.getType()).getNumElements();
  Value first = add(mul(warp, 16), laneRow);
  Registers rows;
  for (int64_t i = 0; i != count; ++i)
    rows.push_back(add(first, rowOfRowValue(i, warps)));
  values[op.getResult()] = std::move(rows);
}

void ThreadToNvvm::lowerColumnIndex(thread::ColumnIndexOp op) {
  Registers columns;
  for (int64_t i = 0; i != accValues(op.getM(), op.getN(), warps); ++i)
    columns.push_back(add(laneColumn, columnOfAccValue(i, op.getN())));
  values[op.getResult()] = std::move(columns);
}

void ThreadToNvvm::lowerFirstColumn(thread::FirstColumnOp op) {
  values[op.getResult()] = Registers(cast<VectorType>(op.getType()).getNumElements(), laneColumn);
}

void ThreadToNvvm::lowerRamp(thread::RampOp op) {
  const Registers &rows = registers(op.getValue());
  Value step = scalar(op.getStep());
  Registers ramp;
  for (int64_t i = 0; i != accValues(op.getM(), op.getN(), warps); ++i) {
    Value row = rows[size_t(rowOfAccValue(i, op.getN()))];
    // A factor that is a constant is part of the instruction, and takes no register.
    int64_t column = columnOfAccValue(i, op.getN());
    ramp.push_back(column == 0 ? row : Value(LLVM::FMAOp::create(b, loc, step, f32(float(column)), row)));
  }
  values[op.getResult()] = std::move(ramp);
}

void ThreadToNvvm::lowerKeepColumns(thread::KeepColumnsOp op) {
  // A thread owns two of every eight columns, so a limit becomes a number of owned columns, and a row's
  // dropped columns become a bit mask. ptxas turns tests of single bits into predicates seven at a time
  // (R2P). A thread's rows are multiples of 8 apart, so one count serves them all: eight rows further down it
  // is two more.
  auto ownedBelow = [&](Value bound) {
    Value mine = LLVM::SubOp::create(b, loc, bound, laneColumn);
    auto eighth = [&](int64_t round) { return LLVM::AShrOp::create(b, loc, add(mine, round), i32(3)); };
    return add(eighth(7), eighth(6));
  };
  Value firstRow = add(scalar(op.getRow()), add(mul(warp, 16), laneRow));
  // Owned columns below a limit, counted from column 0; null where there is no such limit.
  auto count = [&](Value limit, bool moves, int64_t beyond) -> Value {
    if (!limit)
      return Value();
    Value bound = moves ? add(firstRow, scalar(limit)) : scalar(limit);
    return ownedBelow(add(bound, beyond));
  };
  Value last = count(op.getLast(), false, 1), lastDiagonal = count(op.getLastShift(), true, 1);
  Value first = count(op.getFirst(), false, 0), firstDiagonal = count(op.getFirstShift(), true, 0);
  // One register for all rows outside the loop; each row's own count is made when it is needed.
  for (Value *diagonal : {&lastDiagonal, &firstDiagonal})
    if (*diagonal)
      *diagonal = opaque(*diagonal);
  Value ownedBefore = shr(scalar(op.getColumn()), 2);
  // Bits `count` and up; PTX's shl gives 0 for counts of 32 and more.
  auto bitsFrom = [&](Value count) -> Value {
    Value shift = LLVM::SMaxOp::create(b, loc, count, i32(0));
    return asm1(b.getI32Type(), "shl.b32 $0, -1, $1;", "=r,r", shift);
  };
  auto inTile = [&](Value fixed, Value moving, int64_t row, bool lower) -> Value {
    if (moving)
      moving = add(moving, row / 4);
    if (fixed && moving)
      fixed = lower ? Value(LLVM::SMaxOp::create(b, loc, fixed, moving))
                    : Value(LLVM::SMinOp::create(b, loc, fixed, moving));
    else if (moving)
      fixed = moving;
    return fixed ? Value(LLVM::SubOp::create(b, loc, fixed, ownedBefore)) : Value();
  };

  Registers scores = registers(op.getValue());
  int64_t n = int64_t(op.getN()), words = (n / 4 + 31) / 32;
  SmallVector<SmallVector<Value>> dropped; // [row][word]
  for (int64_t i = 0; i != rowValues(int64_t(op.getM()), warps); ++i) {
    int64_t row = rowOfRowValue(i, warps);
    Value past = inTile(last, lastDiagonal, row, /*lower=*/false);
    Value before = inTile(first, firstDiagonal, row, /*lower=*/true);
    SmallVector<Value> bits;
    for (int64_t word = 0; word != words; ++word) {
      Value drop;
      if (past)
        drop = bitsFrom(add(past, -32 * word));
      if (before) {
        Value left = bxor(bitsFrom(add(before, -32 * word)), i32(-1));
        drop = drop ? Value(LLVM::OrOp::create(b, loc, drop, left)) : left;
      }
      bits.push_back(drop);
    }
    dropped.push_back(bits);
  }
  // Row by row: bits of one word that are tested one after the other share an R2P.
  for (size_t row = 0; row != dropped.size(); ++row)
    for (size_t i = 0; i != scores.size(); ++i) {
      if (size_t(rowOfAccValue(int64_t(i), n)) != row)
        continue;
      int64_t column = columnOfAccValue(int64_t(i), n), bit = column / 8 * 2 + column % 2;
      // Written out, because LLVM would shift each bit down to test it, which hides the pattern from ptxas.
      std::string text =
          llvm::formatv("{{ .reg .pred p; .reg .b32 t; and.b32 t, $1, {0}; setp.ne.b32 p, t, 0; "
                        "selp.f32 $0, 0fFF800000, $2, p; }",
                        uint32_t(1) << bit % 32);
      scores[i] = asm1(b.getF32Type(), text, "=f,r,f", {dropped[row][size_t(bit / 32)], scores[i]});
    }
  values[op.getResult()] = std::move(scores);
}

} // namespace attune
