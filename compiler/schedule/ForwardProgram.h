//===- ForwardProgram.h - what forward kernels of all families share -*- C++ -*-===//
//
// The arguments, which queries, head and batch entry a block owns, which keys it visits, and what a block of
// products becomes on its way to the softmax. How tiles travel and who computes what is the family's own.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_FORWARDPROGRAM_H
#define ATTUNE_COMPILER_SCHEDULE_FORWARDPROGRAM_H

#include "compiler/dialect/attn/Attn.h"
#include "compiler/dialect/tile/Tile.h"
#include "compiler/program/Program.h"
#include "compiler/schedule/BlockRange.h"
#include "compiler/schedule/Family.h"
#include "compiler/schedule/OnlineSoftmax.h"

#include "llvm/ADT/StringMap.h"

namespace attune {

/// Which kind of key block a loop walks over.
struct BlockKind {
  const char *name;
  bool first; ///< may hold keys before the first that a row sees
  bool last;  ///< may hold keys after the last that a row sees
  const char *note;
};
inline constexpr BlockKind kRight = {"right", false, true, "blocks that cross a row's last key"};
inline constexpr BlockKind kRightAndLeft = {"right", true, true,
                                            "blocks that cross a row's last key, or its first"};
inline constexpr BlockKind kWhole = {"whole", false, false, "blocks that every row sees whole"};
inline constexpr BlockKind kLeft = {"left", true, false, "blocks that cross a row's first key"};

class ForwardProgram {
protected:
  ForwardProgram(mlir::OpBuilder &builder, attn::ForwardOp forward, const DecidedSchedule &decided);

  mlir::RankedTensorType tensor(llvm::ArrayRef<int64_t> shape, mlir::Type element, mlir::Attribute layout) {
    return mlir::RankedTensorType::get(shape, element, layout);
  }
  mlir::Attribute smem() { return tile::SmemAttr::get(context); }
  mlir::Attribute acc() { return tile::AccAttr::get(context); }
  mlir::Attribute row() { return tile::RowAttr::get(context); }
  DType element() const;

  /// The kernel, with a grid of (blocks of `blockQ` queries, query heads, batch); its body is where `b`
  /// stands. `warps` is 0 where roles have them; `note` tells a reader what to expect.
  void openKernel(int64_t blockQ, int64_t warps, llvm::StringRef note);
  /// q, k, v, o, sink and lse where they are wanted, and the sizes; a family may add more before
  /// finishArguments.
  void declareArguments();
  mlir::Value addArgument(const Argument &argument, int64_t cols = 0);
  void finishArguments();

  /// The matrix of this batch entry and a head of an array.
  mlir::Value view(NamingBuilder &at, llvm::StringRef name, mlir::Value array, mlir::Value ofHead,
                   mlir::Value rows);
  /// Which queries, head and batch entry this block owns.
  void locate(int64_t blockQ);
  BlockRange blocksOfKeys(int64_t blockQ, int64_t blockKv);

  /// Whether the scale can be multiplied inside the exponential.
  bool scaleFolds() { return identityScore && OnlineSoftmax::takesScale(scale, forward.getSink()); }
  OnlineSoftmax softmax(mlir::RankedTensorType outType) {
    return OnlineSoftmax(outType, scaleFolds() ? scale : 1.0);
  }
  /// What is stored of the rows that this block's loops ended with: with the head's sink, where there are
  /// any.
  FinishedRows finishRows(NamingBuilder &at, SoftmaxState state, mlir::RankedTensorType outType,
                          mlir::Value small = {});
  /// The scores of a tile of products whose first row and key these are: scaled and changed as the spec says,
  /// -inf where a row does not see a key. Fails, with an error at the op, on what tiles cannot do.
  mlir::FailureOr<mlir::Value> scoresOf(NamingBuilder &at, const BlockKind &kind, mlir::Value products,
                                        mlir::Value firstRow, mlir::Value firstKey);

  attn::ForwardOp forward;
  const DecidedSchedule &decided;
  mlir::MLIRContext *context;
  int64_t headDimQk, headDimV;
  mlir::Type dtype;
  MaskBounds bounds;
  bool identityScore;
  double scale;
  NamingBuilder b;

  tile::KernelOp kernel;
  llvm::StringMap<mlir::Value> scalars; ///< what is given at launch by name
  mlir::Value qArray, kArray, vArray, oArray, sinkArray, lseArray, headsPerKvHead;
  mlir::Value lengthQ, lengthKv, batch, head, kvHead, firstQuery;
  MaskLimits limits;

private:
  mlir::Value indexTile(NamingBuilder &at, mlir::RankedTensorType shape, mlir::Value argument,
                        mlir::Value firstRow, mlir::Value firstKey);
  mlir::FailureOr<mlir::Value> applyScore(NamingBuilder &at, mlir::Value products, mlir::Value firstRow,
                                          mlir::Value firstKey);

  llvm::SmallVector<mlir::Attribute> signature;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_FORWARDPROGRAM_H
