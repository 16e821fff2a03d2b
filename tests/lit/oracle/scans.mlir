// Scans over numbers, and what one kernel leaves in a workspace for the next.
// RUN: attune-interpret %s --array doc=7,-3,5,9,2,8,1,6 | FileCheck %s

tile.kernel @bounds(%doc: !tile.array<8 x i32>, %table: !tile.workspace<i32> {bytes = "16"}) arch("sm_80") warps(1) min_blocks(1) grid("2", "1", "1") {
  %id = gpu.block_id x
  %block = arith.index_cast %id : index to i32
  %c1 = arith.constant 1 : i32
  %c2 = arith.constant 2 : i32
  %c4 = arith.constant 4 : i32
  %begin = arith.muli %block, %c4 : i32
  %end = arith.addi %begin, %c4 : i32
  %least = tile.least %begin, %end {
  ^bb0(%i: i32):
    %x = tile.load_value %doc[%i] : <8 x i32> -> i32
    tile.yield %x : i32
  }
  %largest = tile.largest %begin, %end {
  ^bb0(%i: i32):
    %x = tile.load_value %doc[%i] : <8 x i32> -> i32
    tile.yield %x : i32
  }
  %entry = arith.muli %block, %c2 : i32
  tile.store_entry %least to %table[%entry] : <i32>
  %next = arith.addi %entry, %c1 : i32
  tile.store_entry %largest to %table[%next] : <i32>
}

// Least and largest of both blocks; how many entries are above 4, the last one that is below 3; of no numbers.
// CHECK: out: -3 9 1 8 2 2 2.14748e+09 -2.14748e+09
tile.kernel @reader(%table: !tile.workspace<i32> {bytes = "16"}, %out: !tile.array<8 x f32> {output}) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c2 = arith.constant 2 : i32
  %c3 = arith.constant 3 : i32
  %c4 = arith.constant 4 : i32
  %c5 = arith.constant 5 : i32
  %c6 = arith.constant 6 : i32
  %c7 = arith.constant 7 : i32
  %c8 = arith.constant 8 : i32
  %0 = tile.load_entry %table[%c0] : <i32>
  %1 = tile.load_entry %table[%c1] : <i32>
  %2 = tile.load_entry %table[%c2] : <i32>
  %3 = tile.load_entry %table[%c3] : <i32>
  %4 = tile.count_blocks %c0, %c4 {
  ^bb0(%i: i32):
    %x = tile.load_entry %table[%i] : <i32>
    %above = arith.cmpi sgt, %x, %c4 : i32
    tile.yield %above : i1
  } : i32
  %5 = tile.last_block %c0, %c4 {
  ^bb0(%i: i32):
    %x = tile.load_entry %table[%i] : <i32>
    %below = arith.cmpi slt, %x, %c3 : i32
    tile.yield %below : i1
  }
  %6 = tile.least %c4, %c4 {
  ^bb0(%i: i32):
    tile.yield %i : i32
  }
  %7 = tile.largest %c4, %c0 {
  ^bb0(%i: i32):
    tile.yield %i : i32
  }
  %to = tile.view %out[] rows(%c8) : <8 x f32> -> <1, f32>
  %f0 = arith.sitofp %0 : i32 to f32
  %t0 = tensor.splat %f0 : tensor<16xf32, #tile.row>
  %f1 = arith.sitofp %1 : i32 to f32
  %t1 = tensor.splat %f1 : tensor<16xf32, #tile.row>
  %f2 = arith.sitofp %2 : i32 to f32
  %t2 = tensor.splat %f2 : tensor<16xf32, #tile.row>
  %f3 = arith.sitofp %3 : i32 to f32
  %t3 = tensor.splat %f3 : tensor<16xf32, #tile.row>
  %f4 = arith.sitofp %4 : i32 to f32
  %t4 = tensor.splat %f4 : tensor<16xf32, #tile.row>
  %f5 = arith.sitofp %5 : i32 to f32
  %t5 = tensor.splat %f5 : tensor<16xf32, #tile.row>
  %f6 = arith.sitofp %6 : i32 to f32
  %t6 = tensor.splat %f6 : tensor<16xf32, #tile.row>
  %f7 = arith.sitofp %7 : i32 to f32
  %t7 = tensor.splat %f7 : tensor<16xf32, #tile.row>
  tile.store_rows %t0 to %to[%c0] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t1 to %to[%c1] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t2 to %to[%c2] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t3 to %to[%c3] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t4 to %to[%c4] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t5 to %to[%c5] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t6 to %to[%c6] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t7 to %to[%c7] : tensor<16xf32, #tile.row>, <1, f32>
}
