// A second attempt, which takes NaNs and infinities out of a tile. v is inf, 1, 2, 3 over and over.
// RUN: attune-interpret %s --array v=inf,1,2,3 | FileCheck %s

// Row r sees the keys up to r. Key 0's infinity is in column 0 of every row; of column 1 no sum is infinite.
// CHECK: attempts: 7
// CHECK-NEXT: taken[0]: inf 0 0 0 inf
// CHECK: taken[15]: inf 0 0 0 inf
// What is left, summed over the keys by a product with ones.
// CHECK: left[0]: 0 16 32 48 0 16
tile.kernel @attempts(%v: !tile.array<16 x 16 x bf16> {align = 16 : i64}, %attempts: !tile.array<1 x f32> {output},
                      %taken: !tile.array<16 x 16 x bf16> {output}, %left: !tile.array<16 x 16 x bf16> {output}) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c16 = arith.constant 16 : i32
  %c7 = arith.constant 7 : i32
  %zeros = arith.constant dense<0.0> : tensor<16x16xf32, #tile.acc>
  %ones = arith.constant dense<1.0> : tensor<16x16xf32, #tile.acc>
  %attempt = tile.attempt
  %V = tile.view %v[] rows(%c16) : <16 x 16 x bf16> -> <16, bf16>
  %ring = tile.ring : <1 x tensor<16x16xbf16, #tile.smem>>
  %slot = tile.acquire %ring[%c0] : <1 x tensor<16x16xbf16, #tile.smem>>
  tile.async_copy %V[%c0] to %slot : <16, bf16>, tensor<16x16xbf16, #tile.smem>
  tile.commit %ring[%c0] : <1 x tensor<16x16xbf16, #tile.smem>>
  %tile = tile.wait %ring[%c0] : <1 x tensor<16x16xbf16, #tile.smem>>
  %scores = tile.keep_columns %zeros at [%c0, %c0] last_shift(%c0) : tensor<16x16xf32, #tile.acc>
  %out = tile.take_nonfinite %tile, %scores, %zeros : tensor<16x16xbf16, #tile.smem>, tensor<16x16xf32, #tile.acc>, tensor<16x16xf32, #tile.acc>
  %operand = tile.to_a_op %ones : tensor<16x16xf32, #tile.acc> -> tensor<16x16xbf16, #tile.a_op>
  %sums = tile.dot %operand, %tile : tensor<16x16xbf16, #tile.a_op>, tensor<16x16xbf16, #tile.smem> -> tensor<16x16xf32, #tile.acc>
  tile.release %ring[%c0] : <1 x tensor<16x16xbf16, #tile.smem>>
  %row = arith.constant dense<true> : tensor<16xi1, #tile.row>
  %first = arith.cmpi eq, %attempt, %c0 : i32
  tile.retry %row as %c7 when %first : tensor<16xi1, #tile.row>
  %staging = tile.reuse_smem : tensor<16x16xbf16, #tile.smem>
  %number = arith.sitofp %attempt : i32 to f32
  %numbers = tensor.splat %number : tensor<16xf32, #tile.row>
  %n = tile.view %attempts[] rows(%c1) : <1 x f32> -> <1, f32>
  tile.store_rows %numbers to %n[%c0] : tensor<16xf32, #tile.row>, <1, f32>
  %o = tile.view %taken[] rows(%c16) : <16 x 16 x bf16> -> <16, bf16>
  tile.store %out to %o[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, bf16>, tensor<16x16xbf16, #tile.smem>
  %o1 = tile.view %left[] rows(%c16) : <16 x 16 x bf16> -> <16, bf16>
  tile.store %sums to %o1[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, bf16>, tensor<16x16xbf16, #tile.smem>
}
