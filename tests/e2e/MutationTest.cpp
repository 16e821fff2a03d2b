//===- MutationTest.cpp - is a missing synchronisation seen? --------------===//
//
// A kernel that runs does not prove its barriers and waits: on a GPU most of them can be left out unnoticed.
// Here each of a kernel's synchronisations is left out or weakened in turn, and the simulator or the oracle
// must object.
//
//===----------------------------------------------------------------------===//
#include "tests/e2e/KernelSource.h"
#include "tests/e2e/Runner.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;
using namespace attune::e2e;

namespace {

struct Mutant {
  std::string what;
  std::string ptx;
};

/// Every kernel that differs from `ptx` in one synchronisation: a line that is gone, or a wait for one group
/// less.
/// `commits`: also those where a group of copies is not closed, so that it is one with the next.
std::vector<Mutant> mutantsOf(const std::string &ptx, bool commits) {
  std::vector<Mutant> mutants;
  int number = 1;
  for (size_t begin = 0; begin < ptx.size(); ++number) {
    size_t end = std::min(ptx.find('\n', begin), ptx.size());
    std::string line = ptx.substr(begin, end - begin);
    auto add = [&](const std::string &what, const std::string &replacement) {
      mutants.push_back(
          {fmt::format("line {}: {} {}", number, line.substr(line.find_first_not_of(" \t")), what),
           ptx.substr(0, begin) + replacement + ptx.substr(end)});
    };
    for (const char *name : {"bar.sync", "barrier.sync", "cp.async.wait_all"})
      if (line.find(name) != std::string::npos)
        add("left out", "");
    if (commits && line.find("cp.async.commit_group") != std::string::npos)
      add("left out", "");
    if (size_t wait = line.find("cp.async.wait_group"); wait != std::string::npos) {
      add("left out", "");
      size_t digit = line.find_first_of("0123456789", wait);
      std::string weaker = line;
      weaker[digit] = char(weaker[digit] + 1);
      add("waits for one group less", weaker);
    }
    begin = end + 1;
  }
  return mutants;
}

void everyMutantIsCaught(Target target, int stages, std::vector<MaskTerm> mask) {
  AttentionSpec spec;
  spec.headDimQk = 32;
  spec.headDimV = 128; // O on its way out lies where K was
  spec.lse = true;
  spec.mask = std::move(mask);
  spec.schedule = {"", {{"block_q", 32}, {"block_kv", 32}, {"stages", stages}, {"warps", 2}}};
  Result<CompiledProgram> kernel = makeKernel(spec, "sm_80", target, /*cubin=*/false);
  if (!kernel && kernel.error().kind == ErrorKind::Missing) {
    MESSAGE("skipped: ", kernel.error().message);
    return;
  }
  REQUIRE_MESSAGE(bool(kernel), kernel.error().message);
  Shape shape{1, 1, 1, 90, 400, Placement::BSHD, 3};
  Judge judge(*kernel, spec);
  std::string fault = judge.run(*kernel, shape, SimOptions::Mode::Lazy);
  REQUIRE_MESSAGE(fault.empty(), fault);
  // Values that the mask hides are NaN: blocks of queries are computed again, in the slower way.
  Shape again = shape;
  again.nanValues = true;
  fault = judge.run(*kernel, again, SimOptions::Mode::Lazy);
  REQUIRE_MESSAGE(fault.empty(), fault);
  std::vector<Mutant> mutants = mutantsOf(kernel->ptx, stages != 2);
  CHECK(mutants.size() >= 10);
  std::vector<std::string> unseen;
  for (const Mutant &mutant : mutants) {
    CompiledProgram damaged = *kernel;
    damaged.ptx = mutant.ptx;
    if (judge.run(damaged, shape, SimOptions::Mode::Lazy).empty() &&
        judge.run(damaged, again, SimOptions::Mode::Lazy).empty())
      unseen.push_back(mutant.what);
  }
  // The barrier before O is staged is implied: the block has just voted on whether to compute it again.
  CHECK_MESSAGE(unseen.size() == 1,
                fmt::format("{} stages, not caught: {}", stages, fmt::join(unseen, "; ")));
}

} // namespace

// Keys on both sides of a row: each of the three loops over blocks of keys runs several times.
static const std::vector<MaskTerm> window = {{200, 40, MaskAlign::BottomRight}};

TEST_CASE("target ptx: every missing or weakened synchronisation is caught") {
  everyMutantIsCaught(Target::PTX, 1, window);
  everyMutantIsCaught(Target::PTX, 3, window);
  // With two stages each step waits for all copies, so where a group ends does not matter.
  everyMutantIsCaught(Target::PTX, 2, {{{}, 0, MaskAlign::BottomRight}});
}

TEST_CASE("target cuda: every missing or weakened synchronisation is caught") {
  everyMutantIsCaught(Target::CUDA, 3, window);
}
