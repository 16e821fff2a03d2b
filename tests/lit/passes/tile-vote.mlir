// Roles that agree: words with a barrier each, votes at a barrier of their own, turns of replicas.
// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-verify-schedule,tile-lower-channels))" | FileCheck %s
// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-verify-schedule,tile-lower-channels),tile-distribute)" | FileCheck %s --check-prefix=THREAD

// Four words: a barrier of one arrival and four bytes each.
// CHECK-LABEL: tile.kernel @agree
// CHECK-SAME: smem(48)
// CHECK: tile.barrier_init [0, 8, 16, 24] counts [1, 1, 1, 1]
// CHECK: tile.role @producer
// CHECK: %[[N:.*]] = tile.draw %counter
// CHECK: tile.store_word %[[N]] to
// CHECK: tile.barrier_arrive
// CHECK: tile.role @consumer
// CHECK: tile.barrier_wait
// CHECK: tile.load_word
// Named barriers: 1 is the producer's, 2 and 3 the consumers', 4 theirs together, 5 and 6 their turns, 7 all roles'.
// THREAD-LABEL: thread.kernel @agree
// THREAD: thread.vote %{{.*}} at 7 threads(288)
// THREAD: thread.role @consumer
// THREAD: %[[GROUP:.*]] = thread.replica
// THREAD: thread.named_barrier %{{.*}} threads(256)
// THREAD: thread.named_barrier %{{.*}} threads(256) arrive
// THREAD: thread.vote %{{.*}} at 7 threads(288)
tile.kernel @agree(%counter: !tile.workspace<i32> {bytes = "4", zero}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %words = tile.words : !tile.words<4>
  tile.specialize {
    tile.role @producer warps(4) registers(24) first_warp_only {
      %n = tile.draw %counter : !tile.workspace<i32>
      tile.put %words[%c1], %n : !tile.words<4>
      %again = tile.vote %c0
    }
    tile.role @consumer warps(4) replicas(2) registers(240) {
      %n = tile.get %words[%c1] : !tile.words<4>
      tile.turn_wait
      tile.turn_pass
      %again = tile.vote %n
    }
  }
}
