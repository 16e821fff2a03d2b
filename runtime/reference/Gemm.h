//===- Gemm.h - C += A B for the references ---------------------*- C++ -*-===//
//
// A small register-blocked product, in double for the fp64 reference and in float for the plain 16-bit
// algorithm. Each element of C is one sum in ascending order of k, so the float results do not depend on
// the host: products of 16-bit values are exact in f32, and with or without a fused multiply-add one
// rounding is left.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_REFERENCE_GEMM_H
#define ATTUNE_RUNTIME_REFERENCE_GEMM_H

#include <cstdint>
#include <cstring>

namespace attune::reference {

/// Rows of C that are computed together; columns: gemmColumns<T>.
inline constexpr int gemmRows = 4;
template <typename T> inline constexpr int gemmColumns = 64 / int(sizeof(T));

namespace detail {
template <typename T>
[[gnu::always_inline]] inline void gemmBody(const T *a, int64_t strideA, const T *b, int64_t strideB, T *c,
                                            int64_t strideC, int64_t rows, int64_t columns, int64_t depth) {
  using Vector [[gnu::vector_size(32)]] = T;
  constexpr int lanes = 32 / sizeof(T);
  for (int64_t i = 0; i < rows; i += gemmRows)
    for (int64_t j = 0; j < columns; j += 2 * lanes) {
      Vector sum[gemmRows][2];
      for (int r = 0; r < gemmRows; ++r)
        std::memcpy(sum[r], c + (i + r) * strideC + j, sizeof(sum[r]));
      for (int64_t k = 0; k < depth; ++k) {
        Vector right[2];
        std::memcpy(right, b + k * strideB + j, sizeof(right));
        for (int r = 0; r < gemmRows; ++r) {
          T left = a[(i + r) * strideA + k];
          sum[r][0] += left * right[0];
          sum[r][1] += left * right[1];
        }
      }
      for (int r = 0; r < gemmRows; ++r)
        std::memcpy(c + (i + r) * strideC + j, sum[r], sizeof(sum[r]));
    }
}

#if defined(__x86_64__)
template <typename T>
[[gnu::target("avx2,fma")]] void gemmAvx2(const T *a, int64_t strideA, const T *b, int64_t strideB, T *c,
                                          int64_t strideC, int64_t rows, int64_t columns, int64_t depth) {
  gemmBody(a, strideA, b, strideB, c, strideC, rows, columns, depth);
}
#endif
} // namespace detail

/// c[rows][columns] += a[rows][depth] * b[depth][columns], with distances between rows in elements. `rows` is
/// a multiple of gemmRows and `columns` of gemmColumns<T>.
template <typename T>
void gemm(const T *a, int64_t strideA, const T *b, int64_t strideB, T *c, int64_t strideC, int64_t rows,
          int64_t columns, int64_t depth) {
#if defined(__x86_64__)
  static const bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (hasAvx2)
    return detail::gemmAvx2(a, strideA, b, strideB, c, strideC, rows, columns, depth);
#endif
  detail::gemmBody(a, strideA, b, strideB, c, strideC, rows, columns, depth);
}

} // namespace attune::reference

#endif // ATTUNE_RUNTIME_REFERENCE_GEMM_H
