// The pass itself refuses nothing: what does not fit is refused by tile-verify-schedule, with the numbers.
// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-verify-schedule))" -verify-diagnostics

// expected-error@+1 {{expected at most 101376 bytes of shared memory on sm_89, got 131072}}
tile.kernel @large arch("sm_89") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %ring = tile.ring : <4 x tensor<128x128xbf16, #tile.smem>>
}
