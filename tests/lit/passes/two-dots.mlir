// A ring slot is read, filled anew and read again: two dots of the same operands that are not the same. O is
// Q K0^T - Q K1^T, on both targets, and is executed.
// RUN: attune compile %s --from tile --emit thread -o - | FileCheck %s
// RUN: attune compile %s --from tile --emit ptx -o %t.ptx
// RUN: attune compile %s --from tile --target cuda --emit cuda -o - | FileCheck %s --check-prefix=CUDA
// RUN: %python %S/Inputs/two_dots.py %t.ptx %t
// CHECK: %[[S0:.*]] = thread.dot
// CHECK: %[[S1:.*]] = thread.dot
// CHECK: arith.subf %[[S0]], %[[S1]]
// CUDA: s0 = dot_transposed
// CUDA: s1 = dot_transposed
// CUDA: s0 - s1
#acc = #tile.acc
#smem = #tile.smem
module {
  tile.kernel @two(%q: !tile.array<batch x heads_q x len_q x 16 x bf16> {align = 16 : i64}, %k: !tile.array<batch x heads_kv x len_kv x 16 x bf16> {align = 16 : i64}, %o: !tile.array<batch x heads_q x len_q x 16 x bf16> {align = 16 : i64, output}, %lq: i32 {value = "len_q"}, %lk: i32 {value = "len_kv"}) arch("sm_80") warps(1) min_blocks(1) grid("1", "heads_q", "batch") {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c16 = arith.constant 16 : i32
    %Q = tile.view %q[%c0, %c0] rows(%lq) : <batch x heads_q x len_q x 16 x bf16> -> <16, bf16>
    %K = tile.view %k[%c0, %c0] rows(%lk) : <batch x heads_kv x len_kv x 16 x bf16> -> <16, bf16>
    %O = tile.view %o[%c0, %c0] rows(%lq) : <batch x heads_q x len_q x 16 x bf16> -> <16, bf16>
    %qr = tile.ring : <1 x tensor<16x16xbf16, #smem>>
    %kr = tile.ring : <1 x tensor<16x16xbf16, #smem>>
    %qs = tile.acquire %qr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    tile.async_copy %Q[%c0] to %qs bounded : <16, bf16>, tensor<16x16xbf16, #smem>
    tile.commit %qr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    %ks = tile.acquire %kr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    tile.async_copy %K[%c0] to %ks bounded : <16, bf16>, tensor<16x16xbf16, #smem>
    tile.commit %kr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    %qt = tile.wait %qr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    %kt = tile.wait %kr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    %s0 = tile.dot %qt, %kt transposed : tensor<16x16xbf16, #smem>, tensor<16x16xbf16, #smem> -> tensor<16x16xf32, #acc>
    tile.release %kr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    %ks1 = tile.acquire %kr[%c1] : <1 x tensor<16x16xbf16, #smem>>
    tile.async_copy %K[%c16] to %ks1 bounded : <16, bf16>, tensor<16x16xbf16, #smem>
    tile.commit %kr[%c1] : <1 x tensor<16x16xbf16, #smem>>
    %k1 = tile.wait %kr[%c1] : <1 x tensor<16x16xbf16, #smem>>
    %s1 = tile.dot %qt, %k1 transposed : tensor<16x16xbf16, #smem>, tensor<16x16xbf16, #smem> -> tensor<16x16xf32, #acc>
    tile.release %kr[%c1] : <1 x tensor<16x16xbf16, #smem>>
    tile.release %qr[%c0] : <1 x tensor<16x16xbf16, #smem>>
    %d = arith.subf %s0, %s1 : tensor<16x16xf32, #acc>
    %st = tile.reuse_smem : tensor<16x16xbf16, #smem>
    tile.store %d to %O[%c0] through %st : tensor<16x16xf32, #acc>, <16, bf16>, tensor<16x16xbf16, #smem>
  }
}
