// The thread form as LLVM dialect: one value a register, one operation a machine instruction.
// RUN: attune-opt %s -thread-to-nvvm | FileCheck %s

// CHECK: llvm.mlir.global external @attune_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
// CHECK-LABEL: llvm.func @one(%arg0: !llvm.ptr {llvm.align = 8 : i64, llvm.byval = !llvm.array<8 x i64>, llvm.noundef, nvvm.grid_constant})
// CHECK-SAME: nvvm.kernel, nvvm.maxntid = array<i32: 32, 1, 1>, nvvm.minctasm = 1 : i32
// CHECK-SAME: thread.kernel = {arch = "sm_80", arguments = ["n: i32 = len_kv", "k_array: array<batch x heads_kv x len_kv x 16 x f16>", "lse_array: array<batch x heads_q x len_q x f32> output"], min_blocks = 1 : i64, smem = 4096 : i64, threads = 32 : i64}
thread.kernel @one(%n: i32 {value = "len_kv"}, %k_array: !tile.array<batch x heads_kv x len_kv x 16 x f16>, %lse_array: !tile.array<batch x heads_q x len_q x f32> {output}) arch("sm_80") warps(1) min_blocks(1) smem(4096) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c512 = arith.constant 512 : i32
  // The length lies at byte 0 of the parameter, the array at 8.
  // CHECK: llvm.getelementptr %arg0[0]
  // CHECK: llvm.load %{{.*}} {alignment = 4 : i64} : !llvm.ptr -> i32
  // CHECK: llvm.getelementptr %arg0[16]
  // CHECK: llvm.getelementptr %arg0[24]
  // CHECK: llvm.getelementptr %arg0[8]
  %k = tile.view %k_array[%c0, %c0] rows(%n) : <batch x heads_kv x len_kv x 16 x f16> -> <16, f16>
  // Rows that may not exist are filled with zeros by a source size of 0.
  // CHECK: mad.wide.s32
  // CHECK: llvm.select %{{.*}}, %{{.*}}, %{{.*}} : i1, i32
  // CHECK: cp.async.cg.shared.global [$0+512], [$1+0], 16, $2;
  thread.async_copy %k[%c0] to %c512 tile(16 x 16) bounded : <16, f16>
  // CHECK: nvvm.cp.async.commit.group
  tile.commit_group
  // CHECK: nvvm.cp.async.wait.group 0
  tile.wait_group 0
  // CHECK: nvvm.barrier0
  gpu.barrier
  // CHECK: ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0, $1, $2, $3}, [$4+0];
  %a = thread.load_operand %c0 tile(16 x 16) : vector<8xf16>
  // CHECK: ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0, $1, $2, $3}, [$4+512];
  // CHECK: llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
  // CHECK: llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
  %s = thread.dot %a, %c512 transposed tile(16 x 16 x 16, f16) : vector<8xf16> -> vector<8xf32>
  // CHECK-COUNT-8: llvm.intr.maxnum
  // CHECK: nvvm.shfl.sync bfly
  %zero = arith.constant dense<0.0> : vector<2xf32>
  %max = thread.row_reduce max %s, %zero : vector<8xf32> -> vector<2xf32>
  %whole = thread.row_combine max %max : vector<2xf32>
  // A loop is tested at its end, and carries registers.
  // CHECK: llvm.cond_br %{{.*}}, ^[[BODY:bb[0-9]+]](%{{.*}} : i32, f32, f32), ^[[EXIT:bb[0-9]+]](%{{.*}} : f32, f32)
  // CHECK: ^[[BODY]](
  // CHECK-COUNT-2: ex2.approx.ftz.f32 $0, $1;
  // CHECK: llvm.cond_br %{{.*}}, ^[[BODY]](%{{.*}} : i32, f32, f32), ^[[EXIT]](%{{.*}} : f32, f32)
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %whole) -> (vector<2xf32>) : i32 {
    %e = math.exp2 %x fastmath<afn> : vector<2xf32>
    scf.yield %e : vector<2xf32>
  }
  // The first of a thread's columns is the row's value; the others are constant numbers of steps away.
  // CHECK-COUNT-6: llvm.intr.fma
  %step = arith.sitofp %n : i32 to f32
  %ramp = thread.ramp %max by %step tile(16 x 16) : vector<2xf32> -> vector<8xf32>
  // 64 bits of a mask word; each test is one instruction for the assembler to turn into a predicate.
  // CHECK: shl.b32 $0, -1, $1;
  // CHECK: and.b32 t, $1, 1; setp.ne.b32 p, t, 0; selp.f32 $0, 0fFF800000, $2, p;
  %kept = thread.keep_columns %s at [%c0, %c0] last(%n) tile(16 x 16) : vector<8xf32>
  // CHECK: llvm.call_intrinsic "llvm.nvvm.ff2f16x2.rn"
  %p = thread.to_a_op %kept tile(16 x 16) : vector<8xf32> -> vector<8xf16>
  // CHECK: nvvm.vote.sync any
  %grew = arith.cmpf ogt, %r, %zero : vector<2xf32>
  %any = thread.warp_any %grew : vector<2xi1>
  %lse = tile.view %lse_array[%c0, %c0] rows(%n) : <batch x heads_q x len_q x f32> -> <1, f32>
  // CHECK: llvm.store %{{.*}}, %{{.*}} : f32, !llvm.ptr<1>
  thread.store_rows %r to %lse[%c0] : vector<2xf32>, <1, f32>
}

// Roles: a branch on the warp's number, which is the same for all its threads; a barrier of a role is a named one.
// CHECK-LABEL: llvm.func @roles
// CHECK-SAME: nvvm.maxntid = array<i32: 384, 1, 1>
thread.kernel @roles arch("sm_90a") min_blocks(1) smem(0) {
  thread.specialize {
    // CHECK: %[[WARP:.*]] = nvvm.shfl.sync idx
    // CHECK: llvm.icmp "ult" %[[WARP]]
    // CHECK: nvvm.setmaxregister decrease 24
    // CHECK: nvvm.barrier0
    thread.role @producer first_warp(0) warps(4) replicas(1) registers(24) {
      gpu.barrier
    }
    // CHECK: nvvm.setmaxregister increase 240
    // CHECK: llvm.udiv
    // CHECK: %[[ID:.*]] = llvm.mlir.constant(2 : i32)
    // CHECK: nvvm.barrier id = %[[ID]] number_of_threads = %{{.*}}
    thread.role @consumer first_warp(4) warps(4) replicas(2) registers(240) {
      %number = arith.constant 2 : i32
      thread.named_barrier %number threads(128)
    }
  }
}

// One element of an array, the same for every thread.
// CHECK-LABEL: llvm.func @value
thread.kernel @value(%sinks: !tile.array<heads_q x f32>, %out: !tile.array<batch x heads_q x len_q x f32> {output}) arch("sm_80") warps(1) min_blocks(1) smem(0) {
  %c3 = arith.constant 3 : i32
  // CHECK: llvm.getelementptr %arg0[0]
  // CHECK: %[[PLACE:.*]] = llvm.inttoptr
  // CHECK: llvm.load %[[PLACE]] invariant {alignment = 4 : i64} : !llvm.ptr<1> -> f32
  %sink = tile.load_value %sinks[%c3] : <heads_q x f32> -> f32
  %rows = vector.broadcast %sink : f32 to vector<2xf32>
  %view = tile.view %out[%c3, %c3] rows(%c3) : <batch x heads_q x len_q x f32> -> <1, f32>
  thread.store_rows %rows to %view[%c3] : vector<2xf32>, <1, f32>
}
