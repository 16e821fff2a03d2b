// RUN: attune-opt %s -split-input-file -verify-diagnostics

thread.kernel @short_result arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected the result to be 'vector<32xf32>', got 'vector<8xf32>'}}
  %s = thread.dot %c0, %c0 transposed tile(64 x 64 x 64, bf16) : i32 -> vector<8xf32>
}

// -----

thread.kernel @short_a arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %a = thread.load_operand %c0 tile(64 x 32) : vector<16xbf16>
  // expected-error@+1 {{expected a to be 'vector<32xbf16>', got 'vector<16xbf16>'}}
  %s = thread.dot %a, %c0 transposed tile(64 x 64 x 64, bf16) : vector<16xbf16> -> vector<32xf32>
}

// -----

thread.kernel @small_k arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected k to be a multiple of 16 up to 4096, got 8}}
  %s = thread.dot %c0, %c0 transposed tile(64 x 64 x 8, bf16) : i32 -> vector<32xf32>
}

// -----

thread.kernel @slabs arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected the rows of the tile to be a multiple of 64 (16 x warps) up to 4096, got 32}}
  %s = thread.dot %c0, %c0 transposed tile(32 x 64 x 64, bf16) : i32 -> vector<16xf32>
}

// -----

thread.kernel @columns arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected the columns of the tile to be a multiple of 16 up to 4096, got 24}}
  %s = thread.dot %c0, %c0 transposed tile(64 x 24 x 64, bf16) : i32 -> vector<12xf32>
}

// -----

thread.kernel @operand_type arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected elements that a matrix instruction takes, got 'f32'}}
  %s = thread.dot %c0, %c0 transposed tile(64 x 64 x 64, f32) : i32 -> vector<32xf32>
}

// -----

thread.kernel @load arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected the result to be 'vector<32xbf16>', got 'vector<8xbf16>'}}
  %a = thread.load_operand %c0 tile(64 x 64) : vector<8xbf16>
}

// -----

thread.kernel @copy(%k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  // expected-error@+1 {{expected the view's columns to be a multiple of 8 and at most the tile's 32, got 64}}
  thread.async_copy %k[%c0] to %c0 tile(64 x 32) : <64, bf16>
}

// -----

thread.kernel @reduce arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %x = arith.constant dense<0.0> : vector<32xf32>
  %r = arith.constant dense<0.0> : vector<3xf32>
  // expected-error@+1 {{expected two values of 'f32' for each slab of rows, got 'vector<3xf32>'}}
  %y = thread.row_reduce max %x, %r : vector<32xf32> -> vector<3xf32>
}

// -----

thread.kernel @matrix arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %x = arith.constant dense<0.0> : vector<12xf32>
  %r = arith.constant dense<0.0> : vector<2xf32>
  // expected-error@+1 {{expected a matrix of 1 slab(s) of 16 rows and a multiple of 16 columns for 'vector<2xf32>', got 'vector<12xf32>'}}
  %y = thread.row_reduce max %x, %r : vector<12xf32> -> vector<2xf32>
}

// -----

thread.kernel @combine arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %r = arith.constant dense<0> : vector<2xi32>
  // expected-error@+1 {{expected two values of 'f32' for each slab of rows, got 'vector<2xi32>'}}
  %y = thread.row_combine max %r : vector<2xi32>
}

// -----

thread.kernel @broadcast arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %r = arith.constant dense<0.0> : vector<4xf32>
  // expected-error@+1 {{expected a matrix of 2 slab(s) of 16 rows}}
  %y = thread.row_broadcast %r : vector<4xf32> -> vector<8xf32>
}

// -----

thread.kernel @row_index arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  // expected-error@+1 {{expected two values of 'i32' for each slab of rows, got 'vector<2xf32>'}}
  %y = thread.row_index : vector<2xf32>
}

// -----

thread.kernel @column_index arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  // expected-error@+1 {{expected the result to be 'vector<32xi32>', got 'vector<16xi32>'}}
  %y = thread.column_index tile(64 x 64) : vector<16xi32>
}

// -----

thread.kernel @first_column arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  // expected-error@+1 {{expected two values of 'i32' for each slab of rows, got 'vector<2xf32>'}}
  %y = thread.first_column : vector<2xf32>
}

// -----

thread.kernel @ramp arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %r = arith.constant dense<0.0> : vector<2xf32>
  %step = arith.constant 1.0 : f32
  // expected-error@+1 {{expected the result to be 'vector<32xf32>', got 'vector<16xf32>'}}
  %y = thread.ramp %r by %step tile(64 x 64) : vector<2xf32> -> vector<16xf32>
}

// -----

thread.kernel @limits arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %x = arith.constant dense<0.0> : vector<32xf32>
  // expected-error@+1 {{expected at least one of 'first', 'last', 'first_shift' and 'last_shift'}}
  %y = thread.keep_columns %x at [%c0, %c0] tile(64 x 64) : vector<32xf32>
}

// -----

thread.kernel @keep arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %x = arith.constant dense<0.0> : vector<16xf32>
  // expected-error@+1 {{expected the value to be 'vector<32xf32>', got 'vector<16xf32>'}}
  %y = thread.keep_columns %x at [%c0, %c0] last(%c0) tile(64 x 64) : vector<16xf32>
}

// -----

thread.kernel @to_a_op arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %x = arith.constant dense<0.0> : vector<32xf32>
  // expected-error@+1 {{expected the result to be 'vector<32xbf16>', got 'vector<16xbf16>'}}
  %y = thread.to_a_op %x tile(64 x 64) : vector<32xf32> -> vector<16xbf16>
}

// -----

thread.kernel @any arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %x = arith.constant dense<0> : vector<2xi32>
  // expected-error@+1 {{expected values of i1, got 'vector<2xi32>'}}
  %y = thread.warp_any %x : vector<2xi32>
}

// -----

thread.kernel @store(%k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %x = arith.constant dense<0.0> : vector<16xf32>
  // expected-error@+1 {{expected the value to be 'vector<32xf32>', got 'vector<16xf32>'}}
  thread.store %x to %k[%c0] through %c0 tile(64 x 64) : vector<16xf32>, <64, bf16>
}

// -----

thread.kernel @store_rows(%k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %x = arith.constant dense<0.0> : vector<2xf32>
  // expected-error@+1 {{expected a view of one column of f32, got '!tile.view<64, bf16>'}}
  thread.store_rows %x to %k[%c0] : vector<2xf32>, <64, bf16>
}

// -----

thread.kernel @type arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  // expected-error@+1 {{expected i1, i32, index, f32, and vectors of at most 2048 of f32, i32, i1 and operands, got 'f64'}}
  %x = arith.constant 0.0 : f64
}

// -----

thread.kernel @plus arch("sm_80") warps(4) min_blocks(1) smem(32768) {
  %c0 = arith.constant 0 : i32
  %z = arith.constant dense<0.0> : vector<2xf32>
  %a = thread.load_operand %c0 tile(64 x 64) : vector<32xbf16>
  // expected-error@+1 {{expected the result to be 'vector<32xf32>', got 'vector<2xf32>'}}
  %o = thread.dot %a, %c0 plus %z tile(64 x 64 x 64, bf16) : vector<32xbf16> -> vector<2xf32>
}

// -----

thread.kernel @roles arch("sm_90a") min_blocks(1) smem(0) {
  thread.specialize {
    thread.role @one first_warp(0) warps(4) replicas(1) {
    }
    // expected-error@+1 {{expected to begin at warp 4, got 8}}
    thread.role @two first_warp(8) warps(4) replicas(1) {
    }
  }
}
