//===- SimFaultSupport.h - kernels with a planted fault, and their correct twins -*- C++ -*-===//
#ifndef ATTUNE_TESTS_UNIT_SIMFAULTSUPPORT_H
#define ATTUNE_TESTS_UNIT_SIMFAULTSUPPORT_H

#include "SimSupport.h"

#include <algorithm>
#include <array>
#include <map>

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

constexpr sim::Mode kModes[] = {sim::Mode::Eager, sim::Mode::Lazy, sim::Mode::Random};

/// Bodies of a kernel k(IN, OUT) behind a common head, each launched in the same way.
struct Bodies {
  std::string head;
  std::string target = "sm_80";
  std::array<uint32_t, 3> grid{1, 1, 1}, cluster{0, 0, 0};
  uint32_t threads = 64;
  size_t inWords = 0, outWords = 0; ///< 0: four a thread
  bool written = true;              ///< OUT holds 5 everywhere
  uint64_t limit = 200000;          ///< instructions of a warp

  Outcome run(const std::string &body, sim::Mode mode = sim::Mode::Eager, uint32_t block = 0,
              uint64_t seed = 11) const {
    auto m = parse(ptx(buffers, head + body + "\nret;", target));
    block = block ? block : threads;
    size_t words = outWords ? outWords : 4 * block;
    Device d;
    std::vector<uint32_t> in(inWords ? inWords : 4 * block);
    for (size_t i = 0; i < in.size(); ++i)
      in[i] = uint32_t(i) * 7 + 1;
    uint64_t pi = d.put(in, "in"), po = d.make(4 * words, "out");
    if (written) {
      std::vector<uint32_t> fives(words, 5);
      REQUIRE(d.memory.write(po, fives.data(), 4 * words));
    }
    sim::LaunchConfig c{.entry = "k", .grid = grid, .block = {block, 1, 1}, .cluster = cluster};
    c.params = Params().add(pi).add(po).bytes;
    c.mode = mode;
    c.seed = seed;
    c.maxInstructionsPerWarp = limit;
    Outcome o;
    o.result = d.run(*m, c);
    o.out = d.get<uint32_t>(po, words);
    return o;
  }

  /// No finding, and the same bits, in all modes and with several seeds.
  void expectClean(const std::string &body, uint32_t block = 0) const {
    CAPTURE(body);
    std::vector<uint32_t> first;
    for (sim::Mode mode : kModes)
      for (uint64_t seed : {1, 2, 3}) {
        Outcome o = run(body, mode, block, seed);
        CHECK_CLEAN(o.result);
        first = first.empty() ? o.out : first;
        CHECK(o.out == first);
        if (mode != sim::Mode::Random)
          break;
      }
  }
  /// In every mode a finding of this kind, whose text has the words.
  void expectFault(const std::string &body, Kind kind, std::initializer_list<const char *> words = {},
                   uint32_t block = 0) const {
    CAPTURE(body);
    for (sim::Mode mode : kModes) {
      CAPTURE(int(mode));
      Outcome o = run(body, mode, block);
      bool found = false;
      for (const auto &f : o.result.findings) {
        if (f.kind != kind)
          continue;
        CHECK(f.site.ptxLine > 0);
        std::string t = f.text();
        found |= std::all_of(words.begin(), words.end(),
                             [&](const char *word) { return t.find(word) != std::string::npos; });
      }
      CHECK_MESSAGE(found, "found instead: " << texts(o.result.findings));
    }
  }
};

inline std::string without(std::string text, const std::string &part) {
  size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.erase(at, part.size());
}
inline std::string with(std::string text, const std::string &part, const std::string &other) {
  size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), other);
}

/// Bodies without clusters and asynchronous units.
namespace plain {
inline const Bodies &bodies() {
  static const Bodies all{.head = prologue, .written = false, .limit = 100000};
  return all;
}
inline Outcome runBody(const std::string &body, uint32_t threads = 64, sim::Mode mode = sim::Mode::Eager,
                       uint64_t limit = 100000) {
  Bodies own = bodies();
  own.limit = limit;
  return own.run(body, mode, threads);
}
inline void expectFault(const std::string &body, Kind kind, std::initializer_list<const char *> words = {},
                        uint32_t threads = 64) {
  bodies().expectFault(body, kind, words, threads);
}
inline void expectClean(const std::string &body, uint32_t threads = 64) {
  bodies().expectClean(body, threads);
}
} // namespace plain

/// What is to be found in a kernel.
struct Expectation {
  Kind kind = Kind::Race;
  const char *words = "";  ///< the finding's text has them
  bool orDeadlock = false; ///< which it may bring before
};

/// The kernels of a file of tests/sim/faults, all launched with (in, out, aux, n): those called _bad give a
/// finding of their kind, those called _ok none, in all modes. Others, and _random_bad, are the test's own
/// affair.
struct PlantedFaults {
  struct Run {
    sim::LaunchResult result;
    std::vector<int32_t> out, aux;
  };

  const char *file;
  uint32_t blocks = 8, spare = 0; ///< spare: elements behind the input's n
  Expectation standard = {};
  std::map<std::string, Expectation> expectations = {}; ///< of the kernels that differ
  bool alone = false;                                   ///< nothing else may be found
  uint32_t (*threadsOf)(const std::string &name) = [](const std::string &) { return 64u; };
  void (*prepare)(const std::string &name, Device &d, uint64_t out, uint32_t n,
                  sim::LaunchConfig &c) = nullptr;

  mutable std::shared_ptr<const sim::Module> parsed = nullptr;
  const sim::Module &module() const {
    if (!parsed)
      parsed = parse(readFile(std::string(ATTUNE_SIM_KERNELS) + "/../faults/" + file), file);
    return *parsed;
  }

  std::vector<int32_t> input(uint32_t n) const {
    std::vector<int32_t> in(n + spare);
    for (size_t i = 0; i < in.size(); ++i)
      in[i] = int32_t(i * 37 % 101);
    return in;
  }

  Run run(const std::string &name, sim::Mode mode = sim::Mode::Eager, unsigned threads = 2,
          uint64_t seed = 5) const {
    uint32_t block = threadsOf(name), n = blocks * block;
    Device d;
    std::vector<int32_t> zeros(2048);
    uint64_t pi = d.put(input(n), "in"), po = d.put(std::vector<int32_t>(n), "out"), pa = d.put(zeros, "aux");
    sim::LaunchConfig c{.entry = name, .grid = {blocks, 1, 1}, .block = {block, 1, 1}};
    c.params = Params().add(pi).add(po).add(pa).add(int32_t(n)).bytes;
    c.mode = mode;
    c.seed = seed;
    c.threads = threads;
    c.maxInstructionsPerWarp = 300000;
    if (prepare)
      prepare(name, d, po, n, c);
    Run r;
    r.result = d.run(module(), c);
    r.out = d.get<int32_t>(po, n);
    r.aux = d.get<int32_t>(pa, zeros.size());
    return r;
  }

  void checkAll() const {
    for (const auto &[name, e] : expectations)
      CHECK_MESSAGE(bool(module().entry(name)), name);
    for (const sim::EntryInfo &entry : module().entries()) {
      const std::string &name = entry.name;
      bool ok = name.ends_with("_ok");
      if (!ok && (!name.ends_with("_bad") || name.ends_with("_random_bad")))
        continue;
      CAPTURE(name);
      for (sim::Mode mode : kModes) {
        CAPTURE(int(mode));
        Run r = run(name, mode);
        if (ok) {
          CHECK_CLEAN(r.result);
          continue;
        }
        auto known = expectations.find(name);
        checkFault(name, mode, std::move(r), known == expectations.end() ? standard : known->second);
      }
    }
  }

  /// Findings, results and counts are the same for every number of host threads.
  void checkThreads(std::initializer_list<sim::Mode> modes, const std::string &uncounted = "") const {
    for (const sim::EntryInfo &entry : module().entries()) {
      CAPTURE(entry.name);
      for (sim::Mode mode : modes) {
        Run one = run(entry.name, mode, 1);
        for (unsigned threads : {2u, 7u}) {
          Run many = run(entry.name, mode, threads);
          CHECK(texts(one.result.findings) == texts(many.result.findings));
          CHECK(one.out == many.out);
          CHECK(one.aux == many.aux);
          if (entry.name != uncounted)
            CHECK(one.result.counters.warpInstructions == many.result.counters.warpInstructions);
        }
      }
    }
  }

private:
  void checkFault(const std::string &name, sim::Mode mode, Run r, const Expectation &expected) const {
    auto isIt = [&](const sim::Finding &f) {
      return f.kind == expected.kind || (expected.orDeadlock && f.kind == Kind::Deadlock);
    };
    auto any = [&] { return std::any_of(r.result.findings.begin(), r.result.findings.end(), isIt); };
    // What needs an order that a seed does not make is found by another.
    for (uint64_t seed = 6; mode == sim::Mode::Random && !any() && seed < 12; ++seed)
      r = run(name, mode, 2, seed);
    REQUIRE_MESSAGE(any(), "found instead: " << texts(r.result.findings));
    std::string text;
    for (const sim::Finding &f : r.result.findings) {
      if (alone)
        CHECK_MESSAGE((isIt(f) && f.text().find(expected.words) != std::string::npos), f.text());
      text += isIt(f) ? f.text() : "";
    }
    if (!expected.orDeadlock || text.find("deadlock") == std::string::npos)
      CHECK_MESSAGE(text.find(expected.words) != std::string::npos, text);
  }
};

} // namespace simtest

#endif // ATTUNE_TESTS_UNIT_SIMFAULTSUPPORT_H
