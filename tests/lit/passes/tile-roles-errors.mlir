// What roles do wrong at rings that TMA fills is found before anything runs.
// RUN: attune-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(tile.kernel(tile-allocate-smem,tile-verify-schedule))"

tile.kernel @never_released(%n: i32 {value = "len_kv"}, %k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>, %k_map: !tile.tensor_map<64 x 64, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c64 = arith.constant 64 : i32
  %blocks = arith.divui %n, %c64 : i32
  %ks = tile.ring : <2 x tensor<64x64xbf16, #tile.smem>, tma>
  tile.specialize {
    tile.role @producer warps(1) {
      scf.for %i = %c0 to %blocks step %c1 : i32 {
        // expected-error@+1 {{expected tile 0 to be released before tile 2 takes its slot}}
        tile.fill %ks[%i] from %k_map[%i, %c0, %c0] : <2 x tensor<64x64xbf16, #tile.smem>, tma>, <64 x 64, bf16>
      }
    }
    tile.role @consumer warps(4) {
      scf.for %i = %c0 to %blocks step %c1 : i32 {
        %kt = tile.wait %ks[%i] : <2 x tensor<64x64xbf16, #tile.smem>, tma>
      }
    }
  }
}

// -----

tile.kernel @one_too_many(%n: i32 {value = "len_kv"}, %k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>, %k_map: !tile.tensor_map<64 x 64, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c64 = arith.constant 64 : i32
  %blocks = arith.divui %n, %c64 : i32
  %more = arith.addi %blocks, %c1 : i32
  %ks = tile.ring : <2 x tensor<64x64xbf16, #tile.smem>, tma>
  tile.specialize {
    tile.role @producer warps(1) {
      scf.for %i = %c0 to %blocks step %c1 : i32 {
        tile.fill %ks[%i] from %k_map[%i, %c0, %c0] : <2 x tensor<64x64xbf16, #tile.smem>, tma>, <64 x 64, bf16>
      }
    }
    tile.role @consumer warps(4) {
      scf.for %i = %c0 to %more step %c1 : i32 {
        // expected-error@+1 {{expected a slot that is filled in the end, but tile 0 waits for ever}}
        %kt = tile.wait %ks[%i] : <2 x tensor<64x64xbf16, #tile.smem>, tma>
        tile.release %ks[%i] : <2 x tensor<64x64xbf16, #tile.smem>, tma>
      }
    }
  }
}

// -----

tile.kernel @nobody_waits(%n: i32 {value = "len_kv"}, %k: !tile.array<batch x heads_kv x len_kv x 64 x bf16>, %k_map: !tile.tensor_map<64 x 64, bf16> {array = "k"}) arch("sm_90a") min_blocks(1) {
  %c0 = arith.constant 0 : i32
  %ks = tile.ring : <2 x tensor<64x64xbf16, #tile.smem>, tma>
  tile.specialize {
    tile.role @producer warps(1) {
      // expected-error@+1 {{expected tile 0 to be waited for}}
      tile.fill %ks[%c0] from %k_map[%c0, %c0, %c0] : <2 x tensor<64x64xbf16, #tile.smem>, tma>, <64 x 64, bf16>
    }
    tile.role @consumer warps(4) {
    }
  }
}
