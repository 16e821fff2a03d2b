//===- SimParserTest.cpp - the PTX language, its errors, and broken files -----------===//
#include "SimSupport.h"

#include <algorithm>
#include <ctime>

using namespace attune;
using namespace simtest;

namespace {

/// What is wrong with the file, or why its first kernel is refused.
std::string errorOf(const std::string &text) {
  std::string error = refusal(text, "f.ptx");
  REQUIRE_MESSAGE(!error.empty(), text);
  return error;
}
std::string errorOfBody(const std::string &body, const std::string &target = "sm_80") {
  return errorOf(ptx(".param .u64 A",
                     ".reg .b32 %r<8>; .reg .b64 %q<8>; .reg .pred %p<4>; .reg .b16 %h<4>;\n" + body,
                     target));
}
bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("entries, parameters and limits") {
  auto m = parse(R"(//
.version 9.0
.target sm_90a, debug
.address_size 64
.file 1 "dir/a.cu", 1234, 567
.extern .shared .align 128 .b8 dynamic[];
.extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);
.func helper(.param .b64 x) { ret; }
.weak .global .align 8 .b8 table[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
.visible .entry first(
  .param .u64 .ptr .global .align 16 first_0,
  .param .align 8 .b8 first_1[12],
  .param .f32 first_2
)
.maxntid 256, 1, 1
.minnctapersm 2
{
  .pragma "nounroll";
  .shared .align 4 .b8 fixed[100];
  .reg .b32 %r<3>, %other;
  .loc 1 10 3, function_name $L1, inlined_at 1 20 5
  mov.u32 %r1, fixed; mov.u32 %r2, dynamic;
  { .reg .b32 %r<2>; L: mov.u32 %r1, 3; }
  { .reg .b32 %r<2>; L: mov.u32 %r1, 4; }
  st.shared.u32 [%r1+4], 0x10U; // comment
  /* another
     comment */ ret;
}
.entry second() .reqntid 32, 2, 1 { exit; }
.section .debug_str { .b8 1, 2, 3
L: .b8 0 }
)");
  REQUIRE(m->entries().size() == 2);
  const auto &e = m->entries()[0];
  CHECK(m->target() == "sm_90a");
  CHECK(e.name == "first");
  REQUIRE(e.params.size() == 3);
  CHECK(e.params[1].offset == 8);
  CHECK(e.params[1].size == 12);
  CHECK(e.params[1].type == "b8");
  CHECK(e.params[2].offset == 20);
  CHECK(e.paramBytes == 24);
  CHECK(e.maxntid[0] == 256);
  CHECK(e.staticSharedBytes == 100);
  CHECK(e.dynamicSharedOffset == 128);
  CHECK(m->entries()[1].reqntid[1] == 2);
}

TEST_CASE("what is wrong is said with its place, all at once") {
  CHECK(has(errorOf(""), "f.ptx:1:1: error: expected a '.target' directive"));
  CHECK(has(errorOf(".version 8.0\n.target wm_80\n"),
            "f.ptx:2:9: error: expected a target such as sm_80, got 'wm_80'"));
  CHECK(has(errorOf(".target sm_80\n.address_size 32"), "expected an address size of 64, got '32'"));
  CHECK(has(errorOf(".target sm_80\n.visible .entry k( { ret; }"),
            "f.ptx:2:20: error: expected '.param', got '{'"));
  CHECK(has(errorOf(".target sm_80\n.entry k() { ret;"), "expected '}', got 'end of file'"));
  CHECK(has(errorOf(".target sm_80\n/* never closed"), "expected '*/'"));
  CHECK(has(errorOf(".target sm_80\n.file 1 \"never closed\n"), "unfinished string"));
  CHECK(has(errorOfBody("mov.u32 %r1, %zz;"), "f.ptx:7:14: error: unsupported special register '%zz'"));
  CHECK(has(errorOfBody("mov.u32 %r9, 1;"), "expected a 32-bit register as destination of 'mov.u32'"));
  CHECK(has(errorOfBody("add.u32 %r1, %r2;"), "expected 3 operands of 'add.u32', got 2"));
  CHECK(has(errorOfBody("add.u32 %r1, %r2, %q1;"), "expected a 32-bit register, got '%q1' of type b64"));
  CHECK(has(errorOfBody("@%r1 bra L;"), "expected a predicate register, got"));
  CHECK(has(errorOfBody("bra nowhere;"), "expected a label of this function, got 'nowhere'"));
  CHECK(has(errorOfBody("ld.global.u32 %r1, [%r2];"),
            "expected a 64-bit address register, got '%r2' of type b32"));
  CHECK(has(errorOfBody("ld.global.v4.u32 {%r1, %r2}, [%q2];"), "expected a vector of 4 registers"));
  CHECK(has(errorOfBody("mov.f32 %r1, 0f3F80;"), "expected 8 hexadecimal digits after '0f', got 4"));
  CHECK(has(errorOfBody("cp.async.cg.shared.global [%r1], [%q1], 8;"), "expected a copy size of 16 bytes"));
  CHECK(
      has(errorOfBody("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r1, %r2}, {%r1}, {%r1}, {%r1};"),
          "expected a vector of 4 registers"));
  CHECK(has(errorOfBody("L: ret; L: ret;"), "expected a new label, got 'L'"));
  // Every unsupported instruction, before anything runs.
  std::string all =
      errorOfBody("tex.1d.v4.f32.s32 {%r1, %r2, %r3, %r4}, [t, {%r1}];\nwgmma.fence.sync.aligned;\nadd.u32 "
                  "%r1, %r1, 1;\ncall.uni helper, (%r1);");
  CHECK(has(all, "f.ptx:7:1: error: unsupported instruction 'tex.1d.v4.f32.s32'"));
  CHECK(has(all, "f.ptx:8:1: error: expected .target sm_90a for 'wgmma.fence.sync.aligned', got sm_80"));
  CHECK(has(all, "f.ptx:10:1: error: unsupported call of 'helper', which has no body in this file"));
  CHECK(!has(all, "f.ptx:9"));
}

TEST_CASE("a kernel that lacks something is refused at its launch, alone in its file or among others") {
  std::string head = ".version 8.0\n.target sm_90a\n.address_size 64\n",
              good = ".visible .entry good() { ret; }\n",
              bad = ".visible .entry bad() {\nunknown.sync.aligned;\nret;\n}\n";
  for (const std::string &file : {head + good + bad, head + bad}) {
    auto m = parse(file, "f.ptx");
    sim::GlobalMemory memory;
    if (m->names().size() == 2) {
      CHECK(sim::launch(*m, memory, {.entry = "good"}));
      CHECK(m->entries()[0].refusal.empty());
    }
    auto refused = sim::launch(*m, memory, {.entry = "bad"});
    REQUIRE(!refused);
    CHECK(has(refused.error().message, ":1: error: unsupported instruction 'unknown.sync.aligned'"));
    CHECK(m->entries().back().refusal == refused.error().message);
    CHECK(m->entries().back().name == "bad");
  }
}

TEST_CASE("a form that is refused at many places is one line with its count and its first places") {
  std::string body;
  for (int k = 0; k < 60; ++k)
    body += "unknown.fence;\n";
  std::string all = errorOfBody(body + "another.form;\nunknown.fence; unknown.fence;\n");
  CHECK(has(
      all,
      "f.ptx:7:1: error: unsupported instruction 'unknown.fence' (62 times, the next at line 8, 9, 10 ...)"));
  CHECK(has(all, "f.ptx:67:1: error: unsupported instruction 'another.form'"));
  CHECK(std::count(all.begin(), all.end(), '\n') == 1);
  CHECK(has(errorOfBody("one.form; one.form;"),
            "f.ptx:7:1: error: unsupported instruction 'one.form' (2 times)"));
  // So many different ones are too many.
  std::string many;
  for (int k = 0; k < 200; ++k)
    many += "form" + std::to_string(k) + ".x;\n";
  all = errorOfBody(many);
  CHECK(std::count(all.begin(), all.end(), '\n') == 49);
}

TEST_CASE("the time of parsing and of decoding one kernel grows with the file, and no faster") {
  auto seconds = [](int entries) {
    std::string text = ".version 8.0\n.target sm_80\n.address_size 64\n"
                       ".func (.param .b32 r) one(.param .b32 x) { ret; }\n";
    for (int k = 0; k < entries; ++k) {
      std::string name = "kernel" + std::to_string(k);
      text +=
          ".visible .entry " + name + "(.param .u64 " + name + "_0, .param .u64 " + name + "_1)\n{\n" +
          ".shared .b8 s" + std::to_string(k) +
          "[16];\n.reg .b32 %r<4>; .param .b32 a; .param .b32 b;\n"
          "mov.u32 %r1, 1; st.param.b32 [a], %r1; call.uni (b), one, (a); ld.param.b32 %r2, [b];\nret;\n}\n";
    }
    double best = 1e9;
    for (int round = 0; round < 3; ++round) {
      std::clock_t start = std::clock();
      auto m = parse(text);
      REQUIRE(m->entry("kernel" + std::to_string(entries - 1)));
      REQUIRE(m->entries().size() == size_t(entries));
      best = std::min(best, double(std::clock() - start) / CLOCKS_PER_SEC);
    }
    return best;
  };
  double few = seconds(500), many = seconds(8000);
  CHECK_MESSAGE(many < 16 * 3 * few, few << " and " << many);
}

TEST_CASE("findings name the source line of .loc") {
  auto m = parse(".version 8.0\n.target sm_80\n.address_size 64\n.file 1 \"attention.tile.mlir\"\n.visible "
                 ".entry k()\n{\n.reg .b64 %q<2>;\n.loc 1 77 3\n"
                 "mov.u64 %q1, 64;\nst.global.u32 [%q1], 1;\nret;\n}\n");
  Device d;
  sim::LaunchConfig c{.entry = "k"};
  auto r = d.run(*m, c);
  REQUIRE(r.findings.size() == 1);
  CHECK(r.findings[0].site.ptxLine == 10);
  CHECK(r.findings[0].site.sourceFile == "attention.tile.mlir");
  CHECK(r.findings[0].site.sourceLine == 77);
  CHECK(has(r.findings[0].text(), "st.global.u32 [%q1], 1"));
  CHECK(has(r.findings[0].text(), "attention.tile.mlir:77"));
}

TEST_CASE("mutated files are refused or run, and never crash") {
  std::string sources[] = {readFile(std::string(ATTUNE_SIM_KERNELS) + "/basics.ptx"),
                           readFile(std::string(ATTUNE_SIM_KERNELS) + "/matmul.ptx")};
  const char *rounds = std::getenv("ATTUNE_SIM_MUTATIONS");
  int count = rounds ? std::atoi(rounds) : 300;
  std::mt19937 rng(rounds ? uint32_t(count) : 9);
  static const char *const tokens[] = {
      ";",   ",",   "{",   "}",    "[",   "]",    "0",   "-1",   "4294967295", "18446744073709551615",
      ".b8", ".v4", "%r1", "%rd1", "%p1", "@%p1", "bra", "ret",  "0f",         "0f3F800000",
      "(",   ")",   "<",   ">",    "\"",  "/*",   "//",  ".reg", ".shared",    "|",
      "!",   "+",   ":",   "_"};
  int accepted = 0;
  for (int k = 0; k < count; ++k) {
    std::string text = sources[rng() % 2];
    // A piece of the file keeps this fast: its head and one function's end.
    size_t cut = text.find("\n}\n", rng() % text.size());
    if (rng() % 2 && cut != std::string::npos)
      text.resize(cut + 3);
    for (uint32_t edits = 1 + rng() % 4; edits; --edits) {
      size_t at = rng() % text.size(), n = std::min<size_t>(rng() % 12, text.size() - at);
      switch (rng() % 6) {
      case 0:
        text.erase(at, n);
        break;
      case 1:
        text.insert(at, tokens[rng() % std::size(tokens)]);
        break;
      case 2:
        text[at] = char(rng());
        break;
      case 3:
        text.insert(at, text.substr(rng() % text.size(), rng() % 60));
        break;
      case 4: { // swap two lines
        size_t b = rng() % text.size(), e = text.find('\n', b), e2 = text.find('\n', at);
        if (e != std::string::npos && e2 != std::string::npos && e > b)
          text.insert(e2, text.substr(b, e - b));
        break;
      }
      default:
        text[at] = "0123456789%.,;{}[]@"[rng() % 19];
      }
    }
    auto m = sim::parseModule(text, "mutant.ptx");
    if (!m) {
      REQUIRE(has(m.error().message, "mutant.ptx:"));
      continue;
    }
    ++accepted;
    for (const auto &e : (*m)->entries()) {
      Device d;
      uint64_t a = d.make(4096, "a");
      sim::LaunchConfig c{.entry = e.name, .grid = {2, 1, 1}, .block = {64, 1, 1}};
      Params p;
      for (size_t n = 0; n < e.params.size(); ++n)
        e.params[n].size == 8 ? p.add(a) : p.add(uint32_t(3));
      p.bytes.resize(e.paramBytes);
      c.params = p.bytes;
      c.threads = 1;
      c.mode = sim::Mode(rng() % 3);
      c.maxInstructionsPerWarp = 20000;
      auto r = sim::launch(**m, d.memory, c);
      if (!r)
        CHECK(has(r.error().message, "error:"));
    }
  }
  CHECK(accepted > 0);
}
