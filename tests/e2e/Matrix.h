//===- Matrix.h - which cases are run ---------------------------*- C++ -*-===//
#ifndef ATTUNE_TESTS_E2E_MATRIX_H
#define ATTUNE_TESTS_E2E_MATRIX_H

#include "tests/e2e/Case.h"

namespace attune::e2e {

/// The values that the matrix is made of.
struct Axes {
  std::vector<DType> dtypes;
  std::vector<std::pair<int, int>> dims; ///< head_dim_qk, head_dim_v
  std::vector<std::vector<MaskTerm>> masks;
  std::vector<std::string> archs;
  std::vector<int> lengths;
  std::vector<std::pair<int, int>> heads; ///< of Q, of K and V
};
const Axes &axes();

/// A subset for every run: each pair of (dims, dtype), (mask, dtype), (mask, arch), (mask, score variant) and
/// of lengths appears, each dims with several masks, in about half a minute on two cores.
std::vector<Case> quickMatrix();

/// Every dtype x dims x mask, each with all the lengths in both directions and all GQA ratios spread over it.
std::vector<Case> fullMatrix();

/// `count` kernels drawn from everything that a spec can say, each with a few shapes. They ask for no
/// schedule that might not fit.
std::vector<Case> randomMatrix(int count, uint64_t seed);

} // namespace attune::e2e

#endif // ATTUNE_TESTS_E2E_MATRIX_H
