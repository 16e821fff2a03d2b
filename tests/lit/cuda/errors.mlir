// RUN: not attune compile %s --from thread --target cuda --emit cuda 2>&1 | FileCheck %s
module {
  thread.kernel @odd(%length_q: i32 {value = "len_q"}, %o_array: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}) arch("sm_80") warps(4) min_blocks(1) smem(8192) {
    %c0 = arith.constant 0 : i32
    %tile = arith.constant dense<0.0> : vector<32xf32>
    %O = tile.view %o_array[%c0, %c0] rows(%length_q) : <batch x heads_q x len_q x 64 x bf16> -> <64, bf16>
    // CHECK: errors.mlir:[[@LINE+1]]:{{[0-9]+}}: error: 'vector.print' op expected an operation of the thread form that CUDA C++ has
    vector.print %tile : vector<32xf32>
    thread.store %tile to %O[%c0] through %c0 tile(64 x 64) : vector<32xf32>, <64, bf16>
  }
}

// A kernel cannot have the name of a type that its text uses, nor of a function that CUDA declares with C linkage.
// RUN: not attune compile --head-dim 64 --name smem --target cuda --emit cuda 2>&1 | FileCheck %s --check-prefix=NAME
// NAME: error: 'thread.kernel' op expected a kernel name that CUDA C++ and templates/ leave free, got 'smem'; 'smem_kernel' is free
// RUN: not attune compile --head-dim 64 --name exp2f --target cuda --emit cuda 2>&1 | FileCheck %s --check-prefix=FUNCTION
// RUN: not attune compile --head-dim 64 --name printf --target cuda --emit cuda 2>&1 | FileCheck %s --check-prefix=FUNCTION
// RUN: attune compile --head-dim 64 --name printff --target cuda --emit spec
// FUNCTION: error: 'thread.kernel' op expected a kernel name that CUDA C++ and templates/ leave free, got '[[WORD:[a-z0-9]+]]'; '[[WORD]]_kernel' is free
