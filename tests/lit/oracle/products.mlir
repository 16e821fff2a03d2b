// Copies into a ring, products, and rounding. a is 0, 1, 2, ...; b is 1, 2, 1, 2, ... in each row.
// RUN: attune-interpret %s --array a=count --array b=1,2 | FileCheck %s

// Row r of a times a row of b: (16 r + 0) + 2 (16 r + 1) + ... = 384 r + 184; a's row 12 and on are not there.
// CHECK: across[0]: 184 184
// CHECK-NEXT: across[1]: 568 568
// CHECK: across[11]: 4408
// CHECK-NEXT: across[12]: 0
// a b: the columns' sums of row r, 256 r + 120, once and twice; plus the product before.
// CHECK: along[0]: 304 424 304 424
// CHECK-NEXT: along[1]: 944 1320
// 2049 is not an f16: it is a tie, and goes to the even one.
// CHECK: rounded[0]: 2048 2048
tile.kernel @products(%a: !tile.array<12 x 16 x f16> {align = 16 : i64}, %b: !tile.array<16 x 16 x f16> {align = 16 : i64},
                      %across: !tile.array<16 x 16 x f16> {output}, %along: !tile.array<16 x 16 x f16> {output},
                      %rounded: !tile.array<16 x 16 x f16> {output}) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c12 = arith.constant 12 : i32
  %c16 = arith.constant 16 : i32
  %A = tile.view %a[] rows(%c12) : <12 x 16 x f16> -> <16, f16>
  %B = tile.view %b[] rows(%c16) : <16 x 16 x f16> -> <16, f16>
  %ring = tile.ring : <2 x tensor<16x16xf16, #tile.smem>>
  %slot = tile.acquire %ring[%c0] : <2 x tensor<16x16xf16, #tile.smem>>
  tile.async_copy %A[%c0] to %slot bounded : <16, f16>, tensor<16x16xf16, #tile.smem>
  tile.commit %ring[%c0] : <2 x tensor<16x16xf16, #tile.smem>>
  %slot1 = tile.acquire %ring[%c1] : <2 x tensor<16x16xf16, #tile.smem>>
  tile.async_copy %B[%c0] to %slot1 : <16, f16>, tensor<16x16xf16, #tile.smem>
  tile.commit %ring[%c1] : <2 x tensor<16x16xf16, #tile.smem>>
  %at = tile.wait %ring[%c0] : <2 x tensor<16x16xf16, #tile.smem>>
  %bt = tile.wait %ring[%c1] : <2 x tensor<16x16xf16, #tile.smem>>
  %operand = tile.load_operand %at : tensor<16x16xf16, #tile.smem> -> tensor<16x16xf16, #tile.a_op>
  %s = tile.dot %operand, %bt transposed : tensor<16x16xf16, #tile.a_op>, tensor<16x16xf16, #tile.smem> -> tensor<16x16xf32, #tile.acc>
  %t = tile.dot %at, %bt plus %s : tensor<16x16xf16, #tile.smem>, tensor<16x16xf16, #tile.smem> -> tensor<16x16xf32, #tile.acc>
  tile.release %ring[%c0] : <2 x tensor<16x16xf16, #tile.smem>>
  tile.release %ring[%c1] : <2 x tensor<16x16xf16, #tile.smem>>
  %staging = tile.reuse_smem : tensor<16x16xf16, #tile.smem>
  %o = tile.view %across[] rows(%c16) : <16 x 16 x f16> -> <16, f16>
  tile.store %s to %o[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, f16>, tensor<16x16xf16, #tile.smem>
  %o1 = tile.view %along[] rows(%c16) : <16 x 16 x f16> -> <16, f16>
  tile.store %t to %o1[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, f16>, tensor<16x16xf16, #tile.smem>
  %tie = arith.constant dense<2049.0> : tensor<16x16xf32, #tile.acc>
  %o2 = tile.view %rounded[] rows(%c1) : <16 x 16 x f16> -> <16, f16>
  tile.store %tie to %o2[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, f16>, tensor<16x16xf16, #tile.smem>
}
