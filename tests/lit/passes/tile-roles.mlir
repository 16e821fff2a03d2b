// Roles that meet at rings filled by TMA: slots with barriers, and phases.
// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-verify-schedule,tile-lower-channels))" | FileCheck %s

// Four warps of each of two consumers release a slot. K's slots begin behind Q's, barriers behind all of them: full, then
// empty; nobody waits for a slot of Q to be empty, for none is filled twice.
// CHECK-LABEL: tile.kernel @roles
// CHECK-SAME: smem(57408)
// Loops carry the place in the ring from tile to tile.
// CHECK: %[[QS:.*]] = tile.ring offset(0) barriers(57344) releases(0)
// CHECK: %[[KS:.*]] = tile.ring offset(16384) barriers(57376) releases(8)
// CHECK: tile.barrier_init [57344, 57352, 57376, 57384, 57392, 57400] counts [1, 1, 1, 1, 8, 8]
// CHECK: tile.role @producer
// CHECK: %[[FIRST:.*]] = tile.place
// CHECK: tile.slot_acquire %[[QS]][%[[FIRST]]]
// CHECK: tile.tma_load %q_map{{.*}} to %[[QS]][%[[FIRST]]]
// CHECK: scf.for {{.*}} iter_args(%[[AT:.*]] = %{{.*}}) -> (!tile.place<2>)
// CHECK: tile.slot_acquire %[[KS]][%[[AT]]]
// CHECK: tile.tma_load %k_map{{.*}} to %[[KS]][%[[AT]]]
// CHECK: %[[NEXT:.*]] = tile.next_place %[[AT]]
// CHECK: scf.yield %[[NEXT]]
// CHECK: tile.role @consumer
// CHECK: tile.slot_wait %[[QS]]
// CHECK: scf.for {{.*}} iter_args(%[[AT:.*]] = %{{.*}}) -> (!tile.place<2>)
// CHECK: tile.slot_wait %[[KS]][%[[AT]]]
// CHECK: tile.slot_release %[[KS]][%[[AT]]]
// CHECK: tile.next_place %[[AT]]
tile.kernel @roles(%length: i32 {value = "len_kv"}, %q: !tile.array<batch x heads_q x len_q x 64 x bf16> {align = 16 : i64}, %k: !tile.array<batch x heads_kv x len_kv x 64 x bf16> {align = 16 : i64}, %q_map: !tile.tensor_map<64 x 64, bf16> {array = "q"}, %k_map: !tile.tensor_map<160 x 64, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) grid("ceil_div(len_q, 128)", "heads_q", "batch") {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c160 = arith.constant 160 : i32
  %c159 = arith.constant 159 : i32
  %up = arith.addi %length, %c159 : i32
  %blocks = arith.divui %up, %c160 : i32
  %qs = tile.ring : <2 x tensor<64x64xbf16, #tile.smem>, tma>
  %ks = tile.ring : <2 x tensor<160x64xbf16, #tile.smem>, tma>
  tile.specialize {
    tile.role @producer warps(4) registers(24) first_warp_only {
      tile.fill %qs[%c0] from %q_map[%c0, %c0, %c0] : <2 x tensor<64x64xbf16, #tile.smem>, tma>, <64 x 64, bf16>
      tile.fill %qs[%c1] from %q_map[%c0, %c0, %c0] : <2 x tensor<64x64xbf16, #tile.smem>, tma>, <64 x 64, bf16>
      scf.for %i = %c0 to %blocks step %c1 : i32 {
        %row = arith.muli %i, %c160 : i32
        tile.fill %ks[%i] from %k_map[%row, %c0, %c0] : <2 x tensor<160x64xbf16, #tile.smem>, tma>, <160 x 64, bf16>
      }
    }
    tile.role @consumer warps(4) replicas(2) registers(240) {
      %group = tile.replica
      %qt = tile.wait %qs[%group] : <2 x tensor<64x64xbf16, #tile.smem>, tma>
      scf.for %i = %c0 to %blocks step %c1 : i32 {
        %kt = tile.wait %ks[%i] : <2 x tensor<160x64xbf16, #tile.smem>, tma>
        tile.release %ks[%i] : <2 x tensor<160x64xbf16, #tile.smem>, tma>
      }
    }
  }
}
