// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-lower-channels))" -split-input-file -verify-diagnostics

tile.kernel @unplaced(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected a ring that tile-allocate-smem has placed}}
  %s0 = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s0 : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
}
