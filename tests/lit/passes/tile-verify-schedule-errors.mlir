// RUN: attune-opt %s -pass-pipeline="builtin.module(tile.kernel(tile-verify-schedule))" -split-input-file -verify-diagnostics

// expected-error@+1 {{expected at most 101376 bytes of shared memory on sm_86, got 131072}}
tile.kernel @shared arch("sm_86") warps(4) min_blocks(1) smem(131072) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
}

// -----

tile.kernel @uncommitted(%k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  %s = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  // expected-error@+1 {{expected tile 0 to be committed before it is waited for}}
  %t = tile.wait %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @uncopied arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  %s = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  tile.commit %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected tile 0 to be copied before it is waited for}}
  %t = tile.wait %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @unreleased(%k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  %s = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  %t = tile.wait %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected tile 0 to be released before tile 1 takes its slot}}
  %s1 = tile.acquire %ring[%c1] : <1 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @kept(%k_array: !tile.array<batch x heads_kv x len_kv x 64 x bf16>) arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %k = tile.view %k_array[%c0, %c0] rows(%c0) : <batch x heads_kv x len_kv x 64 x bf16> -> <64, bf16>
  // expected-error@+1 {{expected every tile that is waited for to be released, tile 0 is not}}
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  %s = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  tile.async_copy %k[%c0] to %s : <64, bf16>, tensor<64x64xbf16, #tile.smem>
  tile.commit %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  %t = tile.wait %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @early arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected tile 0 to be waited for before it is released}}
  tile.release %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
}

// -----

tile.kernel @data arch("sm_80") warps(4) min_blocks(1) schedule {block_q = 64 : i64, block_kv = 64 : i64} {
  %c0 = arith.constant 0 : i32
  %zeros = arith.constant dense<false> : tensor<64xi1, #tile.row>
  %any = tile.warp_any %zeros : tensor<64xi1, #tile.row>
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected ring operations only in branches that follow from lengths and the block; use the condition of async_copy}}
  scf.if %any {
    %s = tile.acquire %ring[%c0] : <1 x tensor<64x64xbf16, #tile.smem>>
  }
}

// -----

tile.kernel @registers arch("sm_90") min_blocks(1) {
  tile.specialize {
    // expected-error@+1 {{expected no 'registers' on sm_90, which has no setmaxnreg (sm_90a has)}}
    tile.role @one warps(4) registers(240) {
    }
  }
}

// -----

// expected-error@+1 {{expected roles that ask for at most 65536 registers of a block, got 98304}}
tile.kernel @too_many arch("sm_90a") min_blocks(1) {
  tile.specialize {
    tile.role @one warps(4) replicas(3) registers(256) {
    }
  }
}

// -----

// expected-error@+1 {{expected roles that need at most 16 named barriers, got 35}}
tile.kernel @barriers arch("sm_90a") min_blocks(1) {
  tile.specialize {
    tile.role @one warps(1) replicas(16) {
    }
  }
}

// -----

tile.kernel @endless arch("sm_80") warps(4) min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %most = arith.constant 2147483647 : i32
  %ring = tile.ring : <1 x tensor<64x64xbf16, #tile.smem>>
  // expected-error@+1 {{expected the program to end}}
  scf.for %i = %c0 to %most step %c1 : i32 {
  }
}
