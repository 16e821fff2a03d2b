// What loops carry are variables that change in place; where that would lose a value that is still read, a copy is made.
// RUN: attune compile %s --from thread --target cuda --emit cuda | FileCheck %s
module {
  thread.kernel @swap(%length_q: i32 {value = "len_q"}, %o_array: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}, %lse_array: !tile.array<batch x heads_q x len_q x f32> {output}) arch("sm_80") warps(4) min_blocks(1) smem(8192) {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %zeros = arith.constant dense<0.0> : vector<2xf32>
    %ones = arith.constant dense<1.0> : vector<2xf32>
    %tile = arith.constant dense<0.0> : vector<32xf32>
    %O = tile.view %o_array[%c0, %c0] rows(%length_q) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
    %LSE = tile.view %lse_array[%c0, %c0] rows(%length_q) : <batch x heads_q x len_q x f32> -> <1, f32>
    // CHECK: Row<64> first = zero();
    // CHECK-NEXT: Row<64> second = splat(1.0f);
    // CHECK: for (int it = 0; it < params.length_q; ++it) {
    %r:2 = scf.for %it = %c0 to %length_q step %c1 iter_args(%first = %zeros, %second = %ones) -> (vector<2xf32>, vector<2xf32>) : i32 {
      // CHECK-NEXT: const auto next = second;
      // CHECK-NEXT: second = first;
      // CHECK-NEXT: first = next;
      scf.yield %second, %first : vector<2xf32>, vector<2xf32>
    }
    // The sum is read after the loop that goes on with it: the second loop has a variable of its own.
    // CHECK: Row<64> third = first;
    // CHECK: third = third + second;
    %s = scf.for %it = %c0 to %length_q step %c1 iter_args(%third = %r#0) -> (vector<2xf32>) : i32 {
      %next = arith.addf %third, %r#1 : vector<2xf32>
      scf.yield %next : vector<2xf32>
    }
    // CHECK: const Row<64> both = third + first;
    %both = arith.addf %s, %r#0 : vector<2xf32>
    // CHECK: store_tile(O, 0, Acc<64, 64>(splat(0.0f)), out_tile);
    thread.store %tile to %O[%c0] through %c0 tile(64 x 64) : vector<32xf32>, <64, bf16>
    // CHECK: store_rows(LSE, 0, both);
    thread.store_rows %both to %LSE[%c0] : vector<2xf32>, <1, f32>
  }
}
