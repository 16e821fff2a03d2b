// RUN: attune-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{expected 1, 2, 4, 8 or 16 warps, got 3}}
tile.kernel @warps arch("sm_80") warps(3) min_blocks(1) {
}

// -----

// expected-error@+1 {{expected min_blocks to be at least 1, got 0}}
tile.kernel @blocks arch("sm_80") warps(4) min_blocks(0) {
}

// -----

tile.kernel @slabs arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected the rows of a fragment to be a multiple of 16 x warps = 64, got 96}}
  %x = arith.constant dense<0.0> : tensor<96x64xf32, #tile.acc>
}

// -----

tile.kernel @columns arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected the columns of a tile to be a multiple of 16, got 40}}
  %x = arith.constant dense<0.0> : tensor<64x40xf32, #tile.acc>
}

// -----

tile.kernel @ring arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a ring of at least one slot, got 0}}
  %x = tile.ring : <0 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @slot arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected slots to be 2-d tensors with layout #tile.smem, got 'tensor<64x64xbf16, #tile.acc>'}}
  %x = tile.ring : <2 x tensor<64x64xbf16, #tile.acc>>
}

// -----

tile.kernel @copy arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %k = tile.view k[%c0, %c0] rows(%c0) : <128, f16>
  %tile = tile.smem_tile %c0 : tensor<64x128xbf16, #tile.smem>
  // expected-error@+1 {{expected view and tile of one element type, got 'f16' and 'bf16'}}
  tile.async_copy %k[%c0] to %tile : <128, f16>, tensor<64x128xbf16, #tile.smem>
}

// -----

tile.kernel @width arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %k = tile.view k[%c0, %c0] rows(%c0) : <136, bf16>
  %tile = tile.smem_tile %c0 : tensor<64x128xbf16, #tile.smem>
  // expected-error@+1 {{expected the view's columns to be a multiple of 8 and at most the tile's 128, got 136}}
  tile.async_copy %k[%c0] to %tile : <136, bf16>, tensor<64x128xbf16, #tile.smem>
}

// -----

tile.kernel @dot arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %a = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
  %b = tile.smem_tile %c0 : tensor<64x128xbf16, #tile.smem>
  // expected-error@+1 {{expected a and b to agree in k, got 64 and 128}}
  %s = tile.dot %a, %b transposed : tensor<64x64xbf16, #tile.smem>, tensor<64x128xbf16, #tile.smem> -> tensor<64x64xf32, #tile.acc>
}

// -----

tile.kernel @shape arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %a = tile.smem_tile %c0 : tensor<64x128xbf16, #tile.smem>
  %b = tile.smem_tile %c0 : tensor<32x128xbf16, #tile.smem>
  // expected-error@+1 {{expected a result of shape 64x32, got 64x64}}
  %s = tile.dot %a, %b transposed : tensor<64x128xbf16, #tile.smem>, tensor<32x128xbf16, #tile.smem> -> tensor<64x64xf32, #tile.acc>
}

// -----

tile.kernel @limits arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  // expected-error@+1 {{expected at least one of 'first', 'last', 'first_shift' and 'last_shift'}}
  %y = tile.keep_columns %x at [%c0, %c0] : tensor<64x64xf32, #tile.acc>
}

// -----

tile.kernel @rows arch("sm_80") warps(4) min_blocks(1) {
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  %r = arith.constant dense<0.0> : tensor<128xf32, #tile.row>
  // expected-error@+1 {{expected one value for each of 64 rows, got 128}}
  %y = tile.row_reduce max %x, %r : tensor<64x64xf32, #tile.acc> -> tensor<128xf32, #tile.row>
}

// -----

tile.kernel @operand arch("sm_80") warps(4) min_blocks(1) {
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  // expected-error@+1 {{expected a 16-bit result, got 'f32'}}
  %y = tile.to_a_op %x : tensor<64x64xf32, #tile.acc> -> tensor<64x64xf32, #tile.a_op>
}

// -----

tile.kernel @staging arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  %o = tile.view o[%c0, %c0] rows(%c0) : <64, bf16>
  %s = tile.smem_tile %c0 : tensor<64x32xbf16, #tile.smem>
  // expected-error@+1 {{expected staging of the value's shape 64x64, got 64x32}}
  tile.store %x to %o[%c0] through %s : tensor<64x64xf32, #tile.acc>, <64, bf16>, tensor<64x32xbf16, #tile.smem>
}
