//===- wgmma.cuh - products that run beside the warps -----------*- CUDA -*-===//
//
// A warpgroup of four warps issues a product of 64 rows; it reads B, and A unless that lies in registers,
// from shared memory while the warps go on. issue starts one, wait is where its registers may be touched
// again.
//
//===----------------------------------------------------------------------===//
#pragma once
#include "mma.cuh"
#include "shared.cuh"

namespace attune {

// wgmma.fence: what was written to registers before is there for what is issued after.
template <int R, typename S> __device__ __forceinline__ void fence_registers(Vec<float, R, S> &x) {
#pragma unroll
  for (int i = 0; i < R; ++i)
    asm volatile("" : "+f"(x[i])::"memory");
}
__device__ __forceinline__ void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// wgmma.commit_group: ends a group of products.
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// wgmma.wait_group: until at most Pending of the newest groups run. `x` is what an awaited group computes:
// its registers pass through, so that the compiler reads none of them before.
template <int Pending, int R, typename S> __device__ __forceinline__ void wait(Vec<float, R, S> &x) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
  fence_registers(x);
}

// How wgmma finds a tile (PTX ISA, "Matrix Descriptor Format"), but for its address: bytes from one panel to
// the next, where the tile's rows are steps along k; bytes from eight rows to the next eight; and the
// swizzle, whose pattern eight rows are.
template <int Rows, int Cols> __device__ constexpr uint64 layout_of(bool rows_are_k) {
  using P = Panel<Cols>;
  const uint64 leading = rows_are_k ? Rows * P::kPitch : 16, stride = 8 * P::kPitch;
  const uint64 swizzle = P::kCols == 64 ? 1 : P::kCols == 32 ? 2 : 3;
  return (leading >> 4) << 16 | (stride >> 4) << 32 | swizzle << 62;
}
// A tile that stays where it is. Its address counts in units of 16 bytes; the block's rank in its cluster
// lies above bit 17.
template <typename T, int Rows, int Cols>
__device__ __forceinline__ uint64 describe(SmemTile<T, Rows, Cols> tile, bool rows_are_k) {
  return layout_of<Rows, Cols>(rows_are_k) | uint64((tile.address & 0x3ffff) >> 4);
}
// The same, where the tile is another one in each step: what does not change is one number, so that a loop
// pays a multiplication and an addition, and the compiler, which is shown two halves, adds k steps as 64
// bits.
template <typename T, int Rows, int Cols>
__device__ __forceinline__ uint64 describe_moving(SmemTile<T, Rows, Cols> tile, bool rows_are_k) {
  const uint64 layout = layout_of<Rows, Cols>(rows_are_k);
  const uint32 base = shared_address();
  const uint32 low = ((base & 0x3ffff) >> 4) + uint32(layout) + ((tile.address - base) >> 4);
  uint64 description;
  asm("mov.b64 %0, {%1, %2};" : "=l"(description) : "r"(low), "r"(uint32(layout >> 32)));
  return description;
}
// From k step to k step, in units of 16 bytes: 16 columns inside a panel, then the next panel; or 16 rows.
template <int Rows, int Cols> __device__ constexpr int step_along_columns(int step) {
  constexpr int kSteps = Panel<Cols>::kCols / 16;
  return (step / kSteps * Rows * Panel<Cols>::kPitch + step % kSteps * 32) / 16;
}
template <int Cols> __device__ constexpr int step_along_rows(int step) { return step * Panel<Cols>::kPitch; }

// wgmma.mma_async.m64nNk16, f32 += T x T. `fresh`: whatever the accumulator held does not count. With Across,
// B's rows are steps along k.
template <typename T, int N, bool Across> struct Wgmma;

template <bool Fresh, typename T, int K, int N>
__device__ __forceinline__ void issue_transposed_steps(AccOf<64, N, 4> &d, SmemTile<T, 64, K> a,
                                                       SmemTile<T, N, K> b) {
  const uint64 first_a = describe(a, false), first_b = describe_moving(b, false);
  if (!Fresh)
    fence_registers(d);
  fence_products();
#pragma unroll
  for (int i = 0; i < K / 16; ++i)
    Wgmma<T, N, false>::shared(d.at, first_a + step_along_columns<64, K>(i),
                               first_b + step_along_columns<N, K>(i), Fresh && i == 0);
  commit_products();
}
// d = a b^T: Q and K as they lie in memory.
template <typename T, int K, int N>
__device__ __forceinline__ void issue_transposed(AccOf<64, N, 4> &d, SmemTile<T, 64, K> a,
                                                 SmemTile<T, N, K> b) {
  issue_transposed_steps<true>(d, a, b);
}
// d += a b^T.
template <typename T, int K, int N>
__device__ __forceinline__ void issue_transposed_onto(AccOf<64, N, 4> &d, SmemTile<T, 64, K> a,
                                                      SmemTile<T, N, K> b) {
  issue_transposed_steps<false>(d, a, b);
}
// d += a b: P in registers, V as it lies in memory.
template <typename T, int K, int N>
__device__ __forceinline__ void issue(AccOf<64, N, 4> &d, const AOperandOf<T, 64, K, 4> &a,
                                      SmemTile<T, K, N> b) {
  const uint64 first_b = describe_moving(b, true);
  fence_registers(d);
  fence_products();
#pragma unroll
  for (int i = 0; i < K / 16; ++i)
    Wgmma<T, N, true>::registers(d.at, &a.at[i * 4], first_b + step_along_rows<N>(i), false);
  commit_products();
}

#define ATTUNE_WGMMA_OF(T, TYPE, ACROSS, TRANS, N, E0, E1, E2, E3, E4, E5)                                   \
  template <> struct Wgmma<T, N, ACROSS> {                                                                   \
    __device__ static __forceinline__ void shared(float (&d)[N / 2], uint64 a, uint64 b, bool fresh) {       \
      asm volatile("{ .reg .pred p; setp.eq.b32 p, " E2 ", 0; wgmma.mma_async.sync.aligned.m64n" #N          \
                   "k16.f32." TYPE "." TYPE " {" ATTUNE_TEXT_##N "}, " E0 ", " E1 ", p, 1, 1, 0, " TRANS     \
                                                                 "; }"                                       \
                   : ATTUNE_OUT_##N                                                                          \
                   : "l"(a), "l"(b), "r"(int(fresh)));                                                       \
    }                                                                                                        \
    __device__ static __forceinline__ void registers(float (&d)[N / 2], const uint32 *a, uint64 b,           \
                                                     bool fresh) {                                           \
      asm volatile("{ .reg .pred p; setp.eq.b32 p, " E5 ", 0; wgmma.mma_async.sync.aligned.m64n" #N          \
                   "k16.f32." TYPE "." TYPE " {" ATTUNE_TEXT_##N "}, {" E0 ", " E1 ", " E2 ", " E3 "}, " E4  \
                                                                 ", p, 1, 1, " TRANS "; }"                   \
                   : ATTUNE_OUT_##N                                                                          \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(fresh)));                   \
    }                                                                                                        \
  };
#define ATTUNE_WGMMA_EXPAND(...) ATTUNE_WGMMA_OF(__VA_ARGS__)
// The kernel says which instructions it needs: ATTUNE_WGMMA(bf16, 80, false).
#define ATTUNE_TYPE_bf16 "bf16"
#define ATTUNE_TYPE_f16 "f16"
#define ATTUNE_TRANS_false "0"
#define ATTUNE_TRANS_true "1"
#define ATTUNE_WGMMA(T, N, ACROSS)                                                                           \
  ATTUNE_WGMMA_EXPAND(T, ATTUNE_TYPE_##T, ACROSS, ATTUNE_TRANS_##ACROSS, N, ATTUNE_OPERANDS_##N)

// For each N: the accumulator's registers in the instruction's text (four more than for the N before), these
// as operands, and the numbers of the operands behind them.
#define ATTUNE_TEXT_8 "%0, %1, %2, %3"
#define ATTUNE_OUT_8 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define ATTUNE_OPERANDS_8 "%4", "%5", "%6", "%7", "%8", "%9"
#define ATTUNE_TEXT_16 ATTUNE_TEXT_8 ", %4, %5, %6, %7"
#define ATTUNE_OUT_16 ATTUNE_OUT_8, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define ATTUNE_OPERANDS_16 "%8", "%9", "%10", "%11", "%12", "%13"
#define ATTUNE_TEXT_24 ATTUNE_TEXT_16 ", %8, %9, %10, %11"
#define ATTUNE_OUT_24 ATTUNE_OUT_16, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define ATTUNE_OPERANDS_24 "%12", "%13", "%14", "%15", "%16", "%17"
#define ATTUNE_TEXT_32 ATTUNE_TEXT_24 ", %12, %13, %14, %15"
#define ATTUNE_OUT_32 ATTUNE_OUT_24, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define ATTUNE_OPERANDS_32 "%16", "%17", "%18", "%19", "%20", "%21"
#define ATTUNE_TEXT_40 ATTUNE_TEXT_32 ", %16, %17, %18, %19"
#define ATTUNE_OUT_40 ATTUNE_OUT_32, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define ATTUNE_OPERANDS_40 "%20", "%21", "%22", "%23", "%24", "%25"
#define ATTUNE_TEXT_48 ATTUNE_TEXT_40 ", %20, %21, %22, %23"
#define ATTUNE_OUT_48 ATTUNE_OUT_40, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define ATTUNE_OPERANDS_48 "%24", "%25", "%26", "%27", "%28", "%29"
#define ATTUNE_TEXT_56 ATTUNE_TEXT_48 ", %24, %25, %26, %27"
#define ATTUNE_OUT_56 ATTUNE_OUT_48, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define ATTUNE_OPERANDS_56 "%28", "%29", "%30", "%31", "%32", "%33"
#define ATTUNE_TEXT_64 ATTUNE_TEXT_56 ", %28, %29, %30, %31"
#define ATTUNE_OUT_64 ATTUNE_OUT_56, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define ATTUNE_OPERANDS_64 "%32", "%33", "%34", "%35", "%36", "%37"
#define ATTUNE_TEXT_72 ATTUNE_TEXT_64 ", %32, %33, %34, %35"
#define ATTUNE_OUT_72 ATTUNE_OUT_64, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define ATTUNE_OPERANDS_72 "%36", "%37", "%38", "%39", "%40", "%41"
#define ATTUNE_TEXT_80 ATTUNE_TEXT_72 ", %36, %37, %38, %39"
#define ATTUNE_OUT_80 ATTUNE_OUT_72, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define ATTUNE_OPERANDS_80 "%40", "%41", "%42", "%43", "%44", "%45"
#define ATTUNE_TEXT_88 ATTUNE_TEXT_80 ", %40, %41, %42, %43"
#define ATTUNE_OUT_88 ATTUNE_OUT_80, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define ATTUNE_OPERANDS_88 "%44", "%45", "%46", "%47", "%48", "%49"
#define ATTUNE_TEXT_96 ATTUNE_TEXT_88 ", %44, %45, %46, %47"
#define ATTUNE_OUT_96 ATTUNE_OUT_88, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define ATTUNE_OPERANDS_96 "%48", "%49", "%50", "%51", "%52", "%53"
#define ATTUNE_TEXT_104 ATTUNE_TEXT_96 ", %48, %49, %50, %51"
#define ATTUNE_OUT_104 ATTUNE_OUT_96, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define ATTUNE_OPERANDS_104 "%52", "%53", "%54", "%55", "%56", "%57"
#define ATTUNE_TEXT_112 ATTUNE_TEXT_104 ", %52, %53, %54, %55"
#define ATTUNE_OUT_112 ATTUNE_OUT_104, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define ATTUNE_OPERANDS_112 "%56", "%57", "%58", "%59", "%60", "%61"
#define ATTUNE_TEXT_120 ATTUNE_TEXT_112 ", %56, %57, %58, %59"
#define ATTUNE_OUT_120 ATTUNE_OUT_112, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define ATTUNE_OPERANDS_120 "%60", "%61", "%62", "%63", "%64", "%65"
#define ATTUNE_TEXT_128 ATTUNE_TEXT_120 ", %60, %61, %62, %63"
#define ATTUNE_OUT_128 ATTUNE_OUT_120, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define ATTUNE_OPERANDS_128 "%64", "%65", "%66", "%67", "%68", "%69"
#define ATTUNE_TEXT_136 ATTUNE_TEXT_128 ", %64, %65, %66, %67"
#define ATTUNE_OUT_136 ATTUNE_OUT_128, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define ATTUNE_OPERANDS_136 "%68", "%69", "%70", "%71", "%72", "%73"
#define ATTUNE_TEXT_144 ATTUNE_TEXT_136 ", %68, %69, %70, %71"
#define ATTUNE_OUT_144 ATTUNE_OUT_136, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define ATTUNE_OPERANDS_144 "%72", "%73", "%74", "%75", "%76", "%77"
#define ATTUNE_TEXT_152 ATTUNE_TEXT_144 ", %72, %73, %74, %75"
#define ATTUNE_OUT_152 ATTUNE_OUT_144, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define ATTUNE_OPERANDS_152 "%76", "%77", "%78", "%79", "%80", "%81"
#define ATTUNE_TEXT_160 ATTUNE_TEXT_152 ", %76, %77, %78, %79"
#define ATTUNE_OUT_160 ATTUNE_OUT_152, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define ATTUNE_OPERANDS_160 "%80", "%81", "%82", "%83", "%84", "%85"
#define ATTUNE_TEXT_168 ATTUNE_TEXT_160 ", %80, %81, %82, %83"
#define ATTUNE_OUT_168 ATTUNE_OUT_160, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define ATTUNE_OPERANDS_168 "%84", "%85", "%86", "%87", "%88", "%89"
#define ATTUNE_TEXT_176 ATTUNE_TEXT_168 ", %84, %85, %86, %87"
#define ATTUNE_OUT_176 ATTUNE_OUT_168, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define ATTUNE_OPERANDS_176 "%88", "%89", "%90", "%91", "%92", "%93"
#define ATTUNE_TEXT_184 ATTUNE_TEXT_176 ", %88, %89, %90, %91"
#define ATTUNE_OUT_184 ATTUNE_OUT_176, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define ATTUNE_OPERANDS_184 "%92", "%93", "%94", "%95", "%96", "%97"
#define ATTUNE_TEXT_192 ATTUNE_TEXT_184 ", %92, %93, %94, %95"
#define ATTUNE_OUT_192 ATTUNE_OUT_184, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define ATTUNE_OPERANDS_192 "%96", "%97", "%98", "%99", "%100", "%101"
#define ATTUNE_TEXT_200 ATTUNE_TEXT_192 ", %96, %97, %98, %99"
#define ATTUNE_OUT_200 ATTUNE_OUT_192, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define ATTUNE_OPERANDS_200 "%100", "%101", "%102", "%103", "%104", "%105"
#define ATTUNE_TEXT_208 ATTUNE_TEXT_200 ", %100, %101, %102, %103"
#define ATTUNE_OUT_208 ATTUNE_OUT_200, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define ATTUNE_OPERANDS_208 "%104", "%105", "%106", "%107", "%108", "%109"
#define ATTUNE_TEXT_216 ATTUNE_TEXT_208 ", %104, %105, %106, %107"
#define ATTUNE_OUT_216 ATTUNE_OUT_208, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define ATTUNE_OPERANDS_216 "%108", "%109", "%110", "%111", "%112", "%113"
#define ATTUNE_TEXT_224 ATTUNE_TEXT_216 ", %108, %109, %110, %111"
#define ATTUNE_OUT_224 ATTUNE_OUT_216, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define ATTUNE_OPERANDS_224 "%112", "%113", "%114", "%115", "%116", "%117"
#define ATTUNE_TEXT_232 ATTUNE_TEXT_224 ", %112, %113, %114, %115"
#define ATTUNE_OUT_232 ATTUNE_OUT_224, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define ATTUNE_OPERANDS_232 "%116", "%117", "%118", "%119", "%120", "%121"
#define ATTUNE_TEXT_240 ATTUNE_TEXT_232 ", %116, %117, %118, %119"
#define ATTUNE_OUT_240 ATTUNE_OUT_232, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define ATTUNE_OPERANDS_240 "%120", "%121", "%122", "%123", "%124", "%125"
#define ATTUNE_TEXT_248 ATTUNE_TEXT_240 ", %120, %121, %122, %123"
#define ATTUNE_OUT_248 ATTUNE_OUT_240, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define ATTUNE_OPERANDS_248 "%124", "%125", "%126", "%127", "%128", "%129"
#define ATTUNE_TEXT_256 ATTUNE_TEXT_248 ", %124, %125, %126, %127"
#define ATTUNE_OUT_256 ATTUNE_OUT_248, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
#define ATTUNE_OPERANDS_256 "%128", "%129", "%130", "%131", "%132", "%133"

} // namespace attune
