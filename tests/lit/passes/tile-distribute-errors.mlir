// RUN: attune-opt %s -tile-distribute -split-input-file -verify-diagnostics

tile.kernel @ring arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{ring operations are lowered by tile-lower-channels}}
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
}
