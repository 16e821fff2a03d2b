// A compiler for tests of the runtime: its kernel copies Q to O.
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
std::string copyKernel(const std::string &name, int headDim) {
  return fmt::format(R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry {}(.param .align 8 .b8 p[176])
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
  ld.param.u32 %n, [p+160];
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
                     name, [&] {
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
  if (spec.schedule.stages == refusedStages)
    return badInput("made up: too many stages");
  KernelText text;
  text.name = spec.name;
  text.target = options.target;
  text.arch = options.arch;
  text.stage = Stage::Text;
  text.schedule = {64, 64, 2, 2};
  text.threads = 64;
  text.sharedBytes = 4096;
  text.minBlocksPerSm = 2;
  text.why = "made up";
  if (options.target == Target::CUDA) {
    text.text = fmt::format(
        "struct Params {{ char bytes[176]; }};\nextern \"C\" __global__ void {}(Params p) {{}}\n", spec.name);
  } else {
    text.text = copyKernel(spec.name, spec.headDimQk);
    text.tileText = "tile.kernel {\n  first op\n    copy rows\n}\n";
  }
  return text;
}

} // namespace attune
