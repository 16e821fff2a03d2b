// Warps that branch apart: each row takes what its warp took. Loops, with and without iterations.
// RUN: attune-interpret %s | FileCheck %s

// The second warp has the rows from 16 on; the condition holds for its row 20 alone.
// CHECK: apart: 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7
// CHECK-NEXT: loops: 22 22
// CHECK-NEXT: none: 10 10
tile.kernel @branches(%apart: !tile.array<32 x f32> {output}, %loops: !tile.array<32 x f32> {output},
                      %none: !tile.array<32 x f32> {output}) arch("sm_80") warps(2) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c3 = arith.constant 3 : i32
  %c32 = arith.constant 32 : i32
  %five = arith.constant dense<5.0> : tensor<32xf32, #tile.row>
  %two = arith.constant dense<2.0> : tensor<32xf32, #tile.row>
  %ten = arith.constant dense<10.0> : tensor<32xf32, #tile.row>
  %twenty = arith.constant dense<20> : tensor<32xi32, #tile.row>
  %row = tile.row_index : tensor<32xi32, #tile.row>
  %is = arith.cmpi eq, %row, %twenty : tensor<32xi32, #tile.row>
  %any = tile.warp_any %is : tensor<32xi1, #tile.row>
  %x = scf.if %any -> tensor<32xf32, #tile.row> {
    %more = arith.addf %five, %two : tensor<32xf32, #tile.row>
    scf.yield %more : tensor<32xf32, #tile.row>
  } else {
    scf.yield %five : tensor<32xf32, #tile.row>
  }
  %to = tile.view %apart[] rows(%c32) : <32 x f32> -> <1, f32>
  tile.store_rows %x to %to[%c0] : tensor<32xf32, #tile.row>, <1, f32>
  // 10 + 2 * (0 + 1 + 2) + 2 * 3
  %y = scf.for %i = %c0 to %c3 step %c1 iter_args(%sum = %ten) -> tensor<32xf32, #tile.row> : i32 {
    %number = arith.sitofp %i : i32 to f32
    %numbers = tensor.splat %number : tensor<32xf32, #tile.row>
    %more = math.fma %numbers, %two, %sum : tensor<32xf32, #tile.row>
    %still = arith.addf %more, %two : tensor<32xf32, #tile.row>
    scf.yield %still : tensor<32xf32, #tile.row>
  }
  %into = tile.view %loops[] rows(%c32) : <32 x f32> -> <1, f32>
  tile.store_rows %y to %into[%c0] : tensor<32xf32, #tile.row>, <1, f32>
  %z = scf.for %i = %c3 to %c3 step %c1 iter_args(%sum = %ten) -> tensor<32xf32, #tile.row> : i32 {
    scf.yield %five : tensor<32xf32, #tile.row>
  }
  %there = tile.view %none[] rows(%c32) : <32 x f32> -> <1, f32>
  tile.store_rows %z to %there[%c0] : tensor<32xf32, #tile.row>, <1, f32>
}
