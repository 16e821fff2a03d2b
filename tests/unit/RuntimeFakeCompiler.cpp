//===- RuntimeFakeCompiler.cpp - a made-up compiler -----------------------===//
//
// A compiler for tests of the runtime: its kernel copies Q to O.
//
//===----------------------------------------------------------------------===//
#include "tests/unit/RuntimeFakeCompiler.h"

#include "compiler/Compiler.h"

#include <chrono>
#include <string>
#include <thread>

#include <fmt/format.h>

FakeCompiler fakeCompiler;

using namespace attune;

namespace {

/// One thread a row; grid (ceil(lengthQ / 64), headsQ, batch).
std::string copyKernel(const std::string &name, int headDim, bool lse) {
  return fmt::format(R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry {}(.param .align 8 .b8 p[{}])
{{
  .reg .pred %ok;
  .reg .b32 %row, %n, %t, %h, %z;
  .reg .b64 %q, %o, %s, %r, %h64, %z64;
  .reg .b32 %v<4>;
  .loc 1 2 0
  mov.u32 %t, %tid.x;
  mov.u32 %row, %ctaid.x;
  shl.b32 %row, %row, 6;
  add.u32 %row, %row, %t;
  ld.param.u32 %n, [p+{}];
  setp.ge.u32 %ok, %row, %n;
  @%ok ret;
  cvt.u64.u32 %r, %row;
  mov.u32 %h, %ctaid.y;
  cvt.u64.u32 %h64, %h;
  mov.u32 %z, %ctaid.z;
  cvt.u64.u32 %z64, %z;
  ld.param.u64 %q, [p];
  ld.param.u64 %s, [p+8];
  mul.lo.u64 %s, %s, %z64;
  shl.b64 %s, %s, 1;
  add.u64 %q, %q, %s;
  ld.param.u64 %s, [p+16];
  mul.lo.u64 %s, %s, %h64;
  shl.b64 %s, %s, 1;
  add.u64 %q, %q, %s;
  ld.param.u64 %s, [p+24];
  mul.lo.u64 %s, %s, %r;
  shl.b64 %s, %s, 1;
  add.u64 %q, %q, %s;
  ld.param.u64 %o, [p+96];
  ld.param.u64 %s, [p+104];
  mul.lo.u64 %s, %s, %z64;
  shl.b64 %s, %s, 1;
  add.u64 %o, %o, %s;
  ld.param.u64 %s, [p+112];
  mul.lo.u64 %s, %s, %h64;
  shl.b64 %s, %s, 1;
  add.u64 %o, %o, %s;
  ld.param.u64 %s, [p+120];
  mul.lo.u64 %s, %s, %r;
  shl.b64 %s, %s, 1;
  add.u64 %o, %o, %s;
  .loc 1 3 0
{}  ret;
}}
.file 1 "tile.mlir"
)",
                     name, lse ? 160 : 136, lse ? 152 : 128, [&] {
                       std::string copies;
                       for (int d = 0; d < headDim; d += 8)
                         copies += fmt::format("  ld.global.v4.b32 {{%v0, %v1, %v2, %v3}}, [%q+{}];\n"
                                               "  st.global.v4.b32 [%o+{}], {{%v0, %v1, %v2, %v3}};\n",
                                               2 * d + (fakeCompiler.faulty ? 1 << 20 : 0), 2 * d);
                       return copies;
                     }());
}

} // namespace

namespace attune {

Result<KernelText> compile(const AttentionSpec &spec, const CompileOptions &options) {
  ++fakeCompiler.compilations;
  if (int ms = fakeCompiler.milliseconds)
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  if (spec.softcap)
    return badInput("made up: no softcap");
  if (spec.schedule.get("stages") == refusedStages)
    return badInput("made up: too many stages");
  KernelText text;
  text.name = spec.name;
  text.target = options.target;
  text.arch = options.arch;
  text.stage = Stage::Text;
  Result<Program> program = Program::parse(
      fmt::format(R"(
kernel {0}: portable block_q=64 block_kv=64 stages=2 warps=2
  threads 64, min_blocks 2, shared 4096, cluster 1 x 1 x 1
  q: array<batch x heads_q x len_q x {1} x bf16> align 16
  k: array<batch x heads_kv x len_kv x {1} x bf16> align 16
  v: array<batch x heads_kv x len_kv x {2} x bf16> align 16
  o: array<batch x heads_q x len_q x {2} x bf16> output align 16
  {3}length_q: i32 = len_q
  length_kv: i32 = len_kv
launch {0}: grid ceil_div(len_q, 64) x heads_q x batch, block 64, cluster 1 x 1 x 1, shared 4096
)",
                  spec.name, spec.headDimQk, spec.headDimV,
                  std::string(spec.sink ? "sink: array<heads_q x f32>\n  " : "") +
                      (spec.lengthsKv ? "lengths_kv: array<batch x i32>\n  " : "") +
                      (spec.lse ? "lse: array<batch x heads_q x len_q x f32> output\n  " : "")));
  if (!program)
    return program.error();
  text.program = *program;
  text.why = "made up";
  if (options.target == Target::CUDA) {
    text.text = fmt::format(
        "struct Params {{ char bytes[160]; }};\nextern \"C\" __global__ void {}(Params p) {{}}\n", spec.name);
  } else {
    text.text = copyKernel(spec.name, spec.headDimQk, spec.lse);
    text.tileText = "tile.kernel {\n  first op\n    copy rows\n}\n";
  }
  return text;
}

Result<KernelText> compileFrom(Stage, const std::string &, const std::string &file, const CompileOptions &) {
  return badInput(file + ": made up: no stages");
}

} // namespace attune
