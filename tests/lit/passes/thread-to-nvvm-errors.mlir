// RUN: attune-opt %s -thread-to-nvvm -split-input-file -verify-diagnostics

thread.kernel @operation arch("sm_80") warps(1) min_blocks(1) smem(0) {
  %x = arith.constant dense<0.0> : vector<2xf32>
  // expected-error@+1 {{expected an operation of the thread form}}
  %y = vector.shuffle %x, %x [0, 1] : vector<2xf32>, vector<2xf32>
}

// -----

thread.kernel @statement arch("sm_80") warps(1) min_blocks(1) smem(0) {
  %x = arith.constant dense<0.0> : vector<2xf32>
  // expected-error@+1 {{expected an operation of the thread form}}
  vector.print %x : vector<2xf32>
}
