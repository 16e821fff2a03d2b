// What cannot be right in the usual way is computed in another attempt: NaN and infinity of V are taken out of a tile.
// RUN: attune-opt %s -tile-distribute | FileCheck %s
// RUN: attune-opt %s -tile-distribute -thread-to-nvvm | FileCheck %s --check-prefix=NVVM

// CHECK-LABEL: thread.kernel @take
// CHECK: tile.attempt
// CHECK: scf.if
// CHECK: thread.take_nonfinite %{{.*}}, %{{.*}}, %{{.*}} tile(32 x 64, bf16) : vector<16xf32>, vector<32xf32>
// CHECK: thread.retry %{{.*}} as %{{.*}} when %{{.*}} : vector<2xi1>
// The attempt is an argument of the block to which a retry goes back.
// NVVM-LABEL: llvm.func @take
// NVVM: llvm.br ^[[START:.*]](%{{.*}} : i32)
// NVVM: ^[[START]](%[[ATTEMPT:.*]]: i32):
// The branch back is one for the whole warp, and known to be.
// NVVM: bar.red.or.pred
// NVVM: redux.sync.max.s32
// NVVM: llvm.cond_br %{{.*}}, ^[[AGAIN:.*]], ^
// Which rows see a key is asked of the thread that holds its score.
// NVVM: nvvm.shfl.sync idx
// NVVM: ^[[AGAIN]]:
// NVVM-NEXT: %[[UNIFORM:.*]] = llvm.inline_asm has_side_effects asm_dialect = att "redux.sync.max.s32 $0, $1, 0xffffffff;"
// NVVM-NEXT: llvm.br ^[[START]](%[[UNIFORM]] : i32)
tile.kernel @take arch("sm_80") warps(1) min_blocks(1) smem(4096) {
  %attempt = tile.attempt
  %offset = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %again = arith.cmpi ne, %attempt, %offset : i32
  %v = tile.smem_tile %offset : tensor<32x64xbf16, #tile.smem>
  %zero = arith.constant dense<0.0> : tensor<16x64xf32, #tile.acc>
  %scores = arith.constant dense<0.0> : tensor<16x32xf32, #tile.acc>
  %out = scf.if %again -> tensor<16x64xf32, #tile.acc> {
    %taken = tile.take_nonfinite %v, %scores, %zero : tensor<32x64xbf16, #tile.smem>, tensor<16x32xf32, #tile.acc>, tensor<16x64xf32, #tile.acc>
    scf.yield %taken : tensor<16x64xf32, #tile.acc>
  } else {
    scf.yield %zero : tensor<16x64xf32, #tile.acc>
  }
  %sums = arith.constant dense<0.0> : tensor<16xf32, #tile.row>
  %sum = tile.row_reduce add %out, %sums : tensor<16x64xf32, #tile.acc> -> tensor<16xf32, #tile.row>
  %bad = arith.cmpf uno, %sum, %sum : tensor<16xf32, #tile.row>
  %first = arith.cmpi slt, %attempt, %one : i32
  %next = arith.addi %attempt, %one : i32
  tile.retry %bad as %next when %first : tensor<16xi1, #tile.row>
}
