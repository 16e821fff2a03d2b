// A branch changes variables in place, and has no else where there is nothing to do; results that are in no variable get
// one. Expressions keep their order by parentheses.
// RUN: attune compile %s --from thread --target cuda --emit cuda | FileCheck %s
module {
  thread.kernel @branches(%length_q: i32 {value = "len_q"}, %o_array: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}, %lse_array: !tile.array<batch x heads_q x len_q x f32> {output}) arch("sm_80") warps(4) min_blocks(1) smem(8192) {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %zeros = arith.constant dense<0.0> : vector<2xf32>
    %half = arith.constant dense<0.5> : vector<2xf32>
    %tile = arith.constant dense<0.0> : vector<32xf32>
    %O = tile.view %o_array[%c0, %c0] rows(%length_q) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
    %LSE = tile.view %lse_array[%c0, %c0] rows(%length_q) : <batch x heads_q x len_q x f32> -> <1, f32>
    %r = scf.for %it = %c0 to %length_q step %c1 iter_args(%sum = %zeros) -> (vector<2xf32>) : i32 {
      %grow = arith.cmpi slt, %it, %c1 : i32
      // CHECK: const bool grow = it < 1;
      // CHECK-NEXT: if (grow) {
      // CHECK-NEXT: sum = (sum - (sum - 0.5f)) * (sum + 0.5f);
      // CHECK-NEXT: }
      // CHECK-NEXT: }
      %grown = scf.if %grow -> (vector<2xf32>) {
        %0 = arith.subf %sum, %half : vector<2xf32>
        %1 = arith.subf %sum, %0 : vector<2xf32>
        %2 = arith.addf %sum, %half : vector<2xf32>
        %3 = arith.mulf %1, %2 : vector<2xf32>
        scf.yield %3 : vector<2xf32>
      } else {
        scf.yield %sum : vector<2xf32>
      }
      scf.yield %grown : vector<2xf32>
    }
    %many = arith.cmpi sgt, %length_q, %c1 : i32
    // CHECK: Row<64> chosen;
    // CHECK: if (many) {
    // CHECK-NEXT: chosen = sum * 0.5f;
    // CHECK-NEXT: } else {
    // CHECK-NEXT: chosen = sum + sum;
    // CHECK-NEXT: }
    %chosen = scf.if %many -> (vector<2xf32>) {
      %0 = arith.mulf %r, %half : vector<2xf32>
      scf.yield %0 : vector<2xf32>
    } else {
      %0 = arith.addf %r, %r : vector<2xf32>
      scf.yield %0 : vector<2xf32>
    }
    // CHECK: const Row<64> last = either + chosen;
    %either = arith.select %many, %chosen, %r : vector<2xf32>
    %last = arith.addf %either, %chosen : vector<2xf32>
    thread.store %tile to %O[%c0] through %c0 tile(64 x 64) : vector<32xf32>, <64, bf16>
    thread.store_rows %last to %LSE[%c0] : vector<2xf32>, <1, f32>
  }
}
