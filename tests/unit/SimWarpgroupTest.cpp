//===- SimWarpgroupTest.cpp - planted faults of wgmma and setmaxnreg, and their twins ----===//
//
// A correct kernel, run in all modes without a finding; then each fault is one edit of its text.
//
//===----------------------------------------------------------------------===//
#include "SimSupport.h"

#include <fmt/format.h>
#include <optional>

using namespace attune;
using namespace simtest;

namespace {

/// Two products of 64 x 8 x 16 ones on one accumulator, which is doubled between them: every element is 48.
const char *const kProducts = R"(
.version 8.5
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 out)
.maxntid 256, 1, 1
{
.extern .shared .align 1024 .b8 s[];
.reg .b32 %r<20>; .reg .f32 %f<16>; .reg .b64 %q<10>; .reg .pred %p<4>;
mov.u32 %r0, %tid.x; mov.u32 %r1, s; shl.b32 %r2, %r0, 4; add.u32 %r3, %r1, %r2; mov.b32 %r4, 0x3F803F80;
setp.lt.u32 %p0, %r0, 16; setp.lt.u32 %p1, %r0, 96;
/*writeA*/ st.shared.v4.b32 [%r3], {%r4, %r4, %r4, %r4};
/*writeB*/ @%p0 st.shared.v4.b32 [%r3+4096], {%r4, %r4, %r4, %r4};
/*proxy*/ fence.proxy.async;
/*barrier*/ bar.sync 0;
shr.u32 %r5, %r1, 4; cvt.u64.u32 %q0, %r5; or.b64 %q1, %q0, 0x1000080000; add.u64 %q2, %q1, 256;
setp.eq.u32 %p2, 0, 0;
/*zero*/ mov.f32 %f0, 0f00000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;
/*before*/
/*fence1*/ wgmma.fence.sync.aligned;
/*issue1*/ wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %q1, %q2, %p2, 1, 1, 0, 0;
/*commit1*/ wgmma.commit_group.sync.aligned;
/*flight1*/
/*wait1*/ wgmma.wait_group.sync.aligned 0;
/*after1*/
add.f32 %f0, %f0, %f0; add.f32 %f1, %f1, %f1; add.f32 %f2, %f2, %f2; add.f32 %f3, %f3, %f3;
mov.b32 %r10, %r4; mov.b32 %r11, %r4; mov.b32 %r12, %r4; cvt.rn.bf16x2.f32 %r13, 0f3F800000, 0f3F800000;
/*fence2*/ wgmma.fence.sync.aligned;
/*issue2*/ wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, {%r10, %r11, %r12, %r13}, %q2, 1, 1, 1, 0;
/*commit2*/ wgmma.commit_group.sync.aligned;
/*flight2*/
/*wait2*/ wgmma.wait_group.sync.aligned 0;
/*after2*/
END:
ld.param.u64 %q5, [out]; mul.wide.u32 %q6, %r0, 16; add.u64 %q7, %q5, %q6;
/*store*/ st.global.v4.f32 [%q7], {%f0, %f1, %f2, %f3};
ret;
}
)";

struct Edit {
  std::string marker, text; ///< the statement behind the marker becomes this; with '+' in front it is added
};

std::string edited(std::string text, const std::vector<Edit> &edits) {
  for (const Edit &e : edits) {
    size_t at = text.find("/*" + e.marker + "*/");
    REQUIRE(at != std::string::npos);
    at += e.marker.size() + 4;
    size_t end = text.find('\n', at);
    if (!e.text.empty() && e.text[0] == '+')
      text.insert(end, " " + e.text.substr(1));
    else
      text.replace(at, end - at, " " + e.text);
  }
  return text;
}

struct Run {
  sim::LaunchResult result;
  std::vector<float> out;
};

Run run(const std::string &text, sim::Mode mode, uint32_t threads = 128, uint32_t shared = 4096 + 256,
        uint64_t seed = 1) {
  auto module = parse(text);
  Device d;
  uint64_t out = d.make(256 * 16);
  sim::LaunchConfig config{.entry = "k", .grid = {1, 1, 1}, .block = {threads, 1, 1}};
  config.dynamicShared = shared;
  config.mode = mode;
  config.seed = seed;
  config.maxInstructionsPerWarp = 100000;
  config.params = Params().add(out).bytes;
  Run r{d.run(*module, config), {}};
  r.out = d.get<float>(out, size_t(threads) * 4);
  return r;
}

constexpr sim::Mode kModes[] = {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random};

void clean(const std::string &what, const std::vector<Edit> &edits, std::optional<float> value = 48.f,
           const char *text = kProducts) {
  CAPTURE(what);
  for (sim::Mode mode : kModes)
    for (uint64_t seed = 0; seed < (mode == sim::Mode::Random ? 5 : 1); ++seed) {
      Run r = run(edited(text, edits), mode, 128, 4096 + 256, seed);
      CHECK_CLEAN(r.result);
      for (float x : r.out)
        if (value)
          REQUIRE(x == *value);
    }
}

void found(const std::string &what, const std::vector<Edit> &edits, sim::FindingKind kind,
           const std::string &words, uint32_t threads = 128, const char *text = kProducts) {
  CAPTURE(what);
  for (sim::Mode mode : kModes) {
    CAPTURE(int(mode));
    Run r = run(edited(text, edits), mode, threads);
    bool any = false;
    for (const sim::Finding &f : r.result.findings)
      any |= f.kind == kind && f.message.find(words) != std::string::npos;
    CHECK_MESSAGE(any, "expected '" << words << "', got:\n" << texts(r.result.findings));
  }
}

using Kind = sim::FindingKind;

} // namespace

TEST_CASE("wgmma: products in a row, with registers as A, are right and silent in all modes") {
  clean("as it is", {});
  clean(
      "a chain on one accumulator needs no fence",
      {{"flight1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %q1, %q2, 1, 1, 1, 0, 0; "
        "wgmma.commit_group.sync.aligned;"}},
      80.f);
  clean("a move of a result in flight is its new name", {{"flight2", "mov.f32 %f8, %f0; mov.f32 %f9, %f1;"},
                                                         {"after2", "mov.f32 %f0, %f8; mov.f32 %f1, %f9;"}});
  clean("without scale-d the accumulators need no value",
        {{"zero", ""},
         {"issue1", "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %q1, %q2, "
                    "!%p2, 1, 1, 0, 0;"}});
  clean("zeros behind the fence", {{"zero", ""},
                                   {"fence1", "wgmma.fence.sync.aligned; mov.f32 %f0, 0f00000000; mov.f32 "
                                              "%f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;"}});
  clean("a group may wait for the next",
        {{"wait2", "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 1;"}});
}

TEST_CASE("wgmma: registers of a product in flight") {
  found("read before the wait", {{"flight1", "add.f32 %f8, %f0, %f1;"}}, Kind::MissingWait,
        "reads an accumulator of a wgmma.mma_async in flight; expected a wgmma.wait_group");
  found("written before the wait", {{"flight1", "mov.f32 %f0, 0f3F800000;"}}, Kind::MissingWait,
        "writes an accumulator");
  found("no wait", {{"wait1", ""}}, Kind::MissingWait, "in flight; expected a wgmma.wait_group");
  found("no commit", {{"commit1", ""}}, Kind::MissingWait, "expected wgmma.commit_group");
  found("a wait for too few", {{"wait1", "wgmma.wait_group.sync.aligned 1;"}}, Kind::MissingWait,
        "in flight");
  found("A written before the wait", {{"flight2", "add.u32 %r13, %r13, 0;"}}, Kind::MissingWait,
        "a register of A of a wgmma.mma_async in flight");
  found("A moved over before the wait", {{"flight2", "mov.b32 %r13, %r4;"}}, Kind::MissingWait,
        "writes a register of A");
  found("the new name of a result used before the wait",
        {{"flight2", "mov.f32 %f8, %f0; add.f32 %f9, %f8, %f8;"}}, Kind::MissingWait, "reads an accumulator");
  found("no fence before the first", {{"fence1", ""}}, Kind::MissingWait, "no wgmma.fence before it");
  found("no fence behind other instructions", {{"fence2", ""}}, Kind::MissingWait,
        "was used by another instruction");
  found("another shape on the accumulator without a fence",
        {{"flight1",
          "wgmma.wait_group.sync.aligned 0; wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%f0, %f1, "
          "%f2, %f3}, %q1, %q2, 0, 1, 1; wgmma.commit_group.sync.aligned;"}},
        Kind::MissingWait, "another shape");
  found("an accumulator that was never written", {{"zero", ""}}, Kind::Uninitialised, "never written");
}

TEST_CASE("wgmma: shared memory that a product reads") {
  found("no proxy fence", {{"proxy", ""}}, Kind::MissingFence, "fence.proxy.async");
  found("no barrier", {{"barrier", ""}}, Kind::Race, "");
  found("written in flight", {{"flight1", "st.shared.b32 [%r3], %r4;"}}, Kind::Race, "");
  clean("written after the wait",
        {{"after1", "bar.sync 0; st.shared.b32 [%r3], %r4; fence.proxy.async; bar.sync 0;"}});
  found("never written", {{"writeB", ""}}, Kind::Uninitialised, "never written");
  const Edit half{"writeB", "and.b32 %r14, %r0, 4; setp.eq.u32 %p3, %r14, 0; and.pred %p3, %p3, %p0; @%p3 "
                            "st.shared.v4.b32 [%r3+4096], {%r4, %r4, %r4, %r4};"};
  found("columns that nobody wrote", {half}, Kind::Uninitialised, "never written");
  clean("columns that nobody wrote, and that are dropped",
        {half,
         {"store",
          "and.b32 %r15, %r0, 2; setp.eq.u32 %p3, %r15, 0; @%p3 st.global.v4.f32 [%q7], {%f0, %f1, %f2, "
          "%f3};"}},
        std::nullopt);
  found("outside", {{"before", "add.u64 %q2, %q2, 16;"}}, Kind::OutOfBounds, "");
  found("a swizzle that does not begin here",
        {{"before", "or.b64 %q2, %q2, 0x4000000000000000; add.u64 %q2, %q2, 8;"}}, Kind::BadOperand,
        "row 1 of the pattern");
  found("bits without a meaning", {{"before", "or.b64 %q1, %q1, 0x8000;"}}, Kind::BadOperand, "no meaning");
}

TEST_CASE("wgmma: what the four warps must do together") {
  found("lanes kept away",
        {{"issue1", "@%p0 wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %q1, "
                    "%q2, %p2, 1, 1, 0, 0;"}},
        Kind::Divergence, "whose guard is false");
  found("a warp that does not come", {{"before", "@!%p1 bra END;"}}, Kind::Deadlock,
        "which warp 3 of its warpgroup has not executed");
  found("a warp that does not come, and no wait",
        {{"before", "@!%p1 bra END;"}, {"wait1", ""}, {"wait2", ""}}, Kind::Divergence,
        "only 3 of the four warps");
  found("descriptors that differ", {{"before", "@%p1 add.u64 %q1, %q1, 16;"}}, Kind::BadOperand,
        "expected one descriptor of A in the four warps");
  found("descriptors that differ in a warp", {{"before", "@%p0 add.u64 %q1, %q1, 16;"}}, Kind::BadOperand,
        "expected one descriptor of A in all threads");
  found("scale-d that differs", {{"before", "mov.pred %p2, %p1;"}}, Kind::BadOperand, "expected one scale-d");
  found("another product in one warp",
        {{"before", "@!%p1 bra OTHER; bra.uni SAME; OTHER: wgmma.fence.sync.aligned; "
                    "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %q1, %q2, "
                    "%p2, 1, 1, 0, 0; bra.uni END; SAME:"}},
        Kind::Divergence, "expected the four warps to execute the same");
  found("no whole warpgroup", {}, Kind::Divergence, "four warps from a multiple of 4 on", 96);
}

namespace {

/// A producer that gives registers up and two consumers that take them.
const char *const kRegisters = R"(
.version 8.5
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 out)
/*cap*/ .maxntid 384, 1, 1 .minnctapersm 1
{
.reg .b32 %r<8>; .reg .b64 %q<4>; .reg .pred %p<4>;
mov.u32 %r0, %tid.x; setp.lt.u32 %p0, %r0, 128; setp.lt.u32 %p1, %r0, 32;
@%p0 bra PRODUCER;
/*inc*/ setmaxnreg.inc.sync.aligned.u32 240;
bra.uni END;
PRODUCER:
/*dec*/ setmaxnreg.dec.sync.aligned.u32 24;
END:
ld.param.u64 %q0, [out]; setp.lt.u32 %p2, %r0, 256; mul.wide.u32 %q1, %r0, 16; add.u64 %q2, %q0, %q1; @%p2 st.global.b32 [%q2], %r0;
ret;
}
)";

sim::LaunchResult runRegisters(const std::vector<Edit> &edits, sim::Mode mode) {
  auto module = parse(edited(kRegisters, edits));
  Device d;
  uint64_t out = d.make(256 * 16);
  sim::LaunchConfig config{.entry = "k", .grid = {2, 1, 1}, .block = {384, 1, 1}};
  config.mode = mode;
  config.params = Params().add(out).bytes;
  config.grid = {1, 1, 1};
  return d.run(*module, config);
}

} // namespace

TEST_CASE("setmaxnreg: the pool of a block, and its misuse") {
  auto has = [](const char *what, const std::vector<Edit> &edits, Kind kind, const std::string &words) {
    CAPTURE(what);
    for (sim::Mode mode : kModes) {
      auto result = runRegisters(edits, mode);
      bool any = false;
      for (const sim::Finding &f : result.findings)
        any |= f.kind == kind && f.message.find(words) != std::string::npos;
      CHECK_MESSAGE(any, texts(result.findings));
    }
  };
  for (sim::Mode mode : kModes) {
    CHECK_CLEAN(runRegisters({}, mode));
    CHECK_CLEAN(runRegisters({{"cap", ".maxnreg 168"}}, mode));
    auto ignored = runRegisters({{"cap", ".maxntid 384, 1, 1"}, {"dec", ""}}, mode);
    CHECK_CLEAN(ignored);
    REQUIRE(ignored.notes.size() == 1);
    CHECK(ignored.notes[0].find("setmaxnreg is ignored") != std::string::npos);
  }
  has("more than there is", {{"inc", "setmaxnreg.inc.sync.aligned.u32 248;"}}, Kind::Deadlock,
      "more registers a thread");
  has("nobody gives any up", {{"dec", ""}}, Kind::Deadlock, "waits for 72 more registers a thread");
  has("inc to fewer", {{"inc", "setmaxnreg.inc.sync.aligned.u32 160;"}}, Kind::BadOperand,
      "no fewer than the 168");
  has("dec to more", {{"dec", "setmaxnreg.dec.sync.aligned.u32 176;"}, {"inc", ""}}, Kind::BadOperand,
      "no more than the 168");
  has("one warp only", {{"dec", "@!%p1 bra END; setmaxnreg.dec.sync.aligned.u32 24;"}, {"inc", ""}},
      Kind::Divergence, "only 1 of the four warps");
}
