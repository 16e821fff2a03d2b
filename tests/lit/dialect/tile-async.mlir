// Roles, TMA, barriers and wgmma print as they were written; these are the examples of the op descriptions.
// RUN: attune-opt %s | attune-opt | FileCheck %s

// CHECK-LABEL: tile.kernel @ops(%length: i32 {value = "len_kv"}, %k: !tile.array<batch x heads_kv x len_kv x 128 x bf16> {align = 16 : i64}, %k_map: !tile.tensor_map<80 x 128, bf16> {array = "k"})
// CHECK-SAME: arch("sm_90a") min_blocks(1)
tile.kernel @ops(%length: i32 {value = "len_kv"}, %k: !tile.array<batch x heads_kv x len_kv x 128 x bf16> {align = 16 : i64}, %k_map: !tile.tensor_map<80 x 128, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // CHECK: %[[KS:.*]] = tile.ring : <2 x tensor<80x128xbf16, #smem>, tma>
  %ks = tile.ring : <2 x tensor<80x128xbf16, #tile.smem>, tma>
  // CHECK: tile.barrier_init [65536, 65544] counts [1, 4]
  tile.barrier_init [65536, 65544] counts [1, 4]
  // CHECK: %[[SLOTS:.*]] = tile.ring offset(1024) barriers(65536) releases(4) : <2 x tensor<80x128xbf16, #smem>, tma>
  %slots = tile.ring offset(1024) barriers(65536) releases(4) : <2 x tensor<80x128xbf16, #tile.smem>, tma>
  %q = tile.smem_tile %c0 : tensor<64x128xbf16, #tile.smem>
  // CHECK: tile.specialize
  tile.specialize {
    // CHECK: tile.role @producer warps(4) registers(24) first_warp_only
    tile.role @producer warps(4) registers(24) first_warp_only {
      // CHECK: tile.fill %[[KS]][%{{.*}}] from %k_map[%{{.*}}, %{{.*}}, %{{.*}}] : <2 x tensor<80x128xbf16, #smem>, tma>, <80 x 128, bf16>
      tile.fill %ks[%c0] from %k_map[%c0, %c0, %c0] : <2 x tensor<80x128xbf16, #tile.smem>, tma>, <80 x 128, bf16>
      // CHECK: %[[AT:.*]] = tile.place %{{.*}} : <2>
      %at = tile.place %c0 : <2>
      // CHECK: tile.slot_acquire %[[SLOTS]][%[[AT]]] : <2 x tensor<80x128xbf16, #smem>, tma>
      tile.slot_acquire %slots[%at] : <2 x tensor<80x128xbf16, #tile.smem>, tma>
      // CHECK: tile.tma_load %k_map[%{{.*}}, %{{.*}}, %{{.*}}] to %[[SLOTS]][%[[AT]]] : <80 x 128, bf16>, <2 x tensor<80x128xbf16, #smem>, tma>
      tile.tma_load %k_map[%c0, %c0, %c0] to %slots[%at] : <80 x 128, bf16>, <2 x tensor<80x128xbf16, #tile.smem>, tma>
      // CHECK: tile.next_place %[[AT]] : <2>
      %next = tile.next_place %at : <2>
    }
    // CHECK: tile.role @consumer warps(4) replicas(2) registers(240)
    tile.role @consumer warps(4) replicas(2) registers(240) {
      // CHECK: tile.replica
      %group = tile.replica
      // CHECK: tile.wait %[[KS]]
      %kt = tile.wait %ks[%c0] : <2 x tensor<80x128xbf16, #tile.smem>, tma>
      // CHECK: %[[S:.*]] = tile.dot_issue %{{.*}}, %{{.*}} transposed : tensor<64x128xbf16, #smem>, tensor<80x128xbf16, #smem> -> tensor<64x80xf32, #acc>
      %s = tile.dot_issue %q, %kt transposed : tensor<64x128xbf16, #tile.smem>, tensor<80x128xbf16, #tile.smem> -> tensor<64x80xf32, #tile.acc>
      // CHECK: tile.dot_wait %[[S]] pending(0) : tensor<64x80xf32, #acc>
      %s1 = tile.dot_wait %s pending(0) : tensor<64x80xf32, #tile.acc>
      // CHECK: %[[HERE:.*]] = tile.place %{{.*}} : <2>
      %here = tile.place %c1 : <2>
      // CHECK: tile.slot_wait %[[SLOTS]][%[[HERE]]] : <2 x tensor<80x128xbf16, #smem>, tma> -> tensor<80x128xbf16, #smem>
      %full = tile.slot_wait %slots[%here] : <2 x tensor<80x128xbf16, #tile.smem>, tma> -> tensor<80x128xbf16, #tile.smem>
      // CHECK: tile.slot_release %[[SLOTS]][%[[HERE]]] : <2 x tensor<80x128xbf16, #smem>, tma>
      tile.slot_release %slots[%here] : <2 x tensor<80x128xbf16, #tile.smem>, tma>
      // CHECK: tile.barrier_wait %{{.*}}, %{{.*}}
      tile.barrier_wait %c0, %c1
      // CHECK: tile.barrier_arrive %{{.*}}
      tile.barrier_arrive %c0
      // CHECK: tile.release %[[KS]]
      tile.release %ks[%c0] : <2 x tensor<80x128xbf16, #tile.smem>, tma>
      // CHECK: tile.reuse_tile %{{.*}} : tensor<64x128xbf16, #smem> -> tensor<64x64xbf16, #smem>
      %o = tile.reuse_tile %q : tensor<64x128xbf16, #tile.smem> -> tensor<64x64xbf16, #tile.smem>
    }
  }
}

// CHECK-LABEL: tile.kernel @agree
tile.kernel @agree(%o: !tile.array<batch x heads_q x len_q x 64 x bf16> {align = 16 : i64, output}, %o_map: !tile.tensor_map<16 x 64, bf16> {array = "o"}, %counter: !tile.workspace<i32> {bytes = "4", zero}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  // CHECK: %[[W:.*]] = tile.words : <64>
  %w = tile.words : !tile.words<64>
  %staging = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
  tile.specialize {
    tile.role @producer warps(4) registers(24) first_warp_only {
      // CHECK: %[[N:.*]] = tile.draw %counter : <i32>
      %n = tile.draw %counter : !tile.workspace<i32>
      // CHECK: tile.put %[[W]][%{{.*}}], %[[N]] : <64>
      tile.put %w[%c0], %n : <64>
      // CHECK: tile.store_word %[[N]] to %{{.*}}
      tile.store_word %n to %c0
      // CHECK: tile.vote
      %again = tile.vote %c0
    }
    tile.role @consumer warps(4) replicas(2) registers(240) {
      %out = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
      // CHECK: tile.get %[[W]][%{{.*}}] : <64>
      %n = tile.get %w[%c0] : <64>
      // CHECK: tile.load_word %{{.*}}
      %same = tile.load_word %c0
      // CHECK: tile.turn_wait
      tile.turn_wait
      // CHECK: tile.turn_pass
      tile.turn_pass
      // CHECK: tile.tma_store %{{.*}} to %o_map[%{{.*}}] through %{{.*}} : tensor<64x64xf32, #acc>, <16 x 64, bf16>, tensor<64x64xbf16, #smem>
      tile.tma_store %out to %o_map[%c0, %c0, %c0] through %staging : tensor<64x64xf32, #tile.acc>, !tile.tensor_map<16 x 64, bf16>, tensor<64x64xbf16, #tile.smem>
      // CHECK: tile.store_wait
      tile.store_wait
      // CHECK: tile.store_wait written
      tile.store_wait written
      %again = tile.vote %n
    }
  }
}
