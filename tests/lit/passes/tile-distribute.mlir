// Tiles become vectors of what one thread holds, and byte offsets of shared memory; nothing else changes.
// RUN: attune-opt %s -tile-distribute | FileCheck %s

// CHECK-LABEL: thread.kernel @one({{.*}}) arch("sm_80") warps(4) min_blocks(2) smem(49152) schedule {block_q = 128 : i64}
// CHECK-NOT: tensor<
tile.kernel @one(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 128 x bf16>, %o_array: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}) arch("sm_80") warps(4) min_blocks(2) smem(49152) schedule {block_q = 128 : i64} {
  %c0 = arith.constant 0 : i32
  // CHECK: %[[KEYS:.*]] = arith.constant 32768 : i32
  %keys = arith.constant 32768 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 128 x bf16> -> <128, bf16>
  %q = tile.smem_tile %c0 : tensor<128x128xbf16, #tile.smem>
  %t = tile.smem_tile %keys : tensor<64x128xbf16, #tile.smem>
  // CHECK: thread.async_copy %{{.*}}[%{{.*}}] to %[[KEYS]] tile(64 x 128) bounded : <128, bf16>
  tile.async_copy %k[%c0] to %t bounded : <128, bf16>, tensor<64x128xbf16, #tile.smem>
  // 128 x 128 values of 16 bits over 128 threads.
  // CHECK: thread.load_operand %{{.*}} tile(128 x 128) : vector<128xbf16>
  %a = tile.load_operand %q : tensor<128x128xbf16, #tile.smem> -> tensor<128x128xbf16, #tile.a_op>
  // CHECK: %[[S:.*]] = thread.dot %{{.*}}, %[[KEYS]] transposed tile(128 x 64 x 128, bf16) : vector<128xbf16> -> vector<64xf32>
  %s = tile.dot %a, %t transposed : tensor<128x128xbf16, #tile.a_op>, tensor<64x128xbf16, #tile.smem> -> tensor<128x64xf32, #tile.acc>
  // Two rows for each of the warp's two slabs.
  // CHECK: arith.constant dense<0.000000e+00> : vector<4xf32>
  %zero = arith.constant dense<0.0> : tensor<128xf32, #tile.row>
  // CHECK: thread.row_reduce max %[[S]], %{{.*}} : vector<64xf32> -> vector<4xf32>
  // CHECK-NEXT: %[[MAX:.*]] = thread.row_combine max
  %max = tile.row_reduce max %s, %zero : tensor<128x64xf32, #tile.acc> -> tensor<128xf32, #tile.row>
  // CHECK: thread.row_reduce add
  // CHECK-NOT: thread.row_combine
  %sum = tile.row_reduce add %s, %zero partial : tensor<128x64xf32, #tile.acc> -> tensor<128xf32, #tile.row>
  // CHECK: thread.row_broadcast %[[MAX]] : vector<4xf32> -> vector<64xf32>
  %wide = tile.row_broadcast %max : tensor<128xf32, #tile.row> -> tensor<128x64xf32, #tile.acc>
  // CHECK: arith.subf %{{.*}}, %{{.*}} : vector<64xf32>
  %d = arith.subf %s, %wide : tensor<128x64xf32, #tile.acc>
  // CHECK: thread.first_column : vector<4xi32>
  %first = tile.first_column : tensor<128xi32, #tile.row>
  %step = arith.constant 1.0 : f32
  // CHECK: thread.ramp %{{.*}} by %{{.*}} tile(128 x 64) : vector<4xf32> -> vector<64xf32>
  %ramp = tile.ramp %max by %step : tensor<128xf32, #tile.row> -> tensor<128x64xf32, #tile.acc>
  // CHECK: vector.broadcast %{{.*}} : i32 to vector<4xi32>
  %rows = tensor.splat %n : tensor<128xi32, #tile.row>
  // CHECK: thread.keep_columns %{{.*}} at [%{{.*}}, %{{.*}}] last(%{{.*}}) tile(128 x 64) : vector<64xf32>
  %kept = tile.keep_columns %d at [%c0, %c0] last(%n) : tensor<128x64xf32, #tile.acc>
  // CHECK: thread.to_a_op %{{.*}} tile(128 x 64) : vector<64xf32> -> vector<64xbf16>
  %p = tile.to_a_op %kept : tensor<128x64xf32, #tile.acc> -> tensor<128x64xbf16, #tile.a_op>
  %o = tile.view %o_array[%c0, %c0] rows(%n) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
  %staging = tile.smem_tile %c0 : tensor<128x64xbf16, #tile.smem>
  // CHECK: thread.store %{{.*}} to %{{.*}}[%{{.*}}] through %{{.*}} tile(128 x 64) : vector<64xf32>, <64, bf16>
  tile.store %kept to %o[%c0] through %staging : tensor<128x64xf32, #tile.acc>, <64, bf16>, tensor<128x64xbf16, #tile.smem>
}

// Roles take warps in their order; a fragment has the values that a thread of its role holds.
// CHECK-LABEL: thread.kernel @roles
tile.kernel @roles(%n: i32 {value = "len_q"}, %o: !tile.array<batch x heads_q x len_q x f32> {output}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %view = tile.view %o[%c0, %c0] rows(%n) : <batch x heads_q x len_q x f32> -> <1, f32>
  // CHECK: thread.specialize {
  tile.specialize {
    // CHECK-NEXT: thread.role @producer first_warp(0) warps(4) replicas(1) registers(24) {
    tile.role @producer warps(4) registers(24) {
      gpu.barrier
    }
    // CHECK: thread.role @consumer first_warp(4) warps(4) replicas(2) registers(240) {
    tile.role @consumer warps(4) replicas(2) registers(240) {
      // CHECK-NEXT: thread.replica
      %which = tile.replica
      gpu.barrier
      // CHECK: arith.constant dense<1.000000e+00> : vector<2xf32>
      %x = arith.constant dense<1.0> : tensor<64xf32, #tile.row>
      tile.store_rows %x to %view[%which] : tensor<64xf32, #tile.row>, <1, f32>
    }
  }
}
