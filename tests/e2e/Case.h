//===- Case.h - one end-to-end case, and its name ---------------*- C++ -*-===//
//
// A case is a kernel (spec, architecture, schedule) and shapes that it runs on. Its text form is both its
// name in reports and what reproduces it: attune_e2e --case 'TEXT'.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_E2E_CASE_H
#define ATTUNE_TESTS_E2E_CASE_H

#include "compiler/spec/Spec.h"
#include "compiler/support/Result.h"
#include "runtime/reference/Problem.h"

#include <string>
#include <vector>

namespace attune::e2e {

/// How the device's arrays lie. Kernels take any strides; these are the ones that find mistakes.
enum class Placement {
  BSHD,
  BHSD,
  Padded,   ///< gaps behind rows, heads and batches, each array another one
  FarBatch, ///< batches more than 2^31 elements apart
  FarHead,  ///< heads more than 2^31 elements apart
  FarRow,   ///< rows so far apart that the last lies beyond 2^31 elements
};

/// A run-time shape.
struct Shape {
  int batch = 1, headsQ = 1, headsKv = 1, lengthQ = 1, lengthKv = 1;
  Placement placement = Placement::BSHD;
  uint64_t seed = 1;
  double deviation = 1; ///< of Q and K: larger ones make softmax sharp and maxima move
  double deviationV = 1;
  /// Every eighth key's V is NaN, and its neighbour's infinite: rows that do not keep them must not change.
  bool nanValues = false;
  /// The later half of the keys are -inf and Q is positive, but for row 7, which alone may be NaN.
  bool infiniteKeys = false;
  /// Of the simulated GPU; 0: as many as the architecture has. With few, each CTA of a grid computes several
  /// tiles.
  int multiprocessors = 0;
  double deviationSink = 3; ///< of a spec with sinks; 0: they are -inf
};

/// The lengths of a shape's batch entries along an axis of this length, for specs that have them: none, one,
/// those around a block's edge, all, and what is cut.
std::vector<int32_t> entryLengths(const Shape &shape, int length);

/// What is compiled.
struct Kernel {
  AttentionSpec spec;
  std::string arch = "sm_80";
};

/// A kernel and the shapes that it runs on.
struct Case {
  Kernel kernel;
  std::vector<Shape> shapes;
};

/// Where the kernel comes from and how it runs. Empty fields of a filter match all.
struct RunFilter {
  std::string target; ///< "ptx", "cuda"
  std::string mode;   ///< "eager", "lazy", "random"
};

/// "dtype=bf16 dims=128/64 mask=causal:br arch=sm_80 batch=1 heads=4/1 lens=65/127 strides=bshd seed=3"
std::string kernelText(const Kernel &kernel);
std::string shapeText(const Shape &shape);

/// The inverse: fields in any order; those that are missing have their defaults; `target` and `mode` may be
/// given.
Result<std::pair<Case, RunFilter>> parseCase(const std::string &text);

/// Strides of the device's arrays for a shape.
reference::Problem placedProblem(const AttentionSpec &spec, const Shape &shape);

} // namespace attune::e2e

#endif // ATTUNE_TESTS_E2E_CASE_H
