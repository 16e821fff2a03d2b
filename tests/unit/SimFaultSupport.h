//===- SimFaultSupport.h - bodies of kernels with a planted fault, or without -*- C++ -*-===//
#ifndef ATTUNE_TESTS_UNIT_SIMFAULTSUPPORT_H
#define ATTUNE_TESTS_UNIT_SIMFAULTSUPPORT_H

#include "SimSupport.h"

namespace simtest {

using Kind = sim::FindingKind;

inline const char *const buffers = ".param .u64 IN, .param .u64 OUT";
inline const char *const prologue =
    ".shared .align 16 .b8 s[4096]; .reg .b32 %r<20>; .reg .b64 %q<12>; .reg .pred %p<8>; .reg .b16 %h<4>;\n"
    "ld.param.u64 %q0, [IN]; ld.param.u64 %q1, [OUT]; mov.u32 %r0, %tid.x; mov.u32 %r1, s;\n"
    "mul.wide.u32 %q2, %r0, 16; add.u64 %q3, %q0, %q2; add.u64 %q4, %q1, %q2; shl.b32 %r2, %r0, 2; add.u32 "
    "%r3, %r1, %r2;\n"
    "shl.b32 %r4, %r0, 4; add.u32 %r5, %r1, %r4;\n";

struct Outcome {
  sim::LaunchResult result;
  std::vector<uint32_t> out;
};

inline Outcome runBody(const std::string &body, uint32_t threads = 64, sim::Mode mode = sim::Mode::Eager,
                       uint64_t limit = 100000) {
  auto m = parse(ptx(buffers, prologue + body + "\nret;"));
  Device d;
  std::vector<uint32_t> in(4 * threads);
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = uint32_t(i) * 7 + 1;
  uint64_t pi = d.put(in, "in"), po = d.make(16 * threads, "out");
  sim::LaunchConfig c{.entry = "k", .block = {threads, 1, 1}};
  c.params = Params().add(pi).add(po).bytes;
  c.mode = mode;
  c.seed = 11;
  c.maxInstructionsPerWarp = limit;
  Outcome o;
  o.result = d.run(*m, c);
  o.out = d.get<uint32_t>(po, 4 * threads);
  return o;
}

/// Exactly one kind of finding, and its text names what it should.
inline void expectFault(const std::string &body, Kind kind, std::initializer_list<const char *> words = {},
                        uint32_t threads = 64) {
  CAPTURE(body);
  for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random}) {
    auto o = runBody(body, threads, mode);
    REQUIRE_MESSAGE(!o.result.findings.empty(), "no finding");
    bool found = false;
    for (const auto &f : o.result.findings) {
      if (f.kind != kind)
        continue;
      found = true;
      std::string t = f.text();
      for (const char *word : words)
        CHECK_MESSAGE(t.find(word) != std::string::npos, t);
      CHECK(f.site.ptxLine > 0);
      break;
    }
    CHECK_MESSAGE(found, texts(o.result.findings));
  }
}
inline void expectClean(const std::string &body, uint32_t threads = 64) {
  CAPTURE(body);
  for (sim::Mode mode : {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random})
    CHECK_CLEAN(runBody(body, threads, mode).result);
}

} // namespace simtest

#endif // ATTUNE_TESTS_UNIT_SIMFAULTSUPPORT_H
