// Rings lie one after the other; staging needs no room of its own, but the kernel is at least as large as it.
// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem))" | FileCheck %s

// CHECK: tile.kernel @rings arch("sm_80") warps(4) min_blocks(1) smem(32768)
tile.kernel @rings arch("sm_80") warps(4) min_blocks(1) {
  // CHECK: tile.ring offset(0) : <1 x tensor<64x64xbf16, #smem>>
  %q = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  // CHECK: tile.ring offset(8192) : <3 x tensor<64x64xbf16, #smem>>
  %k = tile.ring : <3 x tensor<64x64xbf16, #tile.smem>>
}

// CHECK: tile.kernel @staging arch("sm_80") warps(4) min_blocks(1) smem(32768)
tile.kernel @staging arch("sm_80") warps(4) min_blocks(1) {
  %q = tile.ring : <1 x tensor<64x16xbf16, #tile.smem>>
  %s = tile.reuse_smem : tensor<64x256xbf16, #tile.smem>
}
