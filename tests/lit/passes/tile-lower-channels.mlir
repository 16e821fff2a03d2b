// Rings become slots, copy groups and barriers.
// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-lower-channels))" | FileCheck %s

// Two slots: the copy of the next tile may be in flight while this one is waited for; the slot that it fills was freed
// before the barrier of that wait, so the acquire needs none of its own.
// CHECK-LABEL: tile.kernel @two_slots
// CHECK-SAME: rings = {ring_0 = array<i64: 0, 8192>}
// CHECK-NOT: tile.ring
// CHECK: tile.async_copy
// CHECK-NEXT: tile.commit_group
// CHECK: scf.for %[[I:.*]] =
// CHECK: tile.wait_group 0
// CHECK-NEXT: gpu.barrier
// CHECK: %[[SLOT:.*]] = arith.andi %[[I]], %{{.*}} : i32
// CHECK: %[[BYTES:.*]] = arith.muli %[[SLOT]], %{{.*}} : i32
// CHECK: tile.smem_tile
// CHECK-NOT: gpu.barrier
// CHECK: tile.async_copy
// CHECK-NEXT: tile.commit_group
// CHECK-NOT: tile.release
tile.kernel @two_slots(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c64 = arith.constant 64 : i32
  %blocks = arith.divui %n, %c64 : i32
  %some = arith.cmpi slt, %c0, %blocks : i32
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %ring = tile.ring : <2 x tensor<64x64xbf16, #tile.smem>>
  %s0 = tile.acquire %ring[%c0] : <2 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s0 if %some : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c0] : <2 x tensor<64x64xbf16, #tile.smem>>
  scf.for %i = %c0 to %blocks step %c1 : i32 {
    %t = tile.wait %ring[%i] : <2 x tensor<64x64xbf16, #tile.smem>>
    %next = arith.addi %i, %c1 : i32
    %more = arith.cmpi slt, %next, %blocks : i32
    %row = arith.muli %next, %c64 : i32
    %s = tile.acquire %ring[%next] : <2 x tensor<64x64xbf16, #tile.smem>>
    tile.async_copy %k[%row] to %s if %more : <64, bf16>, tensor<64x64xbf16, #tile.smem>
    tile.commit %ring[%next] : <2 x tensor<64x64xbf16, #tile.smem>>
    tile.release %ring[%i] : <2 x tensor<64x64xbf16, #tile.smem>>
  }
}

// Three slots, two tiles ahead: one group may stay in flight.
// CHECK-LABEL: tile.kernel @three_slots
// CHECK: scf.for
// CHECK: tile.wait_group 1
// CHECK: arith.remui
tile.kernel @three_slots(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c2 = arith.constant 2 : i32
  %c64 = arith.constant 64 : i32
  %blocks = arith.divui %n, %c64 : i32
  %some = arith.cmpi slt, %c0, %blocks : i32
  %two = arith.cmpi slt, %c1, %blocks : i32
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %ring = tile.ring : <3 x tensor<64x64xbf16, #tile.smem>>
  %s0 = tile.acquire %ring[%c0] : <3 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s0 if %some : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c0] : <3 x tensor<64x64xbf16, #tile.smem>>
  %s1 = tile.acquire %ring[%c1] : <3 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c64] to %s1 if %two : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c1] : <3 x tensor<64x64xbf16, #tile.smem>>
  scf.for %i = %c0 to %blocks step %c1 : i32 {
    %t = tile.wait %ring[%i] : <3 x tensor<64x64xbf16, #tile.smem>>
    %next = arith.addi %i, %c2 : i32
    %more = arith.cmpi slt, %next, %blocks : i32
    %row = arith.muli %next, %c64 : i32
    %s = tile.acquire %ring[%next] : <3 x tensor<64x64xbf16, #tile.smem>>
    tile.async_copy %k[%row] to %s if %more : <64, bf16>, tensor<64x64xbf16, #tile.smem>
    tile.commit %ring[%next] : <3 x tensor<64x64xbf16, #tile.smem>>
    tile.release %ring[%i] : <3 x tensor<64x64xbf16, #tile.smem>>
  }
}

// One slot: between the release and the next acquire no barrier has passed, so the acquire brings one.
// CHECK-LABEL: tile.kernel @one_slot
// CHECK: scf.for
// CHECK: tile.wait_group 0
// CHECK-NEXT: gpu.barrier
// CHECK: gpu.barrier
// CHECK: tile.async_copy
tile.kernel @one_slot(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c64 = arith.constant 64 : i32
  %blocks = arith.divui %n, %c64 : i32
  %some = arith.cmpi slt, %c0, %blocks : i32
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  %s0 = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s0 if %some : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  scf.for %i = %c0 to %blocks step %c1 : i32 {
    %t = tile.wait %ring[%i] : <1 x tensor<64x64xbf16, #tile.smem>>
    tile.release %ring[%i] : <1 x tensor<64x64xbf16, #tile.smem>>
    %next = arith.addi %i, %c1 : i32
    %more = arith.cmpi slt, %next, %blocks : i32
    %row = arith.muli %next, %c64 : i32
    %s = tile.acquire %ring[%next] : <1 x tensor<64x64xbf16, #tile.smem>>
    tile.async_copy %k[%row] to %s if %more : <64, bf16>, tensor<64x64xbf16, #tile.smem>
    tile.commit %ring[%next] : <1 x tensor<64x64xbf16, #tile.smem>>
  }
}
