// Every op of the tile dialect prints as it was written; these are the examples of the op descriptions.
// RUN: attune-opt %s | attune-opt | FileCheck %s

// CHECK-LABEL: tile.kernel @ops(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 128 x bf16> {align = 16 : i64}
// CHECK-SAME: %sinks: !tile.array<heads_q x f32> {optional}, %lse_in: !tile.array<len_q x heads_q x f16>, %turns: !tile.workspace<i32> {bytes = "4 * batch", zero}, %scale: f32)
// CHECK-SAME: arch("sm_80") warps(4) min_blocks(2) grid("ceil_div(len_q, 128)", "heads_q", "batch") smem(65536)
tile.kernel @ops(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 128 x bf16> {align = 16 : i64}, %o_array: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}, %lse_array: !tile.array<batch x heads_q x len_q x f32> {output}, %sinks: !tile.array<heads_q x f32> {optional}, %lse_in: !tile.array<len_q x heads_q x f16>, %turns: !tile.workspace<i32> {bytes = "4 * batch", zero}, %scale: f32) arch("sm_80") warps(4) min_blocks(2) grid("ceil_div(len_q, 128)", "heads_q", "batch") smem(65536) {
  %c0 = arith.constant 0 : i32
  %true = arith.constant true
  %zeros = arith.constant dense<0.0> : tensor<128x64xf32, #tile.acc>
  %rows = arith.constant dense<0.0> : tensor<128xf32, #tile.row>
  // CHECK: %[[K:.*]] = tile.view %k_array[%{{.*}}, %{{.*}}] rows(%n) : <batch x heads_kv x len_kv x 128 x bf16> -> <128, bf16>
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 128 x bf16> -> <128, bf16>
  // CHECK: tile.load_value %sinks[%{{.*}}] : <heads_q x f32> -> f32
  %sink = tile.load_value %sinks[%c0] : <heads_q x f32> -> f32
  // CHECK: tile.load_value %lse_in[%{{.*}}, %{{.*}}] : <len_q x heads_q x f16> -> tensor<128xf32, #row>
  %places = tile.row_index : tensor<128xi32, #tile.row>
  %some = tile.load_value %lse_in[%places, %places] : <len_q x heads_q x f16> -> tensor<128xf32, #tile.row>
  // CHECK: %[[COUNT:.*]] = tile.count_blocks %{{.*}}, %n {
  // CHECK-NEXT: ^bb0(%[[BLOCK:.*]]: i32):
  // CHECK-NEXT: %[[LATE:.*]] = arith.cmpi sgt, %[[BLOCK]]
  // CHECK-NEXT: tile.yield %[[LATE]] : i1
  %count = tile.count_blocks %c0, %n {
  ^bb0(%block: i32):
    %late = arith.cmpi sgt, %block, %c0 : i32
    tile.yield %late : i1
  } : i32
  // CHECK: tile.last_block %{{.*}}, %[[COUNT]] {
  %last = tile.last_block %c0, %count {
  ^bb0(%block: i32):
    %early = arith.cmpi slt, %block, %n : i32
    tile.yield %early : i1
  }
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
  // CHECK: tile.keep_columns %{{.*}} at [%{{.*}}, %{{.*}}] last(%n) last_shift(%{{.*}}) : tensor<128x64xf32, #acc>
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
  // CHECK: tile.first_column : tensor<128xi32, #row>
  %first = tile.first_column : tensor<128xi32, #tile.row>
  // CHECK: tile.ramp %{{.*}} by %{{.*}} : tensor<128xf32, #row> -> tensor<128x64xf32, #acc>
  %step = arith.constant 2.0 : f32
  %ramp = tile.ramp %sum by %step : tensor<128xf32, #tile.row> -> tensor<128x64xf32, #tile.acc>
  %flags = arith.cmpf ogt, %max, %sum : tensor<128xf32, #tile.row>
  // CHECK: tile.warp_any %{{.*}} : tensor<128xi1, #row>
  %any = tile.warp_any %flags : tensor<128xi1, #tile.row>
  // CHECK: tile.to_a_op %{{.*}} : tensor<128x64xf32, #acc> -> tensor<128x64xbf16, #a_op>
  %p = tile.to_a_op %wide : tensor<128x64xf32, #tile.acc> -> tensor<128x64xbf16, #tile.a_op>
  // CHECK: tile.uniform %{{.*}}
  %same = tile.uniform %c0
  // CHECK: tile.release %[[RING]]
  tile.release %ring[%c0] : <2 x tensor<64x128xbf16, #tile.smem>>
  // CHECK: tile.commit_group
  tile.commit_group
  // CHECK: tile.wait_group 1
  tile.wait_group 1
  // CHECK: tile.reuse_smem : tensor<128x64xbf16, #smem>
  %staging = tile.reuse_smem : tensor<128x64xbf16, #tile.smem>
  %o = tile.view %o_array[%c0, %c0] rows(%n) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
  // CHECK: tile.store %{{.*}} to %{{.*}}[%{{.*}}] through %{{.*}} : tensor<128x64xf32, #acc>, <64, bf16>, tensor<128x64xbf16, #smem>
  tile.store %wide to %o[%c0] through %staging : tensor<128x64xf32, #tile.acc>, <64, bf16>, tensor<128x64xbf16, #tile.smem>
  %lse = tile.view %lse_array[%c0, %c0] rows(%n) : <batch x heads_q x len_q x f32> -> <1, f32>
  // CHECK: tile.store_rows %{{.*}} to %{{.*}}[%{{.*}}] : tensor<128xf32, #row>, <1, f32>
  tile.store_rows %sum to %lse[%c0] : tensor<128xf32, #tile.row>, <1, f32>
}

// Roles: fragments are spread over the warps of theirs.
// CHECK-LABEL: tile.kernel @roles arch("sm_90a") min_blocks(1)
tile.kernel @roles arch("sm_90a") min_blocks(1) {
  // CHECK: tile.specialize {
  tile.specialize {
    // CHECK-NEXT: tile.role @producer warps(4) registers(24) {
    tile.role @producer warps(4) registers(24) {
      gpu.barrier
    }
    // CHECK: tile.role @consumer warps(4) replicas(2) registers(240) {
    tile.role @consumer warps(4) replicas(2) registers(240) {
      // CHECK-NEXT: tile.replica
      %which = tile.replica
      %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
    }
  }
}

// What one kernel leaves for the next: the least and the largest element of a part of an array.
// CHECK-LABEL: tile.kernel @bounds
tile.kernel @bounds(%doc: !tile.array<batch x len_kv x i32>, %table: !tile.workspace<i32> {bytes = "8 * batch"}, %n: i32 {value = "len_kv"}) arch("sm_80") warps(1) min_blocks(1) grid("batch", "1", "1") {
  %c0 = arith.constant 0 : i32
  // CHECK: %[[LEAST:.*]] = tile.least %{{.*}}, %n {
  // CHECK: tile.load_value %doc
  // CHECK-NEXT: tile.yield %{{.*}} : i32
  %least = tile.least %c0, %n {
  ^bb0(%i: i32):
    %x = tile.load_value %doc[%c0, %i] : <batch x len_kv x i32> -> i32
    tile.yield %x : i32
  }
  // CHECK: tile.largest %{{.*}}, %n {
  %largest = tile.largest %c0, %n {
  ^bb0(%i: i32):
    %x = tile.load_value %doc[%c0, %i] : <batch x len_kv x i32> -> i32
    tile.yield %x : i32
  }
  // CHECK: tile.store_entry %[[LEAST]] to %table[%{{.*}}] : <i32>
  tile.store_entry %least to %table[%c0] : <i32>
  // CHECK: tile.load_entry %table[%{{.*}}] : <i32>
  %entry = tile.load_entry %table[%c0] : <i32>
}
