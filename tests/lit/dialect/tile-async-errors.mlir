// RUN: attune-opt %s -split-input-file -verify-diagnostics

tile.kernel @box(%k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>, %k_map: !tile.tensor_map<80 x 64, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %ks = tile.ring : <2 x tensor<96x64xbf16, #tile.smem>, tma>
  tile.specialize {
    tile.role @producer warps(4) {
      // expected-error@+1 {{expected boxes of the slot's 96x64 'bf16', got '!tile.tensor_map<80 x 64, bf16>'}}
      tile.fill %ks[%c0] from %k_map[%c0, %c0, %c0] : <2 x tensor<96x64xbf16, #tile.smem>, tma>, <80 x 64, bf16>
    }
  }
}

// -----

tile.kernel @kind(%k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>, %k_map: !tile.tensor_map<80 x 64, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %ks = tile.ring : <2 x tensor<80x64xbf16, #tile.smem>>
  tile.specialize {
    tile.role @producer warps(4) {
      // expected-error@+1 {{expected a ring of kind tma}}
      tile.fill %ks[%c0] from %k_map[%c0, %c0, %c0] : <2 x tensor<80x64xbf16, #tile.smem>>, <80 x 64, bf16>
    }
  }
}

// -----

tile.kernel @used_too_soon arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  tile.specialize {
    tile.role @consumer warps(4) {
      %a = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
      // expected-error@+1 {{expected its result to pass through tile.dot_wait, got a use by math.exp2}}
      %s = tile.dot_issue %a, %a transposed : tensor<64x64xbf16, #tile.smem>, tensor<64x64xbf16, #tile.smem> -> tensor<64x64xf32, #tile.acc>
      %p = math.exp2 %s : tensor<64x64xf32, #tile.acc>
    }
  }
}

// -----

tile.kernel @never_waited arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  tile.specialize {
    tile.role @consumer warps(4) {
      %a = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
      // expected-error@+1 {{expected its result to be waited for once}}
      %s = tile.dot_issue %a, %a transposed : tensor<64x64xbf16, #tile.smem>, tensor<64x64xbf16, #tile.smem> -> tensor<64x64xf32, #tile.acc>
    }
  }
}

// -----

tile.kernel @no_warpgroup arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  tile.specialize {
    tile.role @consumer warps(2) {
      %a = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
      // expected-error@+1 {{expected to be in a role of 4 warps, a warpgroup}}
      %s = tile.dot_issue %a, %a transposed : tensor<64x64xbf16, #tile.smem>, tensor<64x64xbf16, #tile.smem> -> tensor<64x64xf32, #tile.acc>
      %t = tile.dot_wait %s pending(0) : tensor<64x64xf32, #tile.acc>
    }
  }
}

// -----

tile.kernel @larger arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  tile.specialize {
    tile.role @consumer warps(4) {
      %a = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
      // expected-error@+1 {{expected at most the tile's 8192 bytes, got 16384}}
      %o = tile.reuse_tile %a : tensor<64x64xbf16, #tile.smem> -> tensor<64x128xbf16, #tile.smem>
    }
  }
}

// -----

tile.kernel @counts arch("sm_90a") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected a count for each barrier, got 2 offsets and 1 counts}}
  tile.barrier_init [0, 8] counts [1]
}

// -----

tile.kernel @offset arch("sm_90a") warps(4) min_blocks(1) {
  // expected-error@+1 {{expected offsets that are multiples of 8, got 4}}
  tile.barrier_init [4] counts [1]
}

// -----

tile.kernel @half_a_warpgroup arch("sm_90a") min_blocks(1) {
  tile.specialize {
    // expected-error@+1 {{expected registers to move between whole warpgroups of 4 warps, got 2 warps}}
    tile.role @producer warps(2) registers(24) {
    }
  }
}

// -----

tile.kernel @alone arch("sm_90a") min_blocks(1) {
  tile.specialize {
    tile.role @consumer warps(4) {
      // expected-error@+1 {{expected a role of at least two replicas, which take turns}}
      tile.turn_wait
    }
  }
}

// -----

tile.kernel @many(%counter: !tile.workspace<i32> {bytes = "4", zero}) arch("sm_90a") min_blocks(1) {
  tile.specialize {
    tile.role @consumer warps(4) {
      // expected-error@+1 {{expected to be in a role of which one warp runs}}
      %n = tile.draw %counter : !tile.workspace<i32>
    }
  }
}

// -----

tile.kernel @vote arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  // expected-error@+1 {{expected to be in a role}}
  %all = tile.vote %c0
}

// -----

tile.kernel @boxes(%o: !tile.array<batch x heads_q x len_q x 64 x bf16> {output}, %o_map: !tile.tensor_map<64 x 64, bf16> {array = "o"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  tile.specialize {
    tile.role @consumer warps(4) {
      %out = arith.constant dense<0.0> : tensor<64x64xf32, #tile.acc>
      %staging = tile.smem_tile %c0 : tensor<64x64xbf16, #tile.smem>
      // expected-error@+1 {{expected boxes of 16 x 64 'bf16', got '!tile.tensor_map<64 x 64, bf16>'}}
      tile.tma_store %out to %o_map[%c0, %c0, %c0] through %staging : tensor<64x64xf32, #tile.acc>, !tile.tensor_map<64 x 64, bf16>, tensor<64x64xbf16, #tile.smem>
    }
  }
}
