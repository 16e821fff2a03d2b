//===- ThreadToNvvm.h - one thread kernel to the LLVM dialect -*- C++ -*-===//
//
// What thread-to-nvvm is made of: ThreadToNvvm.cpp has control flow and elementwise operations,
// ThreadToNvvmTiles.cpp what moves and multiplies tiles, ThreadToNvvmNonfinite.cpp what keeps NaN from rows.
// Every vector of the thread form becomes one SSA value a register, so that neither LLVM's legaliser nor
// ptxas ever sees a large vector.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_TRANSFORMS_THREADTONVVM_H
#define ATTUNE_COMPILER_TRANSFORMS_THREADTONVVM_H

#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/transforms/FragmentMap.h"
#include "compiler/transforms/Passes.h"

namespace attune {

/// The registers that stand for one value of the thread form: one for each f32, i32 or i1, one for each pair
/// of 16-bit values.
using Registers = llvm::SmallVector<mlir::Value>;

/// A matrix in global memory.
struct GlobalView {
  mlir::Value base;      ///< i64: address of row 0
  mlir::Value rowStride; ///< i32, in elements: as launched with, so that it can stay in the constant bank
  mlir::Value rows;      ///< i32
  int64_t cols, elementBytes;
};

class ThreadToNvvm {
public:
  ThreadToNvvm(thread::KernelOp kernel, mlir::OpBuilder &builder);

  /// Builds the llvm.func beside the kernel.
  mlir::LogicalResult run();

private:
  // Control flow and elementwise operations.
  mlir::LogicalResult lowerBlock(mlir::Block &block);
  mlir::LogicalResult lower(mlir::Operation *op);
  mlir::LogicalResult lowerFor(mlir::scf::ForOp loop);
  mlir::LogicalResult lowerIf(mlir::scf::IfOp branch);
  mlir::LogicalResult lowerWhile(mlir::scf::WhileOp loop);
  mlir::LogicalResult lowerElementwise(mlir::Operation *op);
  mlir::LogicalResult lowerRoles(thread::SpecializeOp specialize);
  /// Loads a field of the parameter block.
  mlir::Value field(mlir::Value argument, ParameterField::What what, size_t axis = 0);
  /// The address of an array's element at `indices` of its outer axes.
  mlir::Value elementAddress(mlir::Value array, llvm::ArrayRef<mlir::Value> indices);
  void lowerRetry(thread::RetryOp op);
  void lowerView(tile::ViewOp op);
  void lowerLoadValue(tile::LoadValueOp op);
  mlir::Value entryPointer(mlir::Value workspace, mlir::Value index);
  void lowerLoadEntry(tile::LoadEntryOp op);
  void lowerStoreEntry(tile::StoreEntryOp op);
  // Scans (ThreadToNvvmScans.cpp).
  mlir::LogicalResult lowerCount(tile::CountBlocksOp op);
  mlir::LogicalResult lowerLast(tile::LastBlockOp op);
  mlir::LogicalResult lowerExtreme(mlir::Operation *op, mlir::Region &body, mlir::Value begin,
                                   mlir::Value end);

  // Tiles.
  void lowerAsyncCopy(thread::AsyncCopyOp op);
  void lowerLoadOperand(thread::LoadOperandOp op);
  void lowerDot(thread::DotOp op);
  void lowerToAOp(thread::ToAOpOp op);
  void lowerTakeNonfinite(thread::TakeNonfiniteOp op);
  /// Those that share a tile meet: the block, or, with a number, all replicas of the role.
  void meetSharers(std::optional<uint64_t> meeting);
  /// Replaces the words of a tile, which each hold two elements and which nobody reads any more; then those
  /// that share it meet.
  void rewriteTile(mlir::Value offset, int64_t bytes, std::optional<uint64_t> meeting,
                   llvm::function_ref<mlir::Value(mlir::Value)> rewrite);
  /// An element of a pair as f32.
  mlir::Value halfOf(mlir::Value pair, int64_t half, bool isBf16);
  void lowerStore(thread::StoreOp op);
  void lowerStoreRows(thread::StoreRowsOp op);
  // Barriers, TMA and wgmma (ThreadToNvvmWarpgroup.cpp).
  void lowerBarrierInit(tile::BarrierInitOp op);
  void lowerBarrierWait(tile::BarrierWaitOp op);
  void lowerBarrierArrive(tile::BarrierArriveOp op);
  /// Addresses of a slot's barriers, the parity of the phase in which it holds its tile, and the tile's
  /// offset.
  struct Slot {
    mlir::Value full, empty, parity, tile;
  };
  Slot slotOf(mlir::TypedValue<tile::RingType> ring, mlir::Value place);
  void waitAt(mlir::Value barrier, mlir::Value parity);
  void arriveAt(mlir::Value barrier);
  void lowerPlace(tile::PlaceOp op);
  void lowerNextPlace(tile::NextPlaceOp op);
  void lowerSlotAcquire(tile::SlotAcquireOp op);
  void lowerSlotWait(tile::SlotWaitOp op);
  void lowerSlotRelease(tile::SlotReleaseOp op);
  void lowerTmaLoad(tile::TmaLoadOp op);
  void lowerTmaStore(thread::TmaStoreOp op);
  void lowerNamedBarrier(thread::NamedBarrierOp op);
  void lowerVote(thread::VoteOp op);
  void lowerDraw(tile::DrawOp op);
  void lowerStoreWord(tile::StoreWordOp op);
  void lowerLoadWord(tile::LoadWordOp op);
  /// `threads` threads meet at a named barrier.
  void meet(mlir::Value number, int64_t threads);
  /// Whether the condition, an i32 that is not 0, holds for a thread of those that meet.
  mlir::Value meetAny(mlir::Value condition, int64_t number, int64_t threads);
  void lowerDotIssue(thread::DotIssueOp op);
  void lowerDotWait(thread::DotWaitOp op);
  mlir::Value barrierAddress(mlir::Value offset);
  /// The address of a tensor map among the parameters.
  mlir::Value tensorMap(mlir::Value argument);
  /// Whether this thread issues what one thread of the role issues.
  mlir::Value issuer();
  /// Assembly through which all these registers pass: nothing that reads or makes them moves across it.
  Registers asmTied(llvm::StringRef text, llvm::ArrayRef<mlir::Value> values);
  /// What of an offset varies (null: nothing), and what is constant.
  static std::pair<mlir::Value, int64_t> splitConstant(mlir::Value offset);
  /// `bytes` / 16; it is a multiple.
  mlir::Value sixteenths(mlir::Value bytes);
  /// wgmma's 64-bit description of a tile at this byte offset. `rowsAreK`: the rows are steps along k, else
  /// columns are. `moves`: it is another tile in each step.
  mlir::Value matrixDescriptor(const SwizzledTile &tile, mlir::Value offset, bool rowsAreK, bool moves);
  // Rows.
  void lowerRowReduce(thread::RowReduceOp op);
  void lowerRowCombine(thread::RowCombineOp op);
  void lowerRowIndex(thread::RowIndexOp op);
  void lowerColumnIndex(thread::ColumnIndexOp op);
  void lowerFirstColumn(thread::FirstColumnOp op);
  void lowerRamp(thread::RampOp op);
  void lowerKeepColumns(thread::KeepColumnsOp op);

  /// An address of shared memory: a register, and a constant that becomes an immediate. What only depends on
  /// the thread is the same register for every tile, so that it is computed and kept once.
  struct SharedAddress {
    mlir::Value lane;
    int64_t constant;
  };
  /// The 16-byte pieces of a swizzled tile that this thread copies: calls `piece` for each.
  struct Piece {
    SharedAddress shared;
    mlir::Value global;  ///< i64 address
    int64_t globalBytes; ///< beyond `global`, the panel's offset
    mlir::Value exists;  ///< i1, or null where the piece certainly exists
  };
  void forEachPiece(const SwizzledTile &tile, mlir::Value tileOffset, const GlobalView &view,
                    mlir::Value firstRow, bool bounded, llvm::function_ref<void(const Piece &)> piece);

  SharedAddress sharedAddress(mlir::Value laneOffset, mlir::Value tileOffset);

  /// Loads 16 x 16 values with ldmatrix.x4, four registers. `lane` is the thread's address in the tile's
  /// first 16 x 16 block of a panel; the block is `row` rows further down and at column `col`.
  llvm::SmallVector<mlir::Value, 4> loadBlock(const SwizzledTile &tile, SharedAddress lane, int64_t row,
                                              int64_t col, bool transposed);
  /// Where 16-byte chunk `chunk` of row `row` lies in the first panel of a tile; both are this thread's own.
  SharedAddress laneAddress(const SwizzledTile &tile, mlir::Value tileOffset, mlir::Value row,
                            mlir::Value chunk);
  /// The inverse of loadBlock: stmatrix.x4.
  void storeBlock(const SwizzledTile &tile, SharedAddress lane, int64_t row, int64_t col,
                  llvm::ArrayRef<mlir::Value> registers);
  llvm::SmallVector<mlir::Value, 4> loadSlab(const SwizzledTile &tile, SharedAddress lane, int64_t slab,
                                             int64_t kStep);

  // Small helpers.
  mlir::Value i32(int64_t value);
  mlir::Value i64(int64_t value);
  mlir::Value f32(float value);
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value add(mlir::Value x, int64_t y);
  mlir::Value mul(mlir::Value x, int64_t y);
  mlir::Value band(mlir::Value x, int64_t y);
  mlir::Value shr(mlir::Value x, int64_t y); ///< logical
  mlir::Value bxor(mlir::Value x, mlir::Value y);
  mlir::Value less(mlir::Value x, mlir::Value y); ///< signed
  /// Inline assembly without side effects, one result.
  mlir::Value asm1(mlir::Type type, llvm::StringRef text, llvm::StringRef constraints,
                   mlir::ValueRange operands);
  /// Inline assembly that reads or writes memory: it stays where it is.
  mlir::LLVM::InlineAsmOp asmMemory(mlir::Type type, llvm::StringRef text, llvm::StringRef constraints,
                                    mlir::ValueRange operands);
  mlir::Value intrinsic(llvm::StringRef name, mlir::Type type, mlir::ValueRange operands);
  /// x * y + z, x and y signed 32 bits, z 64 bits: one instruction, which LLVM would otherwise take apart.
  mlir::Value madWide(mlir::Value x, mlir::Value y, mlir::Value z);
  /// `value`, of which LLVM knows nothing: what is computed from it is computed here and not where the same
  /// computation stands before a loop, in registers that would have to live through the loop.
  mlir::Value opaque(mlir::Value value);
  /// `value`, which is the same for all threads of a warp, in a register of the warp.
  mlir::Value uniform(mlir::Value value);
  mlir::Value sharedPointer(mlir::Value address);
  mlir::Value globalPointer(mlir::Value address, int64_t bytes = 0);
  mlir::Value shuffle(mlir::Value value, int64_t mask);
  mlir::Value pack(mlir::Value low, mlir::Value high, mlir::Type element);
  /// for (i = from; i < to; i += by) with values that each iteration gives to the next. `from` < `to`.
  Registers countingLoop(mlir::Value from, mlir::Value to, int64_t by, Registers carried,
                         llvm::function_ref<Registers(mlir::Value i, Registers carried)> body);
  /// Runs `body` only where `condition` holds.
  void branch(mlir::Value condition, llvm::function_ref<void()> body);
  void barrier();

  Registers &registers(mlir::Value value) { return values[value]; }
  mlir::Value scalar(mlir::Value value) { return values[value].front(); }

  thread::KernelOp kernel;
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::LLVM::LLVMFuncOp func;
  int64_t warps;        ///< of the role that is being lowered
  int64_t replicas = 1; ///< of it
  std::vector<Argument> arguments;
  ParameterBlock block;
  llvm::DenseMap<mlir::Value, Registers> values;
  llvm::DenseMap<mlir::Value, GlobalView> views;
  mlir::Value params;
  mlir::Block *start = nullptr; ///< where a retry goes; its argument is the attempt
  /// Where this thread is in its role; computed once at the start of it.
  mlir::Value thread, lane, warp, laneRow /* lane / 4 */, laneColumn /* 2 (lane mod 4) */, sharedBase;
  mlir::Value replica; ///< of a role that has several
  mlir::Value elected; ///< in a role: one lane of the warp
};

} // namespace attune

#endif // ATTUNE_COMPILER_TRANSFORMS_THREADTONVVM_H
