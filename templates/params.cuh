//===- params.cuh - what a kernel is launched with --------------*- CUDA -*-===//
//
// Arrays in global memory. The struct of a kernel's parameters is printed with the kernel.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "elementwise.cuh"

namespace attune {

// An array: the address of its first element, and the strides of all axes but the last, whose elements are
// adjacent. Strides count elements. Rows that are copied as tiles start at multiples of 16 bytes, and the
// stride between them is below 2^30 elements.
template <int Strides> struct Array {
  uint64 base;
  int64 stride[Strides];
};
template <> struct Array<0> {
  uint64 base;
};

// mad.wide.s32: base + row * row_bytes, exact in 64 bits. Written as an instruction, because from 64-bit C++
// arithmetic the compiler makes three to five of them.
__device__ __forceinline__ uint64 address_of_row(uint64 base, int row, int row_bytes) {
  uint64 address;
  asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(address) : "r"(row_bytes), "r"(row), "l"(base));
  return address;
}

// The matrix of one (batch, head): rows of Cols adjacent elements.
template <typename T, int Cols> struct View {
  uint64 base;   // address of row 0
  int row_bytes; // between rows
  int rows;      // that exist
};
template <typename T, int Cols, int Strides>
__device__ __forceinline__ View<T, Cols> view(const Array<Strides> &a, int batch, int head, int rows) {
  static_assert(Strides == (Cols == 1 ? 2 : 3), "two indices leave rows of one element, or rows of Cols");
  const uint64 element = uint64(batch) * uint64(a.stride[0]) + uint64(head) * uint64(a.stride[1]);
  int row_bytes = int(sizeof(T));
  if constexpr (Cols != 1)
    row_bytes *= int(a.stride[2]);
  return {a.base + element * sizeof(T), row_bytes, rows};
}

// ld.global.nc: no kernel of the program writes what is read here. Narrow elements become numbers of 32 bits.
__device__ __forceinline__ float load_element(const float *p) { return __ldg(p); }
__device__ __forceinline__ int load_element(const int *p) { return __ldg(p); }
__device__ __forceinline__ int load_element(const u8 *p) { return __ldg(p); }
__device__ __forceinline__ float load_element(const bf16 *p) {
  return __uint_as_float(uint32(__ldg(reinterpret_cast<const unsigned short *>(p))) << 16);
}
__device__ __forceinline__ float load_element(const f16 *p) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(__ldg(reinterpret_cast<const unsigned short *>(p))));
  return x;
}

// An element of an array, by an index an axis.
template <typename T, int Strides> struct LoadValue {
  const Array<Strides> &a;
  template <typename... Index> __device__ __forceinline__ auto operator()(Index... index) const {
    static_assert(sizeof...(Index) == Strides + 1, "an index an axis");
    const int indices[] = {index...};
    int64 element = indices[Strides];
    if constexpr (Strides > 0) {
#pragma unroll
      for (int i = 0; i < Strides; ++i)
        element += int64(indices[i]) * a.stride[i];
    }
    return load_element(reinterpret_cast<const T *>(a.base) + element);
  }
};
// The same for every thread; or, where some index is a row or a tile, one for each of its places.
template <typename T, int Strides, typename... Index>
__device__ __forceinline__ auto load_value(const Array<Strides> &a, const Index &...index) {
  using S = ShapeOfAll<Index...>;
  if constexpr (IsScalar<S>::value)
    return LoadValue<T, Strides>{a}(index...);
  else
    return map<S>(LoadValue<T, Strides>{a}, index...);
}

// A number of a workspace, which a kernel that was launched before has stored there.
__device__ __forceinline__ int load_entry(const int *workspace, int i) {
  return __ldg(workspace + uint32(i));
}
// For kernels that are launched later: one lane of the warp stores it.
__device__ __forceinline__ void store_entry(int *workspace, int i, int x) {
  if (lane() == 0)
    workspace[uint32(i)] = x;
}

} // namespace attune
