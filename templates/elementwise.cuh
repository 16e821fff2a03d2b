//===- elementwise.cuh - arithmetic on tiles --------------------*- CUDA -*-===//
//
// Operators over accumulators, rows and scalars. A scalar stands for a tile of itself, and beside an
// accumulator a row stands for the accumulator whose every column it is. f32 is rounded to nearest and never
// contracted: the intrinsics are add.rn, sub.rn, mul.rn, fma.rn.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "vec.cuh"

namespace attune {

// The tile shape that an operation on A and B gives; none for two scalars.
struct Scalar {};
template <typename A> struct ShapeOfOne {
  using type = Scalar;
};
template <typename T, int R, typename S> struct ShapeOfOne<Vec<T, R, S>> {
  using type = S;
};
template <typename A, typename B> struct Join;
template <typename S> struct Join<S, S> {
  using type = S;
};
template <> struct Join<Scalar, Scalar> {
  using type = Scalar;
};
template <int M, int N, int W> struct Join<AccShape<M, N, W>, Scalar> {
  using type = AccShape<M, N, W>;
};
template <int M, int N, int W> struct Join<Scalar, AccShape<M, N, W>> {
  using type = AccShape<M, N, W>;
};
template <int M, int W> struct Join<RowShape<M, W>, Scalar> {
  using type = RowShape<M, W>;
};
template <int M, int W> struct Join<Scalar, RowShape<M, W>> {
  using type = RowShape<M, W>;
};
template <int M, int N, int W> struct Join<AccShape<M, N, W>, RowShape<M, W>> {
  using type = AccShape<M, N, W>;
};
template <int M, int N, int W> struct Join<RowShape<M, W>, AccShape<M, N, W>> {
  using type = AccShape<M, N, W>;
};
template <typename A> using ShapeOf = typename ShapeOfOne<A>::type;
template <typename A, typename B> using ShapeOf2 = typename Join<ShapeOf<A>, ShapeOf<B>>::type;
template <typename A, typename B, typename C>
using ShapeOf3 = typename Join<ShapeOf2<A, B>, ShapeOf<C>>::type;
template <typename... A> struct ShapeOfEach {
  using type = Scalar;
};
template <typename A, typename... More> struct ShapeOfEach<A, More...> {
  using type = typename Join<ShapeOf<A>, typename ShapeOfEach<More...>::type>::type;
};
template <typename... A> using ShapeOfAll = typename ShapeOfEach<A...>::type;
template <typename S> struct IsScalar {
  static constexpr bool value = false;
};
template <> struct IsScalar<Scalar> {
  static constexpr bool value = true;
};

// Register i of an operand, seen as a tile of shape S.
template <typename S, typename T> struct Element {
  __device__ static __forceinline__ T get(const T &x, int) { return x; }
};
template <typename S, typename T, int R> struct Element<S, Vec<T, R, S>> {
  __device__ static __forceinline__ T get(const Vec<T, R, S> &x, int i) { return x[i]; }
};
template <int M, int N, int W, typename T, int R>
struct Element<AccShape<M, N, W>, Vec<T, R, RowShape<M, W>>> {
  __device__ static __forceinline__ T get(const Vec<T, R, RowShape<M, W>> &x, int i) {
    return x[i / (N / 2) * 2 + i / 2 % 2];
  }
};
template <typename S, typename A> __device__ __forceinline__ auto element(const A &a, int i) {
  return Element<S, A>::get(a, i);
}

// f of the operands' elements, one register after the other. There is no map over scalars alone.
template <typename S, typename F, typename... A>
__device__ __forceinline__ auto map(F f, const A &...a)
    -> Vec<decltype(f(element<S>(a, 0)...)), S::kRegisters, S> {
  Vec<decltype(f(element<S>(a, 0)...)), S::kRegisters, S> v;
#pragma unroll
  for (int i = 0; i < S::kRegisters; ++i)
    v[i] = f(element<S>(a, i)...);
  return v;
}

// The scalar operations.
__device__ __forceinline__ float add(float x, float y) { return __fadd_rn(x, y); }
__device__ __forceinline__ float subtract(float x, float y) { return __fsub_rn(x, y); }
__device__ __forceinline__ float multiply(float x, float y) { return __fmul_rn(x, y); }
__device__ __forceinline__ int add(int x, int y) { return int(unsigned(x) + unsigned(y)); }
__device__ __forceinline__ int subtract(int x, int y) { return int(unsigned(x) - unsigned(y)); }
__device__ __forceinline__ int multiply(int x, int y) { return int(unsigned(x) * unsigned(y)); }
__device__ __forceinline__ int div_signed(int x, int y) { return x / y; }
__device__ __forceinline__ int mod_signed(int x, int y) { return x % y; }
__device__ __forceinline__ int shift_left(int x, int y) { return int(unsigned(x) << y); }
__device__ __forceinline__ int shift_right(int x, int y) { return x >> y; }
__device__ __forceinline__ int shift_right_unsigned(int x, int y) { return int(unsigned(x) >> y); }
__device__ __forceinline__ int min_unsigned(int x, int y) { return unsigned(x) < unsigned(y) ? x : y; }
__device__ __forceinline__ int max_unsigned(int x, int y) { return unsigned(x) > unsigned(y) ? x : y; }
__device__ __forceinline__ bool below(int x, int y) { return unsigned(x) < unsigned(y); }
__device__ __forceinline__ bool either_nan(float x, float y) { return x != x || y != y; }
__device__ __forceinline__ bool less_or_greater(float x, float y) { return x < y || x > y; }
__device__ __forceinline__ float to_float_unsigned(bool x) { return x ? 1.0f : 0.0f; }
__device__ __forceinline__ float to_float_unsigned(int x) { return float(unsigned(x)); }
__device__ __forceinline__ int extend(bool x) { return x; }
__device__ __forceinline__ int extend_signed(bool x) { return -int(x); }
// max.NaN, min.NaN: NaN if either is.
__device__ __forceinline__ float larger(float x, float y) {
  float r;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ __forceinline__ float smaller(float x, float y) {
  float r;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ __forceinline__ int larger(int x, int y) { return x > y ? x : y; }
__device__ __forceinline__ int smaller(int x, int y) { return x < y ? x : y; }
// ex2.approx.ftz, lg2.approx.ftz, rsqrt.approx.ftz, rcp.approx.ftz: one instruction each.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float log2_approx(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float rsqrt_approx(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float reciprocal_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// A function object and the operator on tiles that maps it. (Lambdas would need a compiler flag to run on the
// device.)
#define ATTUNE_BINARY(OBJECT, NAME, EXPRESSION)                                                              \
  struct OBJECT {                                                                                            \
    template <typename X, typename Y> __device__ __forceinline__ auto operator()(X x, Y y) const {           \
      return EXPRESSION;                                                                                     \
    }                                                                                                        \
  };                                                                                                         \
  template <typename A, typename B, typename S = ShapeOf2<A, B>, int = S::kRegisters>                        \
  __device__ __forceinline__ auto NAME(const A &a, const B &b) {                                             \
    return map<S>(OBJECT{}, a, b);                                                                           \
  }
ATTUNE_BINARY(Add, operator+, add(x, y))
ATTUNE_BINARY(Subtract, operator-, subtract(x, y))
ATTUNE_BINARY(Multiply, operator*, multiply(x, y))
ATTUNE_BINARY(Divide, operator/, __fdiv_rn(x, y))
ATTUNE_BINARY(Max, max, larger(x, y))
ATTUNE_BINARY(Min, min, smaller(x, y))
ATTUNE_BINARY(MaxNumber, max_number, fmaxf(x, y))
ATTUNE_BINARY(MinNumber, min_number, fminf(x, y))
ATTUNE_BINARY(Quotient, div, div(x, y))
ATTUNE_BINARY(Remainder, mod, mod(x, y))
ATTUNE_BINARY(SignedQuotient, div_signed, div_signed(x, y))
ATTUNE_BINARY(SignedRemainder, mod_signed, mod_signed(x, y))
ATTUNE_BINARY(ShiftLeft, shift_left, shift_left(x, y))
ATTUNE_BINARY(ShiftRight, shift_right, shift_right(x, y))
ATTUNE_BINARY(UnsignedShiftRight, shift_right_unsigned, shift_right_unsigned(x, y))
ATTUNE_BINARY(UnsignedMin, min_unsigned, min_unsigned(x, y))
ATTUNE_BINARY(UnsignedMax, max_unsigned, max_unsigned(x, y))
ATTUNE_BINARY(Below, below, below(x, y))
ATTUNE_BINARY(EitherNan, either_nan, either_nan(x, y))
ATTUNE_BINARY(LessOrGreater, less_or_greater, less_or_greater(x, y))
ATTUNE_BINARY(Equal, operator==, x == y)
ATTUNE_BINARY(NotEqual, operator!=, x != y)
ATTUNE_BINARY(Less, operator<, x < y)
ATTUNE_BINARY(LessEqual, operator<=, x <= y)
ATTUNE_BINARY(Greater, operator>, x > y)
ATTUNE_BINARY(GreaterEqual, operator>=, x >= y)
ATTUNE_BINARY(And, operator&, X(x &y))
ATTUNE_BINARY(Or, operator|, X(x | y))
ATTUNE_BINARY(Xor, operator^, X(x ^ y))
#undef ATTUNE_BINARY

#define ATTUNE_UNARY(OBJECT, NAME, EXPRESSION)                                                               \
  struct OBJECT {                                                                                            \
    template <typename X> __device__ __forceinline__ auto operator()(X x) const { return EXPRESSION; }       \
  };                                                                                                         \
  template <typename T, int R, typename S> __device__ __forceinline__ auto NAME(const Vec<T, R, S> &a) {     \
    return map<S>(OBJECT{}, a);                                                                              \
  }
ATTUNE_UNARY(Negate, operator-, -x)
ATTUNE_UNARY(Not, operator!, !x)
ATTUNE_UNARY(Abs, abs, fabsf(x))
ATTUNE_UNARY(Exp2, exp2, exp2_approx(x))
ATTUNE_UNARY(Log2, log2, log2_approx(x))
ATTUNE_UNARY(Rsqrt, rsqrt, rsqrt_approx(x))
ATTUNE_UNARY(Sqrt, sqrt, __fsqrt_rn(x))
ATTUNE_UNARY(ToInteger, to_integer, __float2int_rz(x))
ATTUNE_UNARY(Reciprocal, reciprocal, reciprocal_approx(x))
ATTUNE_UNARY(ToFloat, to_float, float(x))
ATTUNE_UNARY(ToFloatUnsigned, to_float_unsigned, to_float_unsigned(x))
ATTUNE_UNARY(Extend, extend, extend(x))
ATTUNE_UNARY(ExtendSigned, extend_signed, extend_signed(x))
ATTUNE_UNARY(Same, same, x)
#undef ATTUNE_UNARY

struct Fma {
  __device__ __forceinline__ float operator()(float x, float y, float z) const { return __fmaf_rn(x, y, z); }
};
template <typename A, typename B, typename C, typename S = ShapeOf3<A, B, C>, int = S::kRegisters>
__device__ __forceinline__ auto fma(const A &a, const B &b, const C &c) {
  return map<S>(Fma{}, a, b, c);
}
// a where the condition holds, else b.
struct Select {
  template <typename Y> __device__ __forceinline__ Y operator()(bool x, Y y, Y z) const { return x ? y : z; }
};
template <typename A, typename B, typename C, typename S = ShapeOf3<A, B, C>, int = S::kRegisters>
__device__ __forceinline__ auto select(const A &condition, const B &a, const C &b) {
  return map<S>(Select{}, condition, a, b);
}
// A choice that is the same for the whole tile.
template <typename T, int R, typename S>
__device__ __forceinline__ Vec<T, R, S> choose(bool condition, const Vec<T, R, S> &a, const Vec<T, R, S> &b) {
  return map<S>(Select{}, condition, a, b);
}
// A row's value in each of N columns.
template <int N, typename T, int R, int M, int W>
__device__ __forceinline__ AccOf<M, N, W, T> spread(const Vec<T, R, RowShape<M, W>> &row) {
  return map<AccShape<M, N, W>>(Same{}, row);
}

// Row indices inside the tile, and column indices.
template <int M, int W> __device__ __forceinline__ RowOf<M, W, int> row_index() {
  RowOf<M, W, int> rows;
#pragma unroll
  for (int i = 0; i < M / (8 * W); ++i)
    rows[i] = int(warp_of<W>()) * 16 + int(lane() / 4) + i / 2 * 16 * W + i % 2 * 8;
  return rows;
}
template <int M, int N, int W> __device__ __forceinline__ AccOf<M, N, W, int> column_index() {
  AccOf<M, N, W, int> columns;
#pragma unroll
  for (int i = 0; i < AccShape<M, N, W>::kRegisters; ++i)
    columns[i] = int(lane() % 4) * 2 + i / 4 % (N / 8) * 8 + i % 2;
  return columns;
}

// Of each row, the first column that the thread holds.
template <int M, int W> __device__ __forceinline__ RowOf<M, W, int> first_column() {
  RowOf<M, W, int> columns;
#pragma unroll
  for (int i = 0; i < M / (8 * W); ++i)
    columns[i] = int(lane() % 4) * 2;
  return columns;
}
// That column is its row's value, and each column beyond it a step more.
template <int N, int R, int M, int W>
__device__ __forceinline__ AccOf<M, N, W> ramp(const Vec<float, R, RowShape<M, W>> &row, float step) {
  AccOf<M, N, W> x;
#pragma unroll
  for (int i = 0; i < AccShape<M, N, W>::kRegisters; ++i) {
    const float value = row[i / (N / 2) * 2 + i / 2 % 2];
    const int column = i / 4 % (N / 8) * 8 + i % 2;
    x[i] = column == 0 ? value : __fmaf_rn(step, float(column), value);
  }
  return x;
}

} // namespace attune
