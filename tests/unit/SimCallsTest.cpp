//===- SimCallsTest.cpp - calls that stay calls, and functions of the system -===//
#include "SimSupport.h"

#include <map>

using namespace attune;
using namespace simtest;

namespace {

const std::string head = ".version 8.0\n.target sm_80\n.address_size 64\n";
using Kind = sim::FindingKind;

struct Outcome {
  sim::LaunchResult result;
  std::vector<uint32_t> y;
};

/// Runs kernel k(y), one word of y a thread, and its argument n if it has one.
Outcome run(const std::string &text, uint32_t blocks = 1, uint32_t block = 64,
            sim::Mode mode = sim::Mode::Eager, unsigned threads = 0, uint64_t heap = 8 << 20) {
  CAPTURE(text);
  auto m = parse(text);
  Device d;
  uint64_t y = d.put(std::vector<uint32_t>(size_t(blocks) * block, 0xDEAD), "y");
  sim::LaunchConfig c{.entry = "k", .grid = {blocks, 1, 1}, .block = {block, 1, 1}};
  c.params = Params().add(y).bytes;
  c.mode = mode;
  c.threads = threads;
  c.heapBytes = heap;
  Outcome o;
  o.result = d.run(*m, c);
  o.y = d.get<uint32_t>(y, size_t(blocks) * block);
  return o;
}
bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }
/// The only kind of finding, and words of its text.
void expectOnly(const Outcome &o, Kind kind, std::initializer_list<const char *> words) {
  REQUIRE_MESSAGE(!o.result.findings.empty(), "no finding");
  std::string text = texts(o.result.findings);
  for (const auto &f : o.result.findings)
    CHECK_MESSAGE(f.kind == kind, text);
  for (const char *word : words)
    CHECK_MESSAGE(has(text, word), text);
}

/// k's beginning: %t1 is the thread's number in the grid, %d1 its place in y; its end stores %t2.
const std::string begin = ".visible .entry k(.param .u64 y) {\n"
                          ".reg .b64 %d<8>; .reg .b32 %t<8>; .reg .pred %p<3>; .reg .f64 %g; .reg .f32 %f;\n"
                          "mov.u32 %t1, %ctaid.x; mov.u32 %t2, %ntid.x; mov.u32 %t3, %tid.x;\n"
                          "mad.lo.u32 %t1, %t1, %t2, %t3; ld.param.u64 %d1, [y]; mul.wide.u32 %d2, %t1, 4;\n"
                          "add.u64 %d1, %d1, %d2;\n";
const std::string end = "\nst.global.u32 [%d1], %t2; ret; }\n";

/// Two calls of itself, and what is in registers between them.
const std::string tribonacci =
    ".func (.param .b32 r) trib(.param .b32 n) {\n.reg .b32 %a<6>; .reg .pred %p; .reg .b64 %w;\n"
    "ld.param.u32 %a0, [n]; setp.lt.s32 %p, %a0, 3; @%p bra SMALL;\n"
    "mov.u32 %a3, 0; mul.wide.s32 %w, %a0, 1;\n"
    "mov.u32 %a4, 1;\n"
    "LOOP: sub.s32 %a1, %a0, %a4;\n"
    "{ .param .b32 in; .param .b32 out; st.param.b32 [in], %a1; call.uni (out), trib, (in); ld.param.b32 "
    "%a2, [out]; "
    "}\n"
    "add.s32 %a3, %a3, %a2; add.s32 %a4, %a4, 1; setp.le.s32 %p, %a4, 3; @%p bra LOOP;\n"
    "cvt.u32.u64 %a5, %w; sub.s32 %a5, %a5, %a0; add.s32 %a0, %a3, %a5; bra DONE;\n"
    "SMALL: mov.u32 %a0, 1;\n"
    "DONE: st.param.b32 [r], %a0; ret; }\n";

} // namespace

TEST_CASE("functions call themselves: each lane has its own depth, each activation its registers") {
  std::string text = head + tribonacci + begin +
                     "and.b32 %t4, %t1, 7; setp.lt.u32 %p1, %t4, 6; mov.u32 %t2, 77;\n"
                     "{ .param .b32 in; .param .b32 out; st.param.b32 [in], %t4;\n"
                     "@%p1 call (out), trib, (in); @%p1 ld.param.b32 %t2, [out]; }\n"
                     "shfl.sync.idx.b32 %t5, %t2, 3, 31, -1; add.u32 %t2, %t2, %t5;" +
                     end;
  uint32_t trib[8] = {1, 1, 1, 3, 5, 9, 77, 77};
  for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Random}) {
    Outcome o = run(text, 3, 64, mode);
    CHECK_CLEAN(o.result);
    for (uint32_t t = 0; t < o.y.size(); ++t)
      CHECK(o.y[t] == trib[t % 8] + 3);
  }
}

TEST_CASE("two functions that call each other, with a pointer into the caller's frame") {
  // down(p, n) adds n to *p, which is in the frame that called it, and goes on in `other` with its own cell.
  std::string functions =
      ".func other(.param .b64 p, .param .b32 n);\n"
      ".func down(.param .b64 p, .param .b32 n) {\n.reg .b64 %q<4>; .reg .b32 %a<5>; .reg .pred %z; .local "
      ".b32 "
      "cell;\n"
      "ld.param.u64 %q0, [p]; ld.param.u32 %a0, [n]; setp.eq.u32 %z, %a0, 0; @%z ret;\n"
      "mov.u64 %q1, cell; cvta.local.u64 %q2, %q1; st.u32 [%q2], 0; sub.u32 %a1, %a0, 1;\n"
      "{ .param .b64 i0; .param .b32 i1; st.param.b64 [i0], %q2; st.param.b32 [i1], %a1; call other, (i0, "
      "i1); }\n"
      "ld.local.u32 %a2, [cell]; ld.u32 %a3, [%q0]; add.u32 %a3, %a3, %a2; add.u32 %a3, %a3, %a0; st.u32 "
      "[%q0], %a3; "
      "ret; }\n"
      ".func other(.param .b64 p, .param .b32 n) {\n.reg .b64 %q; .reg .b32 %a;\n"
      "ld.param.u64 %q, [p]; ld.param.u32 %a, [n];\n"
      "{ .param .b64 i0; .param .b32 i1; st.param.b64 [i0], %q; st.param.b32 [i1], %a; call down, (i0, i1); "
      "} ret; }\n";
  Outcome o =
      run(head + functions + begin +
          ".local .b32 total; mov.u64 %d3, total; cvta.local.u64 %d3, %d3;\n"
          "st.u32 [%d3], 0; rem.u32 %t4, %t1, 20;\n"
          "{ .param .b64 i0; .param .b32 i1; st.param.b64 [i0], %d3; st.param.b32 [i1], %t4; call down, (i0, "
          "i1); }\n"
          "ld.local.u32 %t2, [total];" +
          end);
  CHECK_CLEAN(o.result);
  for (uint32_t t = 0; t < o.y.size(); ++t) {
    uint32_t n = t % 20;
    CHECK(o.y[t] == n * (n + 1) / 2);
  }
}

TEST_CASE("functions are called by their addresses, which lanes may differ in") {
  std::string functions =
      ".func (.param .b32 r) plus(.param .b32 a) { .reg .b32 %x; ld.param.u32 %x, [a]; add.u32 %x, %x, 1000; "
      "st.param.b32 [r], %x; ret; }\n"
      ".func (.param .b32 r) times(.param .b32 a) { .reg .b32 %x; ld.param.u32 %x, [a]; mul.lo.u32 %x, %x, "
      "3; "
      "st.param.b32 [r], %x; ret; }\n"
      ".func (.param .b64 r) wide(.param .b32 a) { .reg .b64 %x; mov.u64 %x, 1; st.param.b64 [r], %x; ret; "
      "}\n"
      ".global .align 8 .u64 table[3] = {plus, times, wide};\n";
  auto kernel = [&](const std::string &choose) {
    return head + functions + begin + choose +
           "mov.u64 %d3, table; mul.wide.u32 %d4, %t4, 8; add.u64 %d3, %d3, %d4; ld.global.u64 %d5, [%d3];\n"
           "{ .param .b32 in; .param .b32 out; st.param.b32 [in], %t1;\n"
           "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n"
           "call (out), %d5, (in), proto; ld.param.b32 %t2, [out]; }" +
           end;
  };
  Outcome o = run(kernel("and.b32 %t4, %t1, 1;"));
  CHECK_CLEAN(o.result);
  for (uint32_t t = 0; t < o.y.size(); ++t)
    CHECK(o.y[t] == (t % 2 ? 3 * t : t + 1000));
  expectOnly(run(kernel("mov.u32 %t4, 2;")), Kind::BadOperand, {"'wide', which takes other arguments"});
  Outcome moved = run(head + functions + begin +
                      "mov.u64 %d5, times; { .param .b32 in; .param .b32 out; st.param.b32 [in], %t1;\n"
                      "p: .callprototype (.param .b32 _) _ (.param .b32 _); call (out), %d5, (in), p;\n"
                      "ld.param.b32 %t2, [out]; }" +
                      end);
  CHECK_CLEAN(moved.result);
  CHECK(moved.y[21] == 63);
}

TEST_CASE("a call by address takes registers and constants, and gives its result to a register") {
  std::string functions =
      ".func (.param .b32 r) plus(.param .b32 a, .param .b64 b) { .reg .b32 %x, %z; .reg .b64 %y; "
      "ld.param.u32 %x, [a]; "
      "ld.param.u64 %y, [b]; cvt.u32.u64 %z, %y; add.u32 %x, %x, %z; st.param.b32 [r], %x; ret; }\n"
      ".func (.param .b32 r) minus(.param .b32 a, .param .b64 b) { .reg .b32 %x, %z; .reg .b64 %y; "
      "ld.param.u32 %x, [a]; "
      "ld.param.u64 %y, [b]; cvt.u32.u64 %z, %y; sub.u32 %x, %x, %z; st.param.b32 [r], %x; ret; }\n"
      ".func (.param .b64 r) wide(.param .b64 a, .param .b64 b) { .reg .b64 %x; mov.u64 %x, 1; st.param.b64 "
      "[r], %x; ret; }\n"
      ".global .align 8 .u64 table[3] = {plus, minus, wide};\n";
  auto kernel = [&](const std::string &call) {
    return head + functions + begin +
           "and.b32 %t4, %t1, 1; mov.u64 %d3, table; mul.wide.u32 %d4, %t4, 8; add.u64 %d3, %d3, %d4; "
           "ld.global.u64 %d5, [%d3]; p: .callprototype (.param .b32 _) _ (.param .b32 _, .param .b64 _);\n" +
           call + end;
  };
  Outcome o = run(kernel("call (%t2), %d5, (%t1, 1000), p;"));
  CHECK_CLEAN(o.result);
  for (uint32_t t = 0; t < o.y.size(); ++t)
    CHECK(o.y[t] == (t % 2 ? t - 1000 : t + 1000));
  auto refused = parse(kernel("call (%t2), %d5, (%t1), p;"));
  CHECK(has(refused->entries()[0].refusal, "expected a function that takes the arguments of this call"));
}

TEST_CASE("a stack that is exceeded is a finding") {
  expectOnly(run(head +
                 ".func deeper(.param .b64 n) {\n.reg .b64 %a;\nld.param.u64 %a, [n]; add.u64 %a, %a, 1;\n"
                 "{ .param .b64 in; st.param.b64 [in], %a; call deeper, (in); } ret; }\n" +
                 begin + "{ .param .b64 in; st.param.b64 [in], %d2; call deeper, (in); }" + end),
             Kind::StackOverflow,
             {"stack overflow: the call of 'deeper' is deeper than a thread's stack of 16384"});
}

namespace {

std::string text(const std::string &name, const std::string &value) {
  std::string bytes;
  for (char c : value)
    bytes += std::to_string(int(c)) + ", ";
  return ".global .align 1 .b8 " + name + "[" + std::to_string(value.size() + 1) + "] = {" + bytes + "0};\n";
}
const std::string printing = ".extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);\n";
std::string print(const std::string &format, const std::string &list) {
  return "{ .param .b64 p0; .param .b64 p1; .param .b32 q; mov.u64 %d4, " + format +
         "; cvta.global.u64 %d4, %d4; st.param.b64 [p0], %d4; st.param.b64 [p1], " + list +
         "; call.uni (q), vprintf, (p0, p1); ld.param.b32 %t2, [q]; }\n";
}

} // namespace

TEST_CASE("vprintf prints by block, warp and lane, whatever the number of host threads") {
  std::string k =
      head + printing + text("format", "%u|%5d|%-6s|%.3f|%c|%%|%lld|%08x|%s\n") + text("word", "abc") +
      begin +
      ".local .align 8 .b8 list[64]; mov.u64 %d3, list; setp.lt.u32 %p1, %t3, 2; setp.eq.u32 %p2, %t3, 40; "
      "or.pred %p1, %p1, %p2; mov.u32 %t2, 9;\n"
      "@!%p1 bra SKIP;\n"
      "st.local.u32 [%d3], %t1; st.local.u32 [%d3+4], -7; mov.u64 %d4, word; st.local.u64 [%d3+8], %d4;\n"
      "mov.f64 %g, 0d4009000000000000; st.local.f64 [%d3+16], %g; st.local.u32 [%d3+24], 65;\n"
      "mov.u64 %d5, -5000000000; st.local.u64 [%d3+32], %d5; st.local.u32 [%d3+40], 48879;\n"
      "st.local.u64 [%d3+48], %d4; cvta.local.u64 %d3, %d3;\n" +
      print("format", "%d3") + "SKIP:" + end;
  std::string expected;
  for (int block = 0; block < 3; ++block)
    for (int thread : {0, 1, 40})
      expected += std::to_string(64 * block + thread) + "|   -7|abc   |3.125|A|%|-5000000000|0000beef|abc\n";
  for (unsigned threads : {1u, 3u}) {
    Outcome o = run(k, 3, 64, sim::Mode::Random, threads);
    CHECK_CLEAN(o.result);
    CHECK(o.result.printed == expected);
    CHECK(o.y[0] == 8);
    CHECK(o.y[5] == 9);
  }
}

TEST_CASE("what vprintf cannot read is a finding") {
  std::string list = ".local .align 8 .b8 list[8]; mov.u64 %d3, list; cvta.local.u64 %d3, %d3;\n";
  std::string k = head + printing + text("number", "%d\n") + text("string", "%s\n") + begin + list;
  expectOnly(run(k + print("number", "%d3") + end, 1, 1), Kind::Uninitialised, {"value 1 to print"});
  expectOnly(run(k + "mov.u64 %d5, 12345; st.local.u64 [list], %d5;\n" + print("string", "%d3") + end, 1, 1),
             Kind::OutOfBounds, {"a string to print at 0x3039"});
}

TEST_CASE("an assertion that fails is a finding with its text") {
  std::string k =
      head +
      ".extern .func __assertfail(.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 n, "
      ".param .b64 s);\n" +
      text("m", "x < 3") + text("f", "dir/kernel.cu") + text("n", "void k(int *)") + begin +
      "mov.u32 %t2, 1; setp.ne.u32 %p1, %t1, 5; @%p1 bra OK;\n"
      "{ .param .b64 p0; .param .b64 p1; .param .b32 p2; .param .b64 p3; .param .b64 p4;\n"
      "mov.u64 %d4, m; st.param.b64 [p0], %d4; mov.u64 %d4, f; st.param.b64 [p1], %d4; st.param.b32 [p2], "
      "42;\nmov.u64 %d4, n; st.param.b64 [p3], %d4; st.param.b64 [p4], 1;\n"
      "call.uni __assertfail, (p0, p1, p2, p3, p4); }\nOK:" +
      end;
  Outcome o = run(k);
  expectOnly(o, Kind::Assertion,
             {"assertion: dir/kernel.cu:42: void k(int *): `x < 3` does not hold", "thread (5, 0, 0)"});
}

namespace {

const std::string heap =
    ".extern .func (.param .b64 r) malloc(.param .b64 n);\n.extern .func free(.param .b64 p);\n";
std::string allocate(const std::string &bytes, const std::string &to) {
  return "{ .param .b64 p0; .param .b64 q; st.param.b64 [p0], " + bytes +
         "; call.uni (q), malloc, (p0); ld.param.b64 " + to + ", [q]; }\n";
}
std::string release(const std::string &p) {
  return "{ .param .b64 p0; st.param.b64 [p0], " + p + "; call.uni free, (p0); }\n";
}

} // namespace

TEST_CASE("device-side malloc and free") {
  std::string use = "st.u32 [%d5], %t1; ld.u32 %t2, [%d5];\n";
  Outcome o = run(head + heap + begin + allocate("100", "%d5") + use + release("%d5") + end, 4);
  CHECK_CLEAN(o.result);
  for (uint32_t t = 0; t < o.y.size(); ++t)
    CHECK(o.y[t] == t);
  expectOnly(run(head + heap + begin + allocate("100", "%d5") + use + end), Kind::Heap,
             {"the 100 bytes at 0x", "are not freed when the kernel ends", "64 times"});
  // What a later kernel can find, it may free.
  std::string keep = ".global .align 8 .u64 kept[64];\n",
              put = "mov.u64 %d6, kept; mul.wide.u32 %d7, %t1, 8; add.u64 %d6, %d6, %d7; ";
  CHECK_CLEAN(run(head + heap + keep + begin + allocate("100", "%d5") + use + put +
                  "st.global.u64 [%d6], %d5;\n" + end)
                  .result);
  CHECK_CLEAN(run(head + heap + keep + begin + allocate("8", "%d5") + "st.u64 [%d5], %d5;\n" + put +
                  "st.global.u64 [%d6], %d5;\n" + allocate("16", "%d7") +
                  "st.u64 [%d5], %d7; mov.u32 %t2, 0;\n" + end)
                  .result);
  expectOnly(run(head + heap + keep + begin + allocate("16", "%d5") + use + "st.u64 [%d5+8], %d5;\n" + end),
             Kind::Heap, {"no pointer to them is left in global memory"}); // but in itself
  expectOnly(
      run(head + heap + begin + allocate("8", "%d5") + use + release("%d5") + release("%d5") + end, 1, 1),
      Kind::Heap, {"or which is free already", "malloc of line"});
  expectOnly(run(head + heap + begin + "mov.u32 %t2, 0;\n" + release("%d1") + end, 1, 1), Kind::Heap,
             {"which malloc has not given"});
  expectOnly(
      run(head + heap + begin + allocate("8", "%d5") + use + release("%d5") + "ld.u32 %t2, [%d5];" + end, 1,
          1),
      Kind::OutOfBounds, {"freed"});
  expectOnly(run(head + heap + begin + allocate("8", "%d5") + "st.u32 [%d5+8], 1; mov.u32 %t2, 0;\n" +
                     release("%d5") + end,
                 1, 1),
             Kind::OutOfBounds, {"0 bytes after the end of 'malloc of line"});
}

TEST_CASE("a heap that has no room gives null") {
  Outcome o =
      run(head + heap + begin + allocate("600", "%d5") + allocate("600", "%d6") +
              "setp.eq.u64 %p1, %d5, 0; selp.u32 %t2, 1, 0, %p1; setp.eq.u64 %p1, %d6, 0; @%p1 add.u32 %t2, "
              "%t2, 10;\n" +
              release("%d5") + release("%d6") + end,
          1, 1, sim::Mode::Eager, 0, 1000);
  CHECK_CLEAN(o.result);
  CHECK(o.y[0] == 10);
}

TEST_CASE("variables of a module are set by name") {
  auto m = parse(
      head + ".const .align 4 .f32 factor = 0f3F800000;\n.global .align 4 .u32 table[2];\n" + begin +
      "ld.const.f32 %f, [factor]; mov.b32 %t2, %f; ld.global.u32 %t4, [table+4]; add.u32 %t2, %t2, %t4;" +
      end);
  Device d;
  uint64_t y = d.put(std::vector<uint32_t>(1, 0), "y");
  float factor = 2;
  uint32_t table[2] = {5, 7};
  CHECK(sim::setVariable(*m, d.memory, "factor", &factor, 4));
  CHECK(sim::setVariable(*m, d.memory, "table", table, 8));
  sim::LaunchConfig c{.entry = "k"};
  c.block = {1, 1, 1};
  c.params = Params().add(y).bytes;
  CHECK_CLEAN(d.run(*m, c));
  CHECK(d.get<uint32_t>(y, 1)[0] == 0x40000000 + 7);
  CHECK(has(sim::setVariable(*m, d.memory, "table", table, 4).error().message,
            "expected the 8 bytes of the variable 'table', got 4"));
  CHECK(
      has(sim::setVariable(*m, d.memory, "other", table, 4).error().message, "(factor, table), got 'other'"));
}
