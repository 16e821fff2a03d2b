// NaN, zeros and what the machine approximates.
// RUN: attune-interpret %s --scalar nan=nan --scalar minus_zero=-0 | FileCheck %s

// max.f32 takes the number, maximum the NaN; +0 is above -0.
// CHECK: numbers: 3 nan 3 nan 0 8 3 0.25 0.5 2 -2
tile.kernel @numbers(%numbers: !tile.array<11 x f32> {output}, %nan: f32, %minus_zero: f32) arch("sm_80") warps(1) min_blocks(1) {
  %zero = arith.constant 0.0 : f32
  %three = arith.constant 3.0 : f32
  %four = arith.constant 4.0 : f32
  %eight = arith.constant 8.0 : f32
  %one = arith.constant 1.0 : f32
  %0 = arith.maxnumf %nan, %three : f32
  %1 = arith.maximumf %nan, %three : f32
  %2 = arith.minnumf %three, %nan : f32
  %3 = arith.minimumf %three, %nan : f32
  %4 = arith.maxnumf %minus_zero, %zero : f32
  %5 = math.exp2 %three fastmath<afn> : f32
  %6 = math.log2 %eight fastmath<afn> : f32
  %7 = arith.divf %one, %four fastmath<afn> : f32
  %8 = math.rsqrt %four fastmath<afn> : f32
  %9 = math.sqrt %four : f32
  %minus = arith.constant -2.5 : f32
  %toward_zero = arith.fptosi %minus : f32 to i32
  %10 = arith.sitofp %toward_zero : i32 to f32
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c2 = arith.constant 2 : i32
  %c3 = arith.constant 3 : i32
  %c4 = arith.constant 4 : i32
  %c5 = arith.constant 5 : i32
  %c6 = arith.constant 6 : i32
  %c7 = arith.constant 7 : i32
  %c8 = arith.constant 8 : i32
  %c9 = arith.constant 9 : i32
  %c10 = arith.constant 10 : i32
  %c11 = arith.constant 11 : i32
  %to = tile.view %numbers[] rows(%c11) : <11 x f32> -> <1, f32>
  // A row each: those from 11 on the view has not.
  %t10 = tensor.splat %10 : tensor<16xf32, #tile.row>
  %t9 = tensor.splat %9 : tensor<16xf32, #tile.row>
  %t8 = tensor.splat %8 : tensor<16xf32, #tile.row>
  %t7 = tensor.splat %7 : tensor<16xf32, #tile.row>
  %t6 = tensor.splat %6 : tensor<16xf32, #tile.row>
  %t5 = tensor.splat %5 : tensor<16xf32, #tile.row>
  %t4 = tensor.splat %4 : tensor<16xf32, #tile.row>
  %t3 = tensor.splat %3 : tensor<16xf32, #tile.row>
  %t2 = tensor.splat %2 : tensor<16xf32, #tile.row>
  %t1 = tensor.splat %1 : tensor<16xf32, #tile.row>
  %t0 = tensor.splat %0 : tensor<16xf32, #tile.row>
  tile.store_rows %t0 to %to[%c0] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t1 to %to[%c1] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t2 to %to[%c2] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t3 to %to[%c3] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t4 to %to[%c4] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t5 to %to[%c5] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t6 to %to[%c6] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t7 to %to[%c7] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t8 to %to[%c8] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t9 to %to[%c9] : tensor<16xf32, #tile.row>, <1, f32>
  tile.store_rows %t10 to %to[%c10] : tensor<16xf32, #tile.row>, <1, f32>
}
