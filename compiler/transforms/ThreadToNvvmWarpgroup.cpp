//===- ThreadToNvvmWarpgroup.cpp - barriers, TMA and wgmma as NVVM --------===//
#include "compiler/dialect/Elements.h"
#include "compiler/transforms/ThreadToNvvm.h"

#include "mlir/IR/Matchers.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace attune {

//===----------------------------------------------------------------------===//
// Barriers in shared memory, and TMA
//===----------------------------------------------------------------------===//

Value ThreadToNvvm::barrierAddress(Value offset) { return add(sharedBase, scalar(offset)); }

void ThreadToNvvm::lowerBarrierInit(tile::BarrierInitOp op) {
  Type none = LLVM::LLVMVoidType::get(b.getContext());
  Value first = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, thread, i32(0));
  branch(first, [&] {
    for (auto [offset, count] : llvm::zip(op.getOffsets(), op.getCounts()))
      asmMemory(none, "mbarrier.init.shared::cta.b64 [$0], $1;", "r,r",
                {add(sharedBase, offset), i32(count)});
    // TMA sees them too.
    asmMemory(none, "fence.mbarrier_init.release.cluster;", "", {});
  });
  barrier();
}

void ThreadToNvvm::waitAt(Value barrier, Value parity) {
  asmMemory(LLVM::LLVMVoidType::get(b.getContext()),
            "{ .reg .pred p; W: mbarrier.try_wait.parity.shared::cta.b64 p, [$0], $1; @!p bra W; }", "r,r",
            {barrier, parity});
}

void ThreadToNvvm::arriveAt(Value barrier) {
  asmMemory(LLVM::LLVMVoidType::get(b.getContext()), "@$1 mbarrier.arrive.shared::cta.b64 _, [$0];", "r,b",
            {barrier, elected});
}

void ThreadToNvvm::lowerBarrierWait(tile::BarrierWaitOp op) {
  waitAt(barrierAddress(op.getBarrier()), scalar(op.getParity()));
}

void ThreadToNvvm::lowerBarrierArrive(tile::BarrierArriveOp op) { arriveAt(barrierAddress(op.getBarrier())); }

/// Registers of a place: the slot, and the phase's parity.
void ThreadToNvvm::lowerPlace(tile::PlaceOp op) {
  int64_t depth = op.getType().getDepth();
  Value index = scalar(op.getIndex());
  if (depth == 1) {
    values[op.getResult()] = {i32(0), band(index, 1)};
    return;
  }
  Value slot = LLVM::URemOp::create(b, loc, index, i32(depth)),
        phase = LLVM::UDivOp::create(b, loc, index, i32(depth));
  values[op.getResult()] = {slot, band(phase, 1)};
}

void ThreadToNvvm::lowerNextPlace(tile::NextPlaceOp op) {
  int64_t depth = op.getType().getDepth();
  Registers place = registers(op.getPlace());
  Value slot = i32(0), one = i32(1), wraps = one;
  if (depth == 2) {
    wraps = place[0];
    slot = LLVM::XOrOp::create(b, loc, place[0], one);
  } else if (depth > 2) {
    Value next = add(place[0], 1),
          ends = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, next, i32(depth));
    slot = LLVM::SelectOp::create(b, loc, ends, slot, next);
    wraps = LLVM::ZExtOp::create(b, loc, b.getI32Type(), ends);
  }
  values[op.getResult()] = {slot, LLVM::XOrOp::create(b, loc, place[1], wraps)};
}

ThreadToNvvm::Slot ThreadToNvvm::slotOf(TypedValue<tile::RingType> ring, Value place) {
  auto made = ring.getDefiningOp<tile::RingOp>();
  tile::RingType type = ring.getType();
  Value slot = registers(place)[0];
  Value full = add(sharedBase, add(mul(slot, 8), int64_t(*made.getBarriers())));
  return {full, add(full, 8 * type.getDepth()), registers(place)[1],
          add(mul(slot, tile::tileBytes(type.getSlot())), int64_t(*made.getOffset()))};
}

void ThreadToNvvm::lowerSlotAcquire(tile::SlotAcquireOp op) {
  Slot slot = slotOf(op.getRing(), op.getPlace());
  // A slot is empty once its last tile is released: in the phase before the one in which it holds this tile.
  if (*op.getRing().getDefiningOp<tile::RingOp>().getReleases())
    waitAt(slot.empty, LLVM::XOrOp::create(b, loc, slot.parity, i32(1)));
  asmMemory(LLVM::LLVMVoidType::get(b.getContext()),
            "@$2 mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r,b",
            {slot.full, i32(tile::tileBytes(op.getRing().getType().getSlot())), issuer()});
}

void ThreadToNvvm::lowerSlotWait(tile::SlotWaitOp op) {
  Slot slot = slotOf(op.getRing(), op.getPlace());
  waitAt(slot.full, slot.parity);
  values[op.getTile()] = {slot.tile};
}

void ThreadToNvvm::lowerSlotRelease(tile::SlotReleaseOp op) {
  arriveAt(slotOf(op.getRing(), op.getPlace()).empty);
}

Value ThreadToNvvm::issuer() {
  // Of a role of several warps, the first one issues.
  Value first = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, warp, i32(0));
  return LLVM::AndOp::create(b, loc, elected, first);
}

Value ThreadToNvvm::tensorMap(Value argument) {
  const ParameterField &field =
      block.field(cast<BlockArgument>(argument).getArgNumber(), ParameterField::What::Map);
  Value place = LLVM::GEPOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), b.getI8Type(), params,
                                    ArrayRef<LLVM::GEPArg>{field.offset});
  return LLVM::PtrToIntOp::create(b, loc, b.getI64Type(), place);
}

void ThreadToNvvm::lowerTmaLoad(tile::TmaLoadOp op) {
  ArrayRef<int64_t> shape = op.getRing().getType().getSlot().getShape();
  SwizzledTile tile{shape[0], shape[1]};
  Slot slot = slotOf(op.getRing(), op.getPlace());
  Value to = add(sharedBase, slot.tile), map = tensorMap(op.getMap());
  branch(issuer(), [&] {
    for (int64_t panel = 0; panel != tile.cols / tile.panelCols(); ++panel)
      asmMemory(LLVM::LLVMVoidType::get(b.getContext()),
                "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [$0], [$1, "
                "{$3, $4, "
                "$5, $6}], [$2];",
                "r,l,r,r,r,r,r",
                {add(to, panel * tile.panelBytes()), map, slot.full, i32(panel * tile.panelCols()),
                 scalar(op.getRow()), scalar(op.getHead()), scalar(op.getBatch())});
  });
}

void ThreadToNvvm::lowerTmaStore(thread::TmaStoreOp op) {
  SwizzledTile tile{int64_t(op.getM()), int64_t(op.getN())};
  Type none = LLVM::LLVMVoidType::get(b.getContext()), element = op.getMap().getType().getElementType();
  Registers &value = registers(op.getValue());
  SharedAddress lanes =
      laneAddress(tile, scalar(op.getStaging()), add(mul(warp, 16), band(lane, 15)), shr(lane, 4));
  for (int64_t col = 0; col != tile.cols; col += 16) {
    SmallVector<Value> pairs;
    for (size_t i = 0; i != 8; i += 2)
      pairs.push_back(pack(value[size_t(col / 2) + i], value[size_t(col / 2) + i + 1], element));
    storeBlock(tile, lanes, 0, col, pairs);
  }
  // The warp's rows are written before TMA, by the async proxy, reads them.
  asmMemory(none, "fence.proxy.async.shared::cta;", "", {});
  asmMemory(none, "bar.warp.sync -1;", "", {});
  Value from = add(add(sharedBase, scalar(op.getStaging())), mul(warp, 16 * tile.pitch())),
        map = tensorMap(op.getMap()), row = add(scalar(op.getRow()), mul(warp, 16));
  branch(elected, [&] {
    for (int64_t panel = 0; panel != tile.cols / tile.panelCols(); ++panel)
      asmMemory(none,
                "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [$0, {$2, $3, $4, $5}], [$1];",
                "l,r,r,r,r,r",
                {map, add(from, panel * tile.panelBytes()), i32(panel * tile.panelCols()), row,
                 scalar(op.getHead()), scalar(op.getBatch())});
    asmMemory(none, "cp.async.bulk.commit_group;", "", {});
  });
}

//===----------------------------------------------------------------------===//
// Roles that agree
//===----------------------------------------------------------------------===//

void ThreadToNvvm::lowerNamedBarrier(thread::NamedBarrierOp op) {
  if (op.getArrive())
    asmMemory(LLVM::LLVMVoidType::get(b.getContext()), "bar.arrive $0, $1;", "r,r",
              {scalar(op.getNumber()), i32(int64_t(op.getThreads()))});
  else
    meet(scalar(op.getNumber()), int64_t(op.getThreads()));
}

Value ThreadToNvvm::meetAny(Value condition, int64_t number, int64_t threads) {
  std::string text = llvm::formatv(
      "{{ .reg .pred p; setp.ne.b32 p, $1, 0; bar.red.or.pred p, {0}, {1}, p; selp.b32 $0, 1, 0, p; }",
      number, threads);
  return asmMemory(b.getI32Type(), text, "=r,r", condition).getResult(0);
}

void ThreadToNvvm::lowerVote(thread::VoteOp op) {
  int64_t number = int64_t(op.getNumber()), threads = int64_t(op.getThreads());
  Value bits = scalar(op.getBits()), none = i32(0);
  Value any = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, meetAny(bits, number, threads), none);
  // Rarely is there any; then each bit is asked for.
  Block *rare = func.addBlock(), *after = func.addBlock();
  after->addArgument(b.getI32Type(), loc);
  LLVM::CondBrOp::create(b, loc, any, rare, ValueRange(), after, ValueRange{none});
  b.setInsertionPointToEnd(rare);
  Registers all = countingLoop(none, i32(32), 1, {none}, [&](Value bit, Registers found) {
    Value mine = band(LLVM::LShrOp::create(b, loc, bits, bit), 1);
    Value here = LLVM::ShlOp::create(b, loc, meetAny(mine, number, threads), bit);
    return Registers{LLVM::OrOp::create(b, loc, found[0], here)};
  });
  LLVM::BrOp::create(b, loc, all, after);
  b.setInsertionPointToEnd(after);
  values[op.getResult()] = {after->getArgument(0)};
}

void ThreadToNvvm::lowerDraw(tile::DrawOp op) {
  Value address = field(op.getCounter(), ParameterField::What::Base);
  Value drawn = asmMemory(b.getI32Type(),
                          "{ .reg .pred p; setp.eq.b32 p, $2, 0; mov.b32 $0, 0; @p atom.global.add.u32 $0, "
                          "[$1], 1; }",
                          "=&r,l,r", {address, lane})
                    .getResult(0);
  values[op.getResult()] = {NVVM::ShflOp::create(b, loc, b.getI32Type(), i32(-1), drawn, i32(0), i32(31),
                                                 NVVM::ShflKind::idx, UnitAttr())};
}

void ThreadToNvvm::lowerStoreWord(tile::StoreWordOp op) {
  asmMemory(LLVM::LLVMVoidType::get(b.getContext()), "@$2 st.shared.b32 [$0], $1;", "r,r,b",
            {add(sharedBase, scalar(op.getOffset())), scalar(op.getValue()), elected});
}

void ThreadToNvvm::lowerLoadWord(tile::LoadWordOp op) {
  values[op.getResult()] = {
      asmMemory(b.getI32Type(), "ld.shared.b32 $0, [$1];", "=r,r", add(sharedBase, scalar(op.getOffset())))
          .getResult(0)};
}

//===----------------------------------------------------------------------===//
// wgmma
//===----------------------------------------------------------------------===//

/// "$first, $first + 1, ...".
static std::string operandList(size_t first, size_t count) {
  std::string text;
  for (size_t i = 0; i != count; ++i)
    text += (i ? ", $" : "$") + std::to_string(first + i);
  return text;
}

Registers ThreadToNvvm::asmTied(StringRef text, ArrayRef<Value> values) {
  std::string constraints;
  SmallVector<Type> types;
  for (Value value : values) {
    types.push_back(value.getType());
    constraints += (constraints.empty() ? "=" : ",=") + std::string(value.getType().isF32() ? "f" : "r");
  }
  for (size_t i = 0; i != values.size(); ++i)
    constraints += "," + std::to_string(i);
  Type type = LLVM::LLVMStructType::getLiteral(b.getContext(), types);
  Value result = asmMemory(type, text, constraints, values).getResult(0);
  Registers out;
  for (size_t i = 0; i != values.size(); ++i)
    out.push_back(LLVM::ExtractValueOp::create(b, loc, result, int64_t(i)));
  return out;
}

Value ThreadToNvvm::sixteenths(Value bytes) {
  APInt factor;
  if (auto product = bytes.getDefiningOp<LLVM::MulOp>();
      product && matchPattern(product.getRhs(), m_ConstantInt(&factor)) && factor.getZExtValue() % 16 == 0)
    return mul(product.getLhs(), factor.getSExtValue() / 16);
  return shr(bytes, 4);
}

Value ThreadToNvvm::matrixDescriptor(const SwizzledTile &tile, Value offset, bool rowsAreK, bool moves) {
  // PTX ISA 9.0, "Matrix Descriptor Format". Eight rows of a panel are one swizzle pattern; the stride is
  // from one such group to the next. Where rows are k, columns beyond a panel are reached by the leading
  // offset.
  uint64_t swizzle = tile.panelCols() == 64 ? 1 : tile.panelCols() == 32 ? 2 : 3;
  uint64_t leading = rowsAreK ? uint64_t(tile.panelBytes()) : 16, stride = uint64_t(8 * tile.pitch());
  uint64_t constant = (leading >> 4) << 16 | (stride >> 4) << 32 | swizzle << 62;
  // The address counts in units of 16 bytes; the CTA's rank in the cluster lies above its bit 17.
  if (!moves) {
    Value address = shr(band(add(sharedBase, scalar(offset)), 0x3FFFF), 4);
    return LLVM::OrOp::create(b, loc, LLVM::ZExtOp::create(b, loc, b.getI64Type(), address),
                              i64(int64_t(constant)));
  }
  // What does not change from tile to tile is one number, so that a loop pays a multiplication and an
  // addition, and LLVM, which is shown two halves, adds k steps as 64 bits.
  auto [variable, fixed] = splitConstant(scalar(offset));
  Value low = add(shr(band(sharedBase, 0x3FFFF), 4), int64_t(uint32_t(constant)) + (fixed >> 4));
  if (variable)
    low = add(low, sixteenths(variable));
  return asm1(b.getI64Type(), "mov.b64 $0, {$1, $2};", "=l,r,r", {low, i32(int64_t(constant >> 32))});
}

void ThreadToNvvm::lowerDotIssue(thread::DotIssueOp op) {
  int64_t m = int64_t(op.getM()), n = int64_t(op.getN()), k = int64_t(op.getK());
  bool aInShared = op.getA().getType().isInteger(32), fresh = !op.getC();
  SwizzledTile aTile{m, k}, bTile = op.getTransposed() ? SwizzledTile{n, k} : SwizzledTile{k, n};
  size_t count = size_t(accValues(m, n, 4));
  Registers a = aInShared ? Registers() : registers(op.getA()),
            c = fresh ? Registers() : registers(op.getC());

  Value aStart = aInShared ? matrixDescriptor(aTile, op.getA(), false, /*moves=*/false) : Value();
  Value bStart = matrixDescriptor(bTile, op.getB(), !op.getTransposed(), /*moves=*/true);
  auto advance = [&](Value descriptor, int64_t bytes) {
    return bytes ? Value(LLVM::AddOp::create(b, loc, descriptor, i64(bytes >> 4))) : descriptor;
  };
  // Where k runs along the columns: 16 of them are 32 bytes of a panel's row.
  auto alongColumns = [](const SwizzledTile &tile, int64_t kStep) {
    int64_t perPanel = tile.panelCols() / 16;
    return kStep / perPanel * tile.panelBytes() + kStep % perPanel * 32;
  };

  // One assembly for all steps, from the fence to the end of the group: nothing can come between them, and
  // the accumulators pass through LLVM once. Operands: the outputs, what is tied to them, scale-d, then each
  // step's A and B.
  StringRef element = infoOf(op.getType()).irName, across = op.getTransposed() ? ", 0" : ", 1";
  SmallVector<Value> operands(c);
  std::string constraints;
  for (size_t i = 0; i != count; ++i)
    constraints += fresh ? "=&f," : "=f,";
  for (size_t i = 0; i != c.size(); ++i)
    constraints += std::to_string(i) + ",";
  auto operand = [&](Value value, StringRef constraint) {
    constraints += constraint.str() + ",";
    operands.push_back(value);
    return "$" + std::to_string(count + operands.size() - 1);
  };
  auto truth = [&](bool value) {
    return operand(LLVM::ConstantOp::create(b, loc, b.getI1Type(), b.getBoolAttr(value)), "b");
  };
  // What a fresh accumulator holds is ignored by the first step, so nothing sets it to zero.
  std::string adds = truth(true), scaleD = fresh ? truth(false) : adds;
  std::string text = "wgmma.fence.sync.aligned;\n", sums = operandList(0, count);
  for (int64_t kStep = 0; kStep != k / 16; ++kStep) {
    std::string aText;
    if (aInShared) {
      aText = operand(advance(aStart, alongColumns(aTile, kStep)), "l");
    } else {
      for (int64_t i = 0; i != 4; ++i)
        aText += (i ? ", " : "{") + operand(a[size_t(kStep * 4 + i)], "r");
      aText += "}";
    }
    std::string bText = operand(
        advance(bStart, op.getTransposed() ? alongColumns(bTile, kStep) : kStep * 16 * bTile.pitch()), "l");
    // scale-d, then the signs of A and B, then which of them lie across.
    text += llvm::formatv(
        "wgmma.mma_async.sync.aligned.m64n{0}k16.f32.{1}.{1} {{{2}}, {3}, {4}, {5}, 1, 1{6}{7};\n", n,
        element, sums, aText, bText, kStep ? adds : scaleD, aInShared ? ", 0" : "", across);
  }
  text += "wgmma.commit_group.sync.aligned;";
  constraints.pop_back();
  Type accumulator =
      LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(count, b.getF32Type()));
  Value result = asmMemory(accumulator, text, constraints, operands).getResult(0);
  Registers sum;
  for (size_t i = 0; i != count; ++i)
    sum.push_back(LLVM::ExtractValueOp::create(b, loc, result, int64_t(i)));
  values[op.getResult()] = std::move(sum);
}

void ThreadToNvvm::lowerDotWait(thread::DotWaitOp op) {
  values[op.getResult()] = asmTied(llvm::formatv("wgmma.wait_group.sync.aligned {0};", op.getPending()).str(),
                                   registers(op.getValue()));
}

} // namespace attune
