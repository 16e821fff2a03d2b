// What operations on rows and accumulators mean: element (r, c) of %x is 16 r + c.
// RUN: attune-interpret %s | FileCheck %s

// CHECK: sum: 120 376 632 888 1144 1400 1656 1912 2168 2424 2680 2936 3192 3448 3704 3960
// CHECK-NEXT: whole: 120 376 632 888 1144 1400 1656 1912 2168 2424 2680 2936 3192 3448 3704 3960
// With the initial value 100.
// CHECK-NEXT: largest: 100 100 100 100 100 100 111 127 143 159 175 191 207 223 239 255
// The parts of a row: columns 0, 1, 8, 9 are the first thread's, 2, 3, 10, 11 the second's.
// CHECK-NEXT: parts[0]: 18 18 26 26 34 34 42 42 18 18 26 26 34 34 42 42
// CHECK-NEXT: parts[1]: 82 82 90 90 98 98 106 106 82 82 90 90 98 98 106 106
// CHECK: parts[15]: 978 978 986 986 994 994 1002 1002 978
// Row r keeps the columns from r - 2 to r + 1, and from 1 to 12.
// CHECK: kept[0]: -inf 1 -inf
// CHECK: kept[4]: -inf -inf 66 67 68 69 -inf -inf
// CHECK: kept[12]: -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf 202 203 204 -inf -inf -inf
// CHECK: kept[15]: -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf -inf
// Row r grows by a half from 16 r + the first column of each thread.
// CHECK: ramp[0]: 0 0.5 2 2.5 4 4.5 6 6.5 4 4.5 6 6.5 8 8.5 10 10.5
// CHECK: ramp[15]: 240 240.5 242 242.5 244 244.5 246 246.5 244 244.5 246 246.5 248 248.5 250 250.5
tile.kernel @rows(%sum: !tile.array<16 x f32> {output}, %whole: !tile.array<16 x f32> {output},
                  %largest: !tile.array<16 x f32> {output}, %parts: !tile.array<16 x 16 x f16> {output},
                  %kept: !tile.array<16 x 16 x f16> {output}, %ramp: !tile.array<16 x 16 x f16> {output}) arch("sm_80") warps(1) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c12 = arith.constant 12 : i32
  %c16 = arith.constant 16 : i32
  %minus2 = arith.constant -2 : i32
  %zeros = arith.constant dense<0.0> : tensor<16xf32, #tile.row>
  %hundred = arith.constant dense<100.0> : tensor<16xf32, #tile.row>
  %sixteen = arith.constant dense<16> : tensor<16x16xi32, #tile.acc>
  %row = tile.row_index : tensor<16xi32, #tile.row>
  %rows = tile.row_broadcast %row : tensor<16xi32, #tile.row> -> tensor<16x16xi32, #tile.acc>
  %columns = tile.column_index : tensor<16x16xi32, #tile.acc>
  %first = arith.muli %rows, %sixteen : tensor<16x16xi32, #tile.acc>
  %place = arith.addi %first, %columns : tensor<16x16xi32, #tile.acc>
  %x = arith.sitofp %place : tensor<16x16xi32, #tile.acc> to tensor<16x16xf32, #tile.acc>

  %s = tile.row_reduce add %x, %zeros : tensor<16x16xf32, #tile.acc> -> tensor<16xf32, #tile.row>
  %sums = tile.view %sum[] rows(%c16) : <16 x f32> -> <1, f32>
  tile.store_rows %s to %sums[%c0] : tensor<16xf32, #tile.row>, <1, f32>
  %p = tile.row_reduce add %x, %zeros partial : tensor<16x16xf32, #tile.acc> -> tensor<16xf32, #tile.row>
  %w = tile.row_combine add %p : tensor<16xf32, #tile.row>
  %wholes = tile.view %whole[] rows(%c16) : <16 x f32> -> <1, f32>
  tile.store_rows %w to %wholes[%c0] : tensor<16xf32, #tile.row>, <1, f32>
  %m = tile.row_reduce max %x, %hundred : tensor<16x16xf32, #tile.acc> -> tensor<16xf32, #tile.row>
  %maxima = tile.view %largest[] rows(%c16) : <16 x f32> -> <1, f32>
  tile.store_rows %m to %maxima[%c0] : tensor<16xf32, #tile.row>, <1, f32>

  %staging = tile.reuse_smem : tensor<16x16xf16, #tile.smem>
  %wide = tile.row_broadcast %p : tensor<16xf32, #tile.row> -> tensor<16x16xf32, #tile.acc>
  %to = tile.view %parts[] rows(%c16) : <16 x 16 x f16> -> <16, f16>
  tile.store %wide to %to[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, f16>, tensor<16x16xf16, #tile.smem>
  %k = tile.keep_columns %x at [%c0, %c0] first(%c1) last(%c12) first_shift(%minus2) last_shift(%c1) : tensor<16x16xf32, #tile.acc>
  %into = tile.view %kept[] rows(%c16) : <16 x 16 x f16> -> <16, f16>
  tile.store %k to %into[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, f16>, tensor<16x16xf16, #tile.smem>

  %begin = tile.first_column : tensor<16xi32, #tile.row>
  %sixteens = arith.constant dense<16> : tensor<16xi32, #tile.row>
  %of_row = arith.muli %row, %sixteens : tensor<16xi32, #tile.row>
  %value = arith.addi %of_row, %begin : tensor<16xi32, #tile.row>
  %base = arith.sitofp %value : tensor<16xi32, #tile.row> to tensor<16xf32, #tile.row>
  %half = arith.constant 0.5 : f32
  %grows = tile.ramp %base by %half : tensor<16xf32, #tile.row> -> tensor<16x16xf32, #tile.acc>
  %ramps = tile.view %ramp[] rows(%c16) : <16 x 16 x f16> -> <16, f16>
  tile.store %grows to %ramps[%c0] through %staging : tensor<16x16xf32, #tile.acc>, <16, f16>, tensor<16x16xf16, #tile.smem>
}
