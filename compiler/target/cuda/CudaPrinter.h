//===- CudaPrinter.h - the parts of translateToCuda -------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_TARGET_CUDA_CUDAPRINTER_H
#define ATTUNE_COMPILER_TARGET_CUDA_CUDAPRINTER_H

#include "compiler/dialect/thread/Thread.h"
#include "compiler/dialect/tile/KernelHeader.h"
#include "compiler/target/cuda/ValueUses.h"

#include "llvm/ADT/StringSet.h"

#include <string>
#include <vector>

namespace attune {

/// What a C++ expression is to the templates: they let a scalar stand for a row or a tile, and a row for a
/// tile whose every column it is.
enum class Form { Scalar, Row, Tile };

struct Expression {
  std::string text;
  int precedence = 20; ///< of the outermost operator; larger binds tighter
  Form form = Form::Scalar;
};

/// Whether CUDA C++ or the templates call something else so that a kernel's text uses, or that has C linkage.
bool isNameOfCuda(llvm::StringRef name);

class CudaPrinter {
public:
  /// `kernel` is a copy that the printer may change.
  explicit CudaPrinter(thread::KernelOp kernel);

  /// The kernel, and the struct of its parameters before it.
  llvm::FailureOr<std::string> print();

private:
  //===-- Statements (CudaPrinter.cpp) --===//
  llvm::LogicalResult header();
  void parameters();
  llvm::LogicalResult block(mlir::Block &block);
  llvm::LogicalResult statement(mlir::Operation *op);
  llvm::LogicalResult define(mlir::Operation *op);
  llvm::LogicalResult forLoop(mlir::scf::ForOp loop);
  llvm::LogicalResult ifElse(mlir::scf::IfOp branch);
  llvm::LogicalResult whileLoop(mlir::scf::WhileOp loop);
  llvm::LogicalResult yield(mlir::Operation *terminator, llvm::ArrayRef<int> targets);
  llvm::LogicalResult asyncCopy(thread::AsyncCopyOp op);
  // Scans (CudaScans.cpp).
  llvm::FailureOr<std::string> asked(mlir::Block &body, const std::string &top, int below,
                                     const std::string &begin);
  llvm::LogicalResult count(tile::CountBlocksOp op);
  llvm::LogicalResult last(tile::LastBlockOp op);
  llvm::LogicalResult extreme(mlir::Operation *op, mlir::Region &body, mlir::Value begin, mlir::Value end);
  llvm::LogicalResult storeEntry(tile::StoreEntryOp op);
  void view(tile::ViewOp op);
  /// The parts of a kernel, in their order.
  enum class Part { None, Place, Views, Blocks, Memory, Copies, Loops, Result };
  void section(Part part);
  void line(const llvm::Twine &text);
  void comment(llvm::StringRef note);
  /// Canonicalisation turns results of an scf.if into selects before it; back, for they read better inside.
  void sinkSelects();

  //===-- Roles and what runs beside the warps (CudaRoles.cpp) --===//
  llvm::LogicalResult roles(thread::SpecializeOp specialize);
  std::string barrier(mlir::Value offset);
  void initialiseBarriers(tile::BarrierInitOp op);
  void ring(tile::RingOp op);
  /// A ring's function for a slot: "k_ring.wait(place".
  llvm::FailureOr<std::string> slotCall(mlir::Value ring, llvm::StringRef function, mlir::Value place);
  llvm::LogicalResult acquire(tile::SlotAcquireOp op);
  llvm::LogicalResult waitForSlot(tile::SlotWaitOp op);
  llvm::LogicalResult release(tile::SlotReleaseOp op);
  llvm::LogicalResult tmaLoad(tile::TmaLoadOp op);
  llvm::LogicalResult tmaStore(thread::TmaStoreOp op);
  llvm::LogicalResult namedBarrier(thread::NamedBarrierOp op);
  llvm::LogicalResult storeWord(tile::StoreWordOp op);
  llvm::LogicalResult issue(thread::DotIssueOp op);
  llvm::LogicalResult waitForDot(thread::DotWaitOp op);
  int64_t blockThreads();

  //===-- Expressions (CudaExpressions.cpp) --===//
  llvm::FailureOr<Expression> expression(mlir::Value value);
  llvm::FailureOr<Expression> compute(mlir::Operation *op);
  llvm::FailureOr<Expression> elementwise(mlir::Operation *op);
  llvm::FailureOr<Expression> dot(thread::DotOp op);
  llvm::FailureOr<Expression> binary(mlir::Operation *op, llvm::StringRef symbol, int precedence);
  llvm::FailureOr<Expression> call(mlir::Operation *op, llvm::StringRef function);
  llvm::FailureOr<Expression> call(llvm::StringRef function, mlir::Value a, mlir::Value b);
  llvm::FailureOr<Expression> comparison(mlir::arith::CmpIOp compare);
  llvm::FailureOr<Expression> comparison(mlir::arith::CmpFOp compare);
  Expression literal(mlir::TypedAttr value);
  /// The text of `value` in at least the form that its type has.
  llvm::FailureOr<std::string> full(mlir::Value value);
  /// The text of `value` as what initialises a variable of its type.
  llvm::FailureOr<std::string> initialiser(mlir::Value value);
  llvm::FailureOr<std::string> text(mlir::Value value, int precedence = 0);

  //===-- Types (CudaExpressions.cpp), names, variables (CudaNames.cpp) --===//
  Form formOf(mlir::Type type);
  int64_t columnsOf(mlir::VectorType type);
  std::string typeText(mlir::Type type);
  /// The name of an array that the kernel is launched with.
  llvm::StringRef argumentName(mlir::Value argument);
  std::string tileType(int64_t rows, int64_t cols, mlir::Type element);
  llvm::FailureOr<std::string> smemTile(mlir::Value offset, int64_t rows, int64_t cols, mlir::Type element);
  void nameTile(mlir::Value offset, int64_t rows, int64_t cols, mlir::Type element, llvm::StringRef name);
  void findTiles();
  std::string unique(std::string name);
  std::string nameOf(mlir::Operation *op);
  std::string nameOfValue(mlir::Value value);
  int newVariable(std::string name);
  void bind(mlir::Value value, int variable);
  bool mayOverwrite(int variable, mlir::Operation *point);
  bool reads(mlir::Value value, int variable);
  int variableOf(mlir::Value value);

  thread::KernelOp kernel;
  ValueUses uses;
  int64_t warps, rows = 0;     ///< warps that share a fragment, and the rows of it
  std::string replica, leader; ///< inside a role: its number, and whether this is the lane that issues
  thread::RoleOp role;         ///< null outside of roles
  std::vector<Argument> arguments;
  std::string out;
  int depth = 0;
  Part current = Part::None;

  llvm::DenseMap<mlir::Value, Expression> known; ///< values that have names
  /// Variables that change: name, and the values that they hold now.
  struct Variable {
    std::string name;
    mlir::Value holds;
  };
  std::vector<Variable> variables;
  llvm::DenseMap<mlir::Value, int> bound;
  llvm::DenseMap<mlir::Value, int> wanted;                           ///< the variable that a value ends up in
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<int>> targets; ///< of a yield, by operand
  std::vector<llvm::StringSet<>> scopes;

  struct SmemTile {
    int64_t offset, rows, cols;
    mlir::Type element;
    std::string name;
  };
  std::vector<SmemTile> tiles;                  ///< at constant offsets
  llvm::DenseMap<mlir::Value, SmemTile> tileAt; ///< at computed offsets that are used as one kind of tile
};

} // namespace attune

#endif // ATTUNE_COMPILER_TARGET_CUDA_CUDAPRINTER_H
