// Every operation of the table of scalar operations and every comparison is written on both targets, for numbers, rows and
// tiles.
// RUN: attune compile %s --from attn --target ptx --emit ptx -o %t.ptx
// RUN: attune compile %s --from attn --target cuda --emit cuda -o - | FileCheck %s
// CHECK: div_signed(
// CHECK: below(
// CHECK: less_or_greater(
module {
  attn.forward @numbers : bf16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %one = arith.constant 1.0 : f32
    %qi = arith.index_cast %q : index to i32
    %ki = arith.index_castui %kv : index to i32
    %c3 = arith.constant 3 : i32
    %a = arith.divsi %qi, %c3 : i32
    %b0 = arith.remsi %ki, %c3 : i32
    %c = arith.divui %qi, %c3 : i32
    %d = arith.remui %ki, %c3 : i32
    %e = arith.shli %a, %b0 : i32
    %f = arith.shrsi %e, %b0 : i32
    %g = arith.shrui %e, %d : i32
    %i = arith.minui %f, %g : i32
    %j = arith.maxui %i, %c : i32
    %k = arith.minsi %j, %qi : i32
    %l = arith.maxsi %k, %ki : i32
    %m = arith.muli %l, %c3 : i32
    %n = arith.xori %m, %qi : i32
    %below = arith.cmpi ult, %n, %ki : i32
    %above = arith.cmpi uge, %n, %qi : i32
    %both = arith.ori %below, %above : i1
    %flag = arith.extui %both : i1 to i32
    %sign = arith.extsi %below : i1 to i32
    %sum = arith.addi %flag, %sign : i32
    %x = arith.sitofp %sum : i32 to f32
    %y = arith.uitofp %n : i32 to f32
    %z = arith.maxnumf %x, %y : f32
    %u = arith.minnumf %z, %s : f32
    %v = arith.maximumf %u, %one : f32
    %w = arith.minimumf %v, %s : f32
    %aa = math.absf %w : f32
    %ab = math.exp2 %aa : f32
    %ac = math.log2 %ab : f32
    %ad = math.fma %ac, %s, %one : f32
    %ae = arith.negf %ad : f32
    %af = arith.divf %ae, %one : f32
    %ag = arith.subf %af, %s : f32
    %ah = arith.addf %ag, %x : f32
    %one_of = arith.cmpf one, %ah, %s : f32
    %ueq = arith.cmpf ueq, %ah, %x : f32
    %uno = arith.cmpf uno, %ah, %y : f32
    %ord = arith.cmpf ord, %ah, %z : f32
    %ai = arith.select %one_of, %ah, %s : f32
    %aj = arith.select %ueq, %ai, %x : f32
    %ak = arith.select %uno, %aj, %y : f32
    %al = arith.select %ord, %ak, %z : f32
    attn.yield %al : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    %t = arith.cmpi ule, %kv, %q : index
    attn.yield %t : i1
  }
}
