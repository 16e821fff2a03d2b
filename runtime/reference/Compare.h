//===- Compare.h - is a result right? ---------------------------*- C++ -*-===//
//
// The verdict on a kernel's outputs: its error against fp64 may be at most twice that of the plain 16-bit
// algorithm.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_COMPARE_H
#define ATTUNE_RUNTIME_REFERENCE_COMPARE_H

#include "runtime/reference/Reference.h"

#include <optional>
#include <string>

namespace attune::reference {

/// What O and LSE are filled with before a launch, so that an element that the kernel never wrote is seen.
/// NaNs (in both 16-bit types), and not the NaN that arithmetic gives (0x7fff, 0x7fffffff).
inline constexpr uint16_t unwritten16 = 0x7fa5;
inline constexpr uint32_t unwritten32 = 0x7fa5a5a5;

/// A kernel's outputs, laid out by the problem's strides `o` and `lse`.
struct Outputs {
  const uint16_t *o;
  const float *lse; ///< null: not checked
};

/// Errors of a set of elements against fp64.
struct ErrorStats {
  double maximum = 0, mean = 0, rms = 0; ///< of |value - exact|
  int64_t count = 0;                     ///< elements that were compared: both values finite
};

/// One element that says why a result is wrong.
struct ElementReport {
  int64_t batch = 0, head = 0, row = 0, dim = 0; ///< dim is 0 for LSE
  double expected = 0, got = 0;
};

/// The verdict and what it rests on.
///
/// O passes iff its maximal and its RMS error are at most twice those of the plain algorithm, plus a floor:
///  * O of at least `smallOutput` elements: 2^-20 * max |exact|, so that both being exact up to f32 passes;
///  * smaller ones: u * sqrt(exact^2 + sum (p v)^2), largest over elements (for RMS: its RMS), where u is the
///  type's
///    largest rounding error. Among few elements the plain algorithm may be exact by luck; this is what
///    rounding P and O once each costs.
/// O also passes if each element is within one unit in the last place of its type: no 16-bit result need be
/// better, and where softmax picks a single key the plain algorithm makes no error at all. LSE passes iff
/// each error is at most `lseTolerance`.
struct Report {
  bool passed = false;
  ErrorStats o, plain; ///< error of O, and of the plain algorithm
  /// o.maximum / plain.maximum; 0 if O is exact; none where the plain algorithm has no finite result or no
  /// error.
  std::optional<double> ratio;
  std::optional<double> ratioRms; ///< likewise for rms
  double floorMaximum = 0, floorRms = 0;
  double ulps = 0; ///< largest error of O in units of 2 u |exact|, about the last place of the 16-bit type
  bool lseChecked = false;
  ErrorStats lse;
  double lseTolerance = 0; ///< absolute
  int64_t unwritten = 0;   ///< elements of O that still hold `unwritten16`
  int64_t unwrittenLse = 0;
  int64_t mismatched = 0; ///< elements of O that are NaN or infinite where fp64 is not, or the reverse
  int64_t mismatchedLse = 0;
  ElementReport
      worst; ///< of O: the first unwritten, else the first mismatched, else that with the largest error
  ElementReport worstLse;
  std::string why; ///< what failed, one sentence; empty if passed
};

/// Judges `outputs`. `plain` is plainAttention()'s result for the same inputs.
Report compare(const AttentionSpec &spec, const Problem &problem, const Outputs &outputs,
               const ExactAttention &exact, const std::vector<uint16_t> &plain);

/// Computes both references, then judges.
Report verify(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs,
              const Outputs &outputs);

/// For people: one to four lines, each ended by a newline.
std::string toText(const Report &report);

/// One JSON object, in one line. Numbers that JSON cannot hold become the strings "nan", "inf", "-inf".
std::string toJson(const Report &report);

/// Where two runs of one problem differ in their bits, or empty if nowhere; for kernel against oracle
/// or target against target. `lse` may be null in both.
std::string firstDifference(const AttentionSpec &spec, const Problem &problem, const Outputs &got,
                            const Outputs &expected);

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_COMPARE_H
