// RUN: attune-opt %s -thread-to-nvvm -split-input-file -verify-diagnostics

thread.kernel @operation arch("sm_80") warps(1) min_blocks(1) smem(0) {
  %x = arith.constant dense<0.0> : vector<2xf32>
  // expected-error@+1 {{expected an operation of the thread form}}
  %y = math.sin %x : vector<2xf32>
}

// -----

thread.kernel @constant arch("sm_80") warps(1) min_blocks(1) smem(0) {
  // expected-error@+1 {{expected a constant of one value}}
  %x = arith.constant dense<[0.0, 1.0]> : vector<2xf32>
}
