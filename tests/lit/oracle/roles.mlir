// A role fills a ring of two slots with three boxes; two replicas of another read them, each with its own factor. The
// array has 150 rows: the last box's others are zeros.
// RUN: attune-interpret %s --size len_kv=150 --array k=count | FileCheck %s

// The sums of column 0 over each box of 64 keys, 16 apart, of replica 0 and (doubled) 1.
// CHECK: sums[0, 0]: 32256 97792 48752
// CHECK-NEXT: sums[1, 0]: 64512 195584 97504
tile.kernel @roles(%length: i32 {value = "len_kv"}, %k: !tile.array<1 x 1 x len_kv x 16 x f16> {align = 16 : i64},
                   %k_map: !tile.tensor_map<64 x 16, f16> {array = "k"},
                   %sums: !tile.array<2 x 1 x 3 x f32> {output}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c3 = arith.constant 3 : i32
  %c64 = arith.constant 64 : i32
  %ring = tile.ring : <2 x tensor<64x16xf16, #tile.smem>, tma>
  tile.specialize {
    tile.role @consumer warps(4) replicas(2) {
      %which = tile.replica
      %factor = arith.addi %which, %c1 : i32
      %number = arith.sitofp %factor : i32 to f32
      %factors = tensor.splat %number : tensor<64x64xf32, #tile.acc>
      %operand = tile.to_a_op %factors : tensor<64x64xf32, #tile.acc> -> tensor<64x64xf16, #tile.a_op>
      %zeros = arith.constant dense<0.0> : tensor<64xf32, #tile.row>
      %to = tile.view %sums[%which, %c0] rows(%c3) : <2 x 1 x 3 x f32> -> <1, f32>
      scf.for %i = %c0 to %c3 step %c1 : i32 {
        %tile = tile.wait %ring[%i] : <2 x tensor<64x16xf16, #tile.smem>, tma>
        %issued = tile.dot_issue %operand, %tile : tensor<64x64xf16, #tile.a_op>, tensor<64x16xf16, #tile.smem> -> tensor<64x16xf32, #tile.acc>
        %done = tile.dot_wait %issued pending(0) : tensor<64x16xf32, #tile.acc>
        tile.release %ring[%i] : <2 x tensor<64x16xf16, #tile.smem>, tma>
        // Column 0 alone.
        %kept = tile.keep_columns %done at [%c0, %c0] last(%c0) : tensor<64x16xf32, #tile.acc>
        %sum = tile.row_reduce max %kept, %zeros : tensor<64x16xf32, #tile.acc> -> tensor<64xf32, #tile.row>
        tile.store_rows %sum to %to[%i] : tensor<64xf32, #tile.row>, <1, f32>
      }
    }
    tile.role @producer warps(1) {
      scf.for %i = %c0 to %c3 step %c1 : i32 {
        %row = arith.muli %i, %c64 : i32
        tile.fill %ring[%i] from %k_map[%row, %c0, %c0] : <2 x tensor<64x16xf16, #tile.smem>, tma>, <64 x 16, f16>
      }
    }
  }
}
