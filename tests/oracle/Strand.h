//===- Strand.h - one role of a block as it runs ----------------*- C++ -*-===//
//
// All warps of a role run together, an operation at a time on whole tiles. Where warps branch apart both
// sides are computed, and each warp's rows take their own.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_ORACLE_STRAND_H
#define ATTUNE_TESTS_ORACLE_STRAND_H

#include "compiler/dialect/tile/Tile.h"
#include "tests/oracle/Values.h"

#include "llvm/ADT/DenseMap.h"

namespace attune::oracle {

using Environment = llvm::DenseMap<mlir::Value, Datum>;

/// What all strands of a block share.
struct BlockFacts {
  std::array<uint32_t, 3> index{}, grid{};
  uint32_t attempt = 0;
  reference::TensorCoreRule rule;
  Meeting *meeting = nullptr;
  std::map<std::string, const BoundArray *> arrays; ///< by name, for tensor maps
};

class Strand {
public:
  enum class State {
    Waiting,    ///< for what another strand does
    Done,       ///< at the end of its body
    Specialize, ///< at the roles of its kernel
    Again,      ///< the block is to be computed once more
    Failed,
  };

  Strand(const BlockFacts &facts, mlir::Block &body, int64_t warps, uint32_t replica, Environment environment)
      : facts(facts), warps(warps), replica(replica), values(std::move(environment)) {
    frames.push_back({Frame::Body, &body, body.begin()});
  }

  /// Runs as far as it can; `moved` becomes true if that is an operation or more.
  State run(bool &moved);

  const std::string &error() const { return message; }
  /// Where it stands.
  mlir::Operation *current() const { return frames.empty() ? nullptr : &*frames.back().at; }
  const Environment &environment() const { return values; }
  uint32_t nextAttempt() const { return following; } ///< in state Again

private:
  /// What became of an operation.
  enum class Next {
    Following, ///< it is done
    Elsewhere, ///< frames say what comes next
    Stay,      ///< it cannot go on yet
    Fail,
    Again,
  };

  /// A block that is being run, and what its terminator does.
  struct Frame {
    enum Kind { Body, For, If, Then, Else, Before, After } kind; ///< Then, Else: for warps apart
    mlir::Block *block;
    mlir::Block::iterator at;
    mlir::Operation *owner = nullptr;
    uint32_t index = 0;                     ///< of a loop
    std::vector<uint32_t> takes = {};       ///< the condition of each warp
    llvm::SmallVector<Datum> fromThen = {}; ///< what the first side gave
  };

  Next step(mlir::Operation *op);
  Next enter(mlir::Operation *op);
  Next leave(mlir::Operation *terminator);
  Next enterFor(mlir::scf::ForOp loop);
  Next enterIf(mlir::scf::IfOp branch);
  Next memory(mlir::Operation *op);
  Next loadValues(tile::LoadValueOp load);
  Next scan(mlir::Operation *op, mlir::Region &region, int64_t begin, int64_t end);
  /// A number of a workspace; null where that has no such number.
  uint32_t *entryOf(mlir::Value workspace, int64_t index) const;
  Next store(mlir::Operation *op, const MatrixView &view, mlir::Value row);
  Next vote(tile::VoteOp vote);
  Next compute(mlir::Operation *op);

  Next fail(mlir::Operation *op, const std::string &what);
  Next give(mlir::Value result, Datum datum) {
    values[result] = std::move(datum);
    return Next::Following;
  }

  // Operands.
  const Words &words(mlir::Value value) const { return std::get<Words>(values.find(value)->second); }
  std::vector<uint32_t> expanded(mlir::Value value) const {
    return words(value).expanded(value.getType(), warps);
  }
  /// A scalar that all warps agree on.
  std::optional<uint32_t> uniform(mlir::Value value) const;
  int64_t whole(mlir::Value value) const { return int32_t(words(value)[0]); }
  template <typename T> const T &get(mlir::Value value) const {
    return std::get<T>(values.find(value)->second);
  }
  SharedTile *tileOf(mlir::Value value) const { return get<std::shared_ptr<SharedTile>>(value).get(); }
  Datum merged(mlir::Type type, const std::vector<uint32_t> &takes, const Datum &yes, const Datum &no) const;

  Next place(mlir::Operation *op, Ring &ring, int64_t index, std::shared_ptr<SharedTile> &tile);
  Next wait(mlir::Operation *op, mlir::Value ring, mlir::Value index, mlir::Value result);
  Next copy(mlir::Operation *op, const MatrixView &view, int64_t row, SharedTile &tile, bool bounded);
  std::optional<MatrixView> viewOf(const BoundArray &array, llvm::ArrayRef<int64_t> indices,
                                   int64_t rows) const;
  Next product(mlir::Operation *op, mlir::Value a, mlir::Value b, bool transposed, mlir::Value c);
  Words reduced(mlir::Value value, mlir::Value init, tile::Reduction kind) const;
  Words combined(const Words &rows, mlir::Type type, tile::Reduction kind) const;
  Words kept(tile::KeepColumnsOp keep) const;
  Words nonfinite(tile::TakeNonfiniteOp take) const;

  const BlockFacts &facts;
  int64_t warps;
  uint32_t replica;
  Environment values;
  std::vector<Frame> frames;
  uint32_t following = 0;
  std::optional<uint64_t> votedIn; ///< the round of a vote that is still open
  std::string message;
};

} // namespace attune::oracle

#endif // ATTUNE_TESTS_ORACLE_STRAND_H
