// Programs without a meaning are told, with the operation's place.
// RUN: split-file %s %t
// RUN: not attune-interpret %t/unfilled.mlir 2>&1 | FileCheck %s --check-prefix=UNFILLED
// RUN: not attune-interpret %t/forever.mlir 2>&1 | FileCheck %s --check-prefix=FOREVER
// RUN: not attune-interpret %t/outside.mlir 2>&1 | FileCheck %s --check-prefix=OUTSIDE
// RUN: not attune-interpret %t/outside.mlir --array q=1 --array none=2 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not attune-interpret %t/outside.mlir --size rows=1 2>&1 | FileCheck %s --check-prefix=SIZE
// UNFILLED: unfilled.mlir:6:{{[0-9]+}}: error: 'tile.wait' waits for a tile that nobody filled
// FOREVER: forever.mlir:4: error: 'tile.wait' waits for ever
// OUTSIDE: outside.mlir:6:{{[0-9]+}}: error: 'tile.async_copy' is not bounded and reads row 8 of 8
// NONE: error: no kernel has an array 'none'
// SIZE: error: expected a size like len_q, got 'rows'

//--- unfilled.mlir
tile.kernel @unfilled(%q: !tile.array<8 x 16 x f16>) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %ring = tile.ring : <1 x tensor<16x16xf16, #tile.smem>>
  %slot = tile.acquire %ring[%c0] : <1 x tensor<16x16xf16, #tile.smem>>
  tile.commit %ring[%c0] : <1 x tensor<16x16xf16, #tile.smem>>
  %tile = tile.wait %ring[%c0] : <1 x tensor<16x16xf16, #tile.smem>>
}
//--- forever.mlir
tile.kernel @forever(%q: !tile.array<8 x 16 x f16>) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %ring = tile.ring : <1 x tensor<16x16xf16, #tile.smem>>
  %tile = tile.wait %ring[%c0] : <1 x tensor<16x16xf16, #tile.smem>>
}
//--- outside.mlir
tile.kernel @outside(%q: !tile.array<8 x 16 x f16>) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c8 = arith.constant 8 : i32
  %Q = tile.view %q[] rows(%c8) : <8 x 16 x f16> -> <16, f16>
  %slot = tile.reuse_smem : tensor<16x16xf16, #tile.smem>
  tile.async_copy %Q[%c0] to %slot : <16, f16>, tensor<16x16xf16, #tile.smem>
}
