// RUN: attune-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{expected 1, 2, 4, 8, 16 or 32 warps, got 3}}
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

tile.kernel @copy(%k_array: !tile.array<batch x heads_kv x len_kv x 128 x f16>) arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 128 x f16> -> <128, f16>
  %tile = tile.smem_tile %c0 : tensor<64x128xbf16, #tile.smem>
  // expected-error@+1 {{expected view and tile of one element type, got 'f16' and 'bf16'}}
  tile.async_copy %k[%c0] to %tile : <128, f16>, tensor<64x128xbf16, #tile.smem>
}

// -----

tile.kernel @width(%k_array: !tile.array<batch x heads_kv x len_kv x 136 x bf16>) arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 136 x bf16> -> <136, bf16>
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
  // expected-error@+1 {{expected elements that a matrix instruction takes, got 'tensor<64x64xf32, #tile.a_op>'}}
  %y = tile.to_a_op %x : tensor<64x64xf32, #tile.acc> -> tensor<64x64xf32, #tile.a_op>
}

// -----

tile.kernel @staging(%o_array: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}) arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  %o = tile.view %o_array[%c0, %c0] rows(%c0) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
  %s = tile.smem_tile %c0 : tensor<64x32xbf16, #tile.smem>
  // expected-error@+1 {{expected staging of the value's shape 64x64, got 64x32}}
  tile.store %x to %o[%c0] through %s : tensor<64x64xf32, #tile.acc>, <64, bf16>, tensor<64x32xbf16, #tile.smem>
}

// -----

// expected-error@+1 {{expected an architecture among}}
tile.kernel @arch arch("sm_70") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{expected arguments of type array, tensor_map, workspace, i32 or f32, got 'i64'}}
tile.kernel @argument(%n: i64) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{argument 'n': value: expected a number, a size}}
tile.kernel @value(%n: i32 {value = "len"}) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{argument 'n': expected the range of an i32 to be array<i32: LEAST, MOST>}}
tile.kernel @range(%n: i32 {range = array<i32: 2, 1>}) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{argument 'x': expected the range of an i32 to be array<i32: LEAST, MOST>}}
tile.kernel @range_of_f32(%x: f32 {range = array<i32: 0, 1>}) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{argument 'n': expected no attribute 'range'}}
tile.kernel @range_of_size(%n: i32 {range = array<i32: 0, 1>, value = "len_q"}) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{argument 'n': expected no attribute 'output'}}
tile.kernel @attribute(%n: i32 {output}) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{argument '0': expected a name that is a C identifier}}
tile.kernel @name(%0: i32) arch("sm_80") warps(4) min_blocks(1) {
}


// -----

// expected-error@+1 {{expected a grid of three extents, got 1}}
tile.kernel @grid arch("sm_80") warps(4) min_blocks(1) grid("len_q") {
}


// -----

// expected-error@+1 {{expected a number, a size (batch, heads_q, heads_kv, len_q, len_kv, sm_count), ceil_div, min or max at character 1 of 'lenq'}}
tile.kernel @extent arch("sm_80") warps(4) min_blocks(1) grid("lenq", "1", "1") {
}


// -----

// expected-error@+1 {{expected 'warps', or one 'specialize' whose roles have warps}}
tile.kernel @roleless arch("sm_80") min_blocks(1) {
}


// -----

tile.kernel @handle arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %true = arith.constant true
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected no value of type '!tile.ring<1 x tensor<64x64xbf16, #tile.smem>>' to be handed on}}
  %other = scf.if %true -> (!tile.ring<1 x tensor<64x64xbf16, #tile.smem>>) {
    scf.yield %ring : !tile.ring<1 x tensor<64x64xbf16, #tile.smem>>
  } else {
    scf.yield %ring : !tile.ring<1 x tensor<64x64xbf16, #tile.smem>>
  }
}


// -----

tile.kernel @numbers arch("sm_80") warps(4) min_blocks(1) {
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  // expected-error@+1 {{expected an operation that kernels can apply to each score in a kernel}}
  %y = math.sin %x : tensor<64x64xf32, #tile.acc>
}


// -----

tile.kernel @constant arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a constant of one value}}
  %x = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : tensor<64xf32, #tile.row>
}


// -----

tile.kernel @layout arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a tile with layout #tile.acc, #tile.row, #tile.a_op or #tile.smem, got 'tensor<64x64xf32>'}}
  %x = arith.constant dense<0.0> : tensor<64x64xf32>
}


// -----

tile.kernel @dynamic arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected a matrix of static shape, of 1 to 2^20 elements, got 'tensor<?x64xbf16, #tile.smem>'}}
  %x = tile.smem_tile %c0 : tensor<?x64xbf16, #tile.smem>
}


// -----

tile.kernel @view(%k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected a view of 64 columns, got 32}}
  %v = tile.view %k[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <32, bf16>
}


// -----

tile.kernel @indices(%k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected an index for each axis of the array but one or two, got 1 for 4 axes}}
  %v = tile.view %k[%c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
}


// -----

tile.kernel @narrow(%k: !tile.array<heads_q x bf16>, %n: i32) arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a result of 'f32', as the array's elements 'bf16' become, got 'i32'}}
  %v = tile.load_value %k[%n] : <heads_q x bf16> -> i32
}


// -----

tile.kernel @wide(%k: !tile.array<heads_q x i64>, %n: i32) arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected elements that are numbers of at most 32 bits, got 'i64'}}
  %v = tile.load_value %k[%n] : <heads_q x i64> -> i64
}


// -----

tile.kernel @condition(%n: i32) arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a body that takes a number (i32)}}
  %v = tile.count_blocks %n, %n {
  ^bb0(%block: index):
    %c = arith.constant true
    tile.yield %c : i1
  } : i32
}


// -----

tile.kernel @tiles(%n: i32) arch("sm_80") warps(4) min_blocks(1) {
  %v = tile.last_block %n, %n {
  ^bb0(%block: i32):
    // expected-error@+1 {{expected a number in the body of a scan, got 'tensor<64xi1, #tile.row>'}}
    %t = arith.constant dense<true> : tensor<64xi1, #tile.row>
    %c = arith.constant true
    tile.yield %c : i1
  }
}


// -----

tile.kernel @value(%k: !tile.array<heads_q x f32>) arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected an index for each of 1 axes, got 0}}
  %v = tile.load_value %k[] : <heads_q x f32> -> f32
}


// -----

tile.kernel @offset arch("sm_80") warps(4) min_blocks(1) {
  %c8 = arith.constant 8 : i32
  // expected-error@+1 {{expected an offset that is a multiple of 128, got 8}}
  %x = tile.smem_tile %c8 : tensor<64x64xbf16, #tile.smem>
}


// -----

tile.kernel @pending arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected 0 to 1024 pending groups, got}}
  tile.wait_group 5000
}


// -----

tile.kernel @load arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %x = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
  // expected-error@+1 {{expected a result of the tile's shape and type 64x64 x 'bf16', got 64x32 x 'bf16'}}
  %a = tile.load_operand %x : tensor<64x64xbf16, #tile.smem> -> tensor<64x32xbf16, #tile.a_op>
}


// -----

tile.kernel @combine arch("sm_80") warps(4) min_blocks(1) {
  %x = arith.constant dense<0> : tensor<64xi32, #tile.row>
  // expected-error@+1 {{expected rows of f32, got 'i32'}}
  %y = tile.row_combine max %x : tensor<64xi32, #tile.row>
}


// -----

tile.kernel @broadcast arch("sm_80") warps(4) min_blocks(1) {
  %x = arith.constant dense<0> : tensor<64xi32, #tile.row>
  // expected-error@+1 {{expected rows of the matrix's element type 'f32', got 'i32'}}
  %y = tile.row_broadcast %x : tensor<64xi32, #tile.row> -> tensor<64x64xf32, #tile.acc>
}


// -----

tile.kernel @row_index arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected rows of i32, got 'f32'}}
  %y = tile.row_index : tensor<64xf32, #tile.row>
}


// -----

tile.kernel @column_index arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a tile of i32, got 'f32'}}
  %y = tile.column_index : tensor<64x64xf32, #tile.acc>
}


// -----

tile.kernel @first_column arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected rows of i32, got 'f32'}}
  %y = tile.first_column : tensor<64xf32, #tile.row>
}


// -----

tile.kernel @ramp arch("sm_80") warps(4) min_blocks(1) {
  %r = arith.constant dense<0.0> : tensor<128xf32, #tile.row>
  %step = arith.constant 1.0 : f32
  // expected-error@+1 {{expected one value for each of 64 rows, got 128}}
  %y = tile.ramp %r by %step : tensor<128xf32, #tile.row> -> tensor<64x64xf32, #tile.acc>
}


// -----

tile.kernel @ramp_of_integers arch("sm_80") warps(4) min_blocks(1) {
  %r = arith.constant dense<0> : tensor<64xi32, #tile.row>
  %step = arith.constant 1.0 : f32
  // expected-error@+1 {{expected a tile of f32, got 'i32'}}
  %y = tile.ramp %r by %step : tensor<64xi32, #tile.row> -> tensor<64x64xi32, #tile.acc>
}


// -----

tile.kernel @any arch("sm_80") warps(4) min_blocks(1) {
  %x = arith.constant dense<0> : tensor<64xi32, #tile.row>
  // expected-error@+1 {{expected rows of i1, got 'i32'}}
  %y = tile.warp_any %x : tensor<64xi32, #tile.row>
}


// -----

tile.kernel @store_rows(%o: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}) arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %x = arith.constant dense<0.0> : tensor<64xf32, #tile.row>
  %v = tile.view %o[%c0, %c0] rows(%c0) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
  // expected-error@+1 {{expected rows of f32 and a view of one column of them}}
  tile.store_rows %x to %v[%c0] : tensor<64xf32, #tile.row>, <64, bf16>
}


// -----

tile.kernel @outside arch("sm_90a") min_blocks(1) {
  // expected-error@+1 {{expected fragments only inside a role, whose warps share them}}
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  tile.specialize {
    tile.role @one warps(4) {
    }
  }
}


// -----

tile.kernel @registers arch("sm_90a") min_blocks(1) {
  tile.specialize {
    // expected-error@+1 {{expected registers to be a multiple of 8 in 24..256, got 20}}
    tile.role @one warps(4) registers(20) {
    }
  }
}


// -----

tile.kernel @after arch("sm_90a") min_blocks(1) {
  tile.specialize {
    tile.role @one warps(4) {
    }
  }
  // expected-error@+1 {{expected nothing after the roles of a kernel}}
  gpu.barrier
}


// -----

tile.kernel @replica arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected to be inside a role}}
  %x = tile.replica
}

// -----

tile.kernel @taken arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %v = tile.smem_tile %c0 : tensor<32x64xbf16, #tile.smem>
  %x = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
  // expected-error@+1 {{expected scores of shape 64x32, got 64x64}}
  %y = tile.take_nonfinite %v, %x, %x : tensor<32x64xbf16, #tile.smem>, tensor<64x64xf32, #tile.acc>, tensor<64x64xf32, #tile.acc>
}

// -----

tile.kernel @writers(%n: i32, %table: !tile.workspace<i32> {bytes = "4"}) arch("sm_80") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected to be in a kernel of one warp, got 4}}
  tile.store_entry %n to %table[%n] : <i32>
}


// -----

tile.kernel @floats(%n: i32, %table: !tile.workspace<f32> {bytes = "4"}) arch("sm_80") warps(1) min_blocks(1) {
  // expected-error@+1 {{expected a workspace of i32, got '!tile.workspace<f32>'}}
  %x = tile.load_entry %table[%n] : <f32>
}


// -----

tile.kernel @least(%n: i32) arch("sm_80") warps(1) min_blocks(1) {
  %v = tile.least %n, %n {
  ^bb0(%i: i32):
    %c = arith.constant true
    // expected-error@+1 {{expected i32, got 'i1'}}
    tile.yield %c : i1
  }
}
