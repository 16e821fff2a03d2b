//===- Work.h - what a kernel makes a GPU do --------------------*- C++ -*-===//
//
// The work of a candidate for one problem, in the units that GPUs are rated in. A family says it in closed
// form; the simulator counts it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TUNER_WORK_H
#define ATTUNE_TUNER_WORK_H

#include "compiler/spec/Spec.h"
#include "runtime/plan/ProblemShape.h"

#include <cstdint>

namespace attune::tuner {

/// Totals of a problem, and how they are spread. Blocks are thread blocks; a step is one block of keys in one
/// of them.
struct Work {
  double multiplyAdds = 0; ///< on the tensor cores
  double exponentials = 0; ///< of threads, on the special-function unit
  double alu = 0;          ///< warp instructions of the half-rate pipe: maxima, conversions, masks
  double slots = 0;        ///< warp instructions that a scheduler issues, without those of the tensor cores
  double wavefronts = 0;   ///< cycles of a shared-memory port
  double globalBytes = 0;  ///< asked of L2: every block reads its K and V
  double uniqueBytes = 0;  ///< asked of device memory: each array once
  double steps = 0;
  int64_t blocks = 0;
  double longestBlock = 1; ///< the longest block's steps against the mean
  double usefulShare = 1;  ///< score elements that the mask keeps, of those that are computed

  int warps = 1;      ///< of a block, that compute
  int stages = 1;     ///< copies in flight
  bool wgmma = false; ///< else mma.sync
  bool nvrtc = false; ///< NVRTC ordered the instructions (target cuda), not LLVM
  /// Parts of a block that take no heed of each other between two steps: warpgroups with roles, each as two
  /// where its next product runs beside its softmax. 0: all warps meet at a barrier.
  int strands = 0;
  int registers = 0;      ///< that the values of a thread want, however many there are
  double firstBytes = 0;  ///< that a block waits for before its first step
  double filledBytes = 0; ///< that it asks for before its first step
};

/// Blocks of keys that thread blocks visit, by the mask; of one head.
struct Steps {
  double all = 0;        ///< over the query blocks of one head
  double masked = 0;     ///< of these, those that a row's first or last key crosses
  double longest = 0;    ///< of one query block
  double keptScores = 0; ///< scores of one head that the mask keeps
  double keys = 0;       ///< that any row keeps
  /// Issue slots of the spec's own expressions: of a score, and of a score of a masked step.
  double scoreSlots = 0, maskSlots = 0;
};
/// Of masks that are expressions, a sample of blocks is asked by interval arithmetic, as kernels do; of
/// arrays nothing is known here, so that masks which hang on one alone visit all blocks.
Steps countSteps(const AttentionSpec &spec, const ProblemShape &shape, int blockQ, int blockKv);

/// The part of a forward kernel's work that no family decides: steps, blocks, products, exponentials, masks
/// and what has to come from memory. `headDim*` as they are computed, `bytes` of an element.
Work forwardWork(const AttentionSpec &spec, const ProblemShape &shape, const Steps &perHead, int blockQ,
                 int blockKv, int headDimQk, int headDimV, int bytes);

} // namespace attune::tuner

#endif // ATTUNE_TUNER_WORK_H
