// Every op of the tile dialect prints as it was written; these are the examples of the op descriptions.
// RUN: attune-opt %s | attune-opt | FileCheck %s

// CHECK-LABEL: tile.kernel @ops arch("sm_80") warps(4) min_blocks(2) smem(65536)
tile.kernel @ops arch("sm_80") warps(4) min_blocks(2) smem(65536) {
  %c0 = arith.constant 0 : i32
  %true = arith.constant true
  %zeros = arith.constant dense<0.0> : tensor<128x64xf32, #tile.acc>
  %rows = arith.constant dense<0.0> : tensor<128xf32, #tile.row>
  // CHECK: %[[N:.*]] = tile.param length_kv
  %n = tile.param length_kv
  // CHECK: %[[K:.*]] = tile.view k[%{{.*}}, %{{.*}}] rows(%[[N]]) : <128, bf16>
  %k = tile.view k[%c0, %c0] rows(%n) : <128, bf16>
  // CHECK: %[[RING:.*]] = tile.ring offset(1024) : <2 x tensor<64x128xbf16, #smem>>
  %ring = tile.ring offset(1024) : <2 x tensor<64x128xbf16, #tile.smem>>
  // CHECK: %[[SLOT:.*]] = tile.acquire %[[RING]][%{{.*}}] : <2 x tensor<64x128xbf16, #smem>>
  %slot = tile.acquire %ring[%c0] : <2 x tensor<64x128xbf16, #tile.smem>>
  // CHECK: tile.async_copy %[[K]][%{{.*}}] to %[[SLOT]] bounded if %{{.*}} : <128, bf16>, tensor<64x128xbf16, #smem>
  tile.async_copy %k[%c0] to %slot bounded if %true : <128, bf16>, tensor<64x128xbf16, #tile.smem>
  // CHECK: tile.commit %[[RING]]
  tile.commit %ring[%c0] : <2 x tensor<64x128xbf16, #tile.smem>>
  // CHECK: %[[TILE:.*]] = tile.wait %[[RING]]
  %tile = tile.wait %ring[%c0] : <2 x tensor<64x128xbf16, #tile.smem>>
  // CHECK: %[[Q:.*]] = tile.smem_tile %{{.*}} : tensor<128x128xbf16, #smem>
  %q = tile.smem_tile %c0 : tensor<128x128xbf16, #tile.smem>
  // CHECK: tile.load_operand %[[Q]] : tensor<128x128xbf16, #smem> -> tensor<128x128xbf16, #a_op>
  %a = tile.load_operand %q : tensor<128x128xbf16, #tile.smem> -> tensor<128x128xbf16, #tile.a_op>
  // CHECK: tile.dot %{{.*}}, %[[TILE]] transposed : tensor<128x128xbf16, #a_op>, tensor<64x128xbf16, #smem> -> tensor<128x64xf32, #acc>
  %s = tile.dot %a, %tile transposed : tensor<128x128xbf16, #tile.a_op>, tensor<64x128xbf16, #tile.smem> -> tensor<128x64xf32, #tile.acc>
  // CHECK: tile.dot %[[Q]], %[[TILE]] transposed plus %{{.*}} : tensor<128x128xbf16, #smem>
  %s2 = tile.dot %q, %tile transposed plus %zeros : tensor<128x128xbf16, #tile.smem>, tensor<64x128xbf16, #tile.smem> -> tensor<128x64xf32, #tile.acc>
  // CHECK: tile.keep_columns %{{.*}} at [%{{.*}}, %{{.*}}] last(%[[N]]) last_shift(%{{.*}}) : tensor<128x64xf32, #acc>
  %kept = tile.keep_columns %s at [%c0, %c0] last(%n) last_shift(%c0) : tensor<128x64xf32, #tile.acc>
  // CHECK: tile.row_reduce max %{{.*}}, %{{.*}} : tensor<128x64xf32, #acc> -> tensor<128xf32, #row>
  %max = tile.row_reduce max %kept, %rows : tensor<128x64xf32, #tile.acc> -> tensor<128xf32, #tile.row>
  // CHECK: tile.row_reduce add %{{.*}}, %{{.*}} partial :
  %part = tile.row_reduce add %kept, %rows partial : tensor<128x64xf32, #tile.acc> -> tensor<128xf32, #tile.row>
  // CHECK: tile.row_combine add %{{.*}} : tensor<128xf32, #row>
  %sum = tile.row_combine add %part : tensor<128xf32, #tile.row>
  // CHECK: tile.row_broadcast %{{.*}} : tensor<128xf32, #row> -> tensor<128x64xf32, #acc>
  %wide = tile.row_broadcast %sum : tensor<128xf32, #tile.row> -> tensor<128x64xf32, #tile.acc>
  // CHECK: tile.row_index : tensor<128xi32, #row>
  %row = tile.row_index : tensor<128xi32, #tile.row>
  // CHECK: tile.column_index : tensor<128x64xi32, #acc>
  %column = tile.column_index : tensor<128x64xi32, #tile.acc>
  %flags = arith.cmpf ogt, %max, %sum : tensor<128xf32, #tile.row>
  // CHECK: tile.warp_any %{{.*}} : tensor<128xi1, #row>
  %any = tile.warp_any %flags : tensor<128xi1, #tile.row>
  // CHECK: tile.to_a_op %{{.*}} : tensor<128x64xf32, #acc> -> tensor<128x64xbf16, #a_op>
  %p = tile.to_a_op %wide : tensor<128x64xf32, #tile.acc> -> tensor<128x64xbf16, #tile.a_op>
  // CHECK: tile.release %[[RING]]
  tile.release %ring[%c0] : <2 x tensor<64x128xbf16, #tile.smem>>
  // CHECK: tile.commit_group
  tile.commit_group
  // CHECK: tile.wait_group 1
  tile.wait_group 1
  // CHECK: tile.reuse_smem : tensor<128x64xbf16, #smem>
  %staging = tile.reuse_smem : tensor<128x64xbf16, #tile.smem>
  %o = tile.view o[%c0, %c0] rows(%n) : <64, bf16>
  // CHECK: tile.store %{{.*}} to %{{.*}}[%{{.*}}] through %{{.*}} : tensor<128x64xf32, #acc>, <64, bf16>, tensor<128x64xbf16, #smem>
  tile.store %wide to %o[%c0] through %staging : tensor<128x64xf32, #tile.acc>, <64, bf16>, tensor<128x64xbf16, #tile.smem>
  %lse = tile.view lse[%c0, %c0] rows(%n) : <1, f32>
  // CHECK: tile.store_rows %{{.*}} to %{{.*}}[%{{.*}}] : tensor<128xf32, #row>, <1, f32>
  tile.store_rows %sum to %lse[%c0] : tensor<128xf32, #tile.row>, <1, f32>
}
