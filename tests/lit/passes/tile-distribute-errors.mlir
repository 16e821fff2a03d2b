// RUN: attune-opt %s -tile-distribute -split-input-file -verify-diagnostics

tile.kernel @ring arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{ring operations are lowered by tile-lower-channels}}
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @constant arch("sm_80") warps(1) min_blocks(1) {
  // expected-error@+1 {{expected a constant tile of one value}}
  %x = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : tensor<16xf32, #tile.row>
}
