//===- RuntimeSlotsTest.cpp - issue slots of machine code -----------------===//
//
// Issue slots: on disassembly written for the test, where every number can be counted by hand, and on a loop
// shaped like attention's that is compiled here. The numbers of whole loops agree with a separate script that
// takes the code between a backward branch and its target; those of skipped blocks have no other source.
//
//===----------------------------------------------------------------------===//
#include "runtime/jit/Assemble.h"
#include "runtime/jit/Slots.h"

#include <doctest/doctest.h>

using namespace attune;

namespace {

/// Instructions, one a line, as nvdisasm prints them; labels and section lines are taken as they are.
std::string sass(const std::string &body) {
  std::string text;
  int address = 0;
  for (size_t at = 0; at < body.size();) {
    size_t end = body.find('\n', at);
    std::string line = body.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("."))
      text += line + "\n";
    else
      text += "        /*" + std::string(1, char('0' + address / 1000 % 10)) +
              std::string(1, char('0' + address / 100 % 10)) + std::string(1, char('0' + address / 10 % 10)) +
              std::string(1, char('0' + address % 10)) + "*/                   " + line + " ;\n";
    ++address;
  }
  return text;
}

} // namespace

TEST_CASE("slots: a plain loop, with the matrix instructions outside the count") {
  std::vector<LoopSlots> loops = slotsOf(sass(".text.kernel:\n"
                                              "S2R R0, SR_TID.X\n"
                                              ".L_x_1:\n"
                                              "LDSM.16.M88.4 R4, [R0]\n"
                                              "HMMA.16816.F32.BF16 R8, R4, R6, R8\n"
                                              "HMMA.16816.F32.BF16 R12, R4, R6, R12\n"
                                              "FFMA R8, R8, R1, R2\n"
                                              "MUFU.EX2 R8, R8\n"
                                              "ISETP.GE.AND P0, PT, R0, R3, PT\n"
                                              "@!P0 BRA `(.L_x_1)\n"
                                              "EXIT\n"
                                              ".L_x_2:\n"
                                              "BRA `(.L_x_2)\n"),
                                         2);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].function == "kernel");
  CHECK(loops[0].instructions == 7);
  CHECK(loops[0].matrix == 2);
  CHECK(loops[0].skipped == 0);
  CHECK(loops[0].slotsPerElement == doctest::Approx(2.5));
  CHECK(loops[0].classes[0] == std::pair<std::string, int>("matrix", 2));
}

TEST_CASE("slots: the innermost loop with matrix instructions counts, not the one around it or a copy loop "
          "inside") {
  std::vector<LoopSlots> loops = slotsOf(sass(".text.kernel:\n"
                                              ".L_x_1:\n"
                                              "MOV R1, R2\n"
                                              ".L_x_2:\n"
                                              "HMMA.16816.F32 R8, R4, R6, R8\n"
                                              ".L_x_3:\n"
                                              "IADD3 R1, R1, 0x1, RZ\n"
                                              "@P1 BRA `(.L_x_3)\n"
                                              "@P0 BRA `(.L_x_2)\n"
                                              "@P2 BRA `(.L_x_1)\n"
                                              "EXIT\n"),
                                         0);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].instructions == 4);
  CHECK(loops[0].slotsPerElement == 0);
}

TEST_CASE("slots: a block that one branch skips is not counted, wherever the assembler put it") {
  const char *inside = ".text.a:\n"
                       ".L_x_1:\n"
                       "HMMA.16816.F32 R8, R4, R6, R8\n"
                       "VOTE.ANY P0, P0\n"
                       "@!P0 BRA `(.L_x_2)\n"
                       "FMUL R8, R8, R9\n"
                       "FMUL R10, R10, R9\n"
                       "FMUL R11, R11, R9\n"
                       ".L_x_2:\n"
                       "FADD R1, R1, R2\n"
                       "@P1 BRA `(.L_x_1)\n"
                       "EXIT\n";
  const char *behind = ".text.b:\n"
                       ".L_x_1:\n"
                       "HMMA.16816.F32 R8, R4, R6, R8\n"
                       "VOTE.ANY P0, P0\n"
                       "BRA.U UP0, `(.L_x_3)\n"
                       ".L_x_2:\n"
                       "FADD R1, R1, R2\n"
                       "@P1 BRA `(.L_x_1)\n"
                       "EXIT\n"
                       ".L_x_3:\n"
                       "FMUL R8, R8, R9\n"
                       "FMUL R10, R10, R9\n"
                       "BRA `(.L_x_2)\n";
  std::vector<LoopSlots> loops = slotsOf(sass(inside) + sass(behind), 1);
  REQUIRE(loops.size() == 2);
  CHECK(loops[0].instructions == 8);
  CHECK(loops[0].skipped == 3);
  CHECK(loops[0].slotsPerElement == doctest::Approx(4));
  CHECK(loops[1].instructions == 8);
  CHECK(loops[1].skipped == 3);
  CHECK(loops[1].slotsPerElement == doctest::Approx(4));
}

TEST_CASE(
    "slots: what is not rarely executed counts: both sides of an if and else, loads, matrix instructions") {
  const char *both = ".text.a:\n"
                     ".L_x_1:\n"
                     "HMMA.16816.F32 R8, R4, R6, R8\n"
                     "@!P0 BRA `(.L_x_2)\n"
                     "FMUL R8, R8, R9\n"
                     "BRA `(.L_x_3)\n"
                     ".L_x_2:\n"
                     "FADD R8, R8, R9\n"
                     ".L_x_3:\n"
                     "@P1 BRA `(.L_x_1)\n"
                     "EXIT\n";
  const char *loads = ".text.b:\n"
                      ".L_x_1:\n"
                      "HMMA.16816.F32 R8, R4, R6, R8\n"
                      "@!P0 BRA `(.L_x_2)\n"
                      "LDGSTS.E.BYPASS.128 [R1], [R2.64]\n"
                      ".L_x_2:\n"
                      "@!P2 BRA `(.L_x_3)\n"
                      "HMMA.16816.F32 R8, R4, R6, R8\n"
                      "FADD R8, R8, R9\n"
                      ".L_x_3:\n"
                      "@P1 BRA `(.L_x_1)\n"
                      "EXIT\n";
  std::vector<LoopSlots> loops = slotsOf(sass(both) + sass(loads), 1);
  REQUIRE(loops.size() == 2);
  CHECK(loops[0].skipped == 0);
  CHECK(loops[0].slotsPerElement == doctest::Approx(5));
  CHECK(loops[1].skipped == 0);
  CHECK(loops[1].matrix == 2);
  CHECK(loops[1].slotsPerElement == doctest::Approx(5));
}

TEST_CASE("slots: text without loops, and text that is no disassembly") {
  CHECK(slotsOf("", 1).empty());
  CHECK(slotsOf("nonsense\n.L_x_1:\n/*0000*/ HMMA", 1).empty());
  CHECK(slotsOf(".text.k:\n/*0000*/\n/*\n.L\n", 1).empty());
  CHECK(slotsOf(sass(".text.k:\nEXIT\n"), 1).empty());
}

TEST_CASE("slots: a loop like attention's, from CUDA to machine code") {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::NVRTC) || !tools.tool(Tool::Nvdisasm)) {
    MESSAGE("skipped: no NVRTC or no nvdisasm");
    return;
  }
  const char *source = R"(
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
extern "C" __global__ void __launch_bounds__(128) loop(const unsigned *in, float *out, int n) {
  extern __shared__ unsigned shared[];
  unsigned a[4];
  for (int i = 0; i < 4; ++i) a[i] = in[threadIdx.x * 4 + i];
  float o[8][4] = {}, m = -1e30f;
#pragma unroll 1
  for (int j = 0; j < n; ++j) {
    float s[4] = {};
    mma(s, a, shared[threadIdx.x + j], shared[threadIdx.x + 32 + j]);
    float top = fmaxf(m, s[0]);
    if (__any_sync(~0u, top - m > 8)) {
      for (int t = 0; t < 8; ++t) for (int i = 0; i < 4; ++i) o[t][i] *= m - top;
      m = top;
    }
    for (int t = 0; t < 8; ++t) mma(o[t], a, __float_as_uint(s[0] - m), __float_as_uint(s[1] - m));
  }
  for (int t = 0; t < 8; ++t) for (int i = 0; i < 4; ++i) out[(threadIdx.x * 8 + t) * 4 + i] = o[t][i];
}
)";
  for (const char *arch : {"sm_80", "sm_90a", "sm_120"}) {
    CAPTURE(arch);
    Result<Assembled> built = compileCuda(tools, source, "loop.cu", {}, *findArch(arch), {"loop"});
    REQUIRE_MESSAGE(built, (built ? "" : built.error().message));
    Result<std::vector<LoopSlots>> loops = slots(tools, built->cubin, 4);
    REQUIRE_MESSAGE(loops, (loops ? "" : loops.error().message));
    REQUIRE(loops->size() == 1);
    CHECK((*loops)[0].function == "loop");
    CHECK((*loops)[0].matrix == 9);
    CHECK((*loops)[0].skipped >= 33); // 32 products and a difference
    CHECK((*loops)[0].skipped <= 40);
    CHECK((*loops)[0].instructions - 9 - (*loops)[0].skipped <= 24);
  }
  CHECK(!slots(tools, "no cubin", 4));
}
