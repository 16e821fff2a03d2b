//===- TunerSpaceTest.cpp - schedules and the cost model ------------------===//
//
// The space of schedules, its feasibility and the cost model.
//
//===----------------------------------------------------------------------===//
#include "tuner/CostModel.h"
#include "tuner/Space.h"

#include "runtime/device/sim/SimDevice.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

using namespace attune;
using namespace attune::tuner;

namespace {

AttentionSpec specOf(int headDimQk, int headDimV, bool causal = false) {
  AttentionSpec spec;
  spec.headDimQk = headDimQk;
  spec.headDimV = headDimV;
  if (causal)
    spec.mask = {MaskTerm{std::nullopt, 0, MaskAlign::TopLeft}};
  return spec;
}

Arch archOf(const char *name) { return *findArch(name); }

Candidate candidateOf(int blockQ, int blockKv, int stages, int warps, Target target = Target::PTX) {
  return {{"portable", {{"block_q", blockQ}, {"block_kv", blockKv}, {"stages", stages}, {"warps", warps}}},
          target};
}

} // namespace

TEST_CASE("every parameter of every family has candidates that may be asked for, and a reason") {
  for (const Family *family : allFamilies()) {
    std::set<std::string_view> names;
    for (const ScheduleParameter &parameter : family->schedules.parameters) {
      CAPTURE(parameter.name);
      CHECK(names.insert(parameter.name).second);
      CHECK(parameter.reason.size() > 20);
      CHECK(!parameter.help.empty());
      REQUIRE(!parameter.candidates.empty());
      CHECK(std::is_sorted(parameter.candidates.begin(), parameter.candidates.end()));
      for (int value : parameter.candidates) {
        CHECK(parameter.takes(value));
        CHECK(parameter.nearest(value) == value);
      }
      CHECK(!parameter.takes(parameter.nearest(parameter.most) + parameter.step));
    }
  }
}

TEST_CASE("an enumeration is the whole table: each point is feasible or refused with a reason") {
  for (const char *arch : {"sm_80", "sm_86", "sm_90"})
    for (int dim : {16, 64, 128, 256}) {
      AttentionSpec spec = specOf(dim, dim);
      spec.schedule.family = "portable";
      const Family &family = familyFor(spec, archOf(arch));
      Enumeration space = enumerate(family, spec, archOf(arch), std::nullopt);
      int64_t product = 2, refused = 0; // two targets
      for (const ScheduleParameter &parameter : family.schedules.parameters)
        product *= int64_t(parameter.candidates.size());
      for (const auto &[reason, count] : space.refusals) {
        CHECK(!reason.empty());
        refused += count;
      }
      CHECK(space.points == product);
      CHECK(int64_t(space.feasible.size()) + refused == product);
      CHECK(space.feasible.size() > 50);
      for (const Candidate &candidate : space.feasible) {
        ScheduleCost cost = family.cost(spec, archOf(arch), candidate);
        CHECK(cost.sharedBytes <= archOf(arch).sharedPerBlock);
        CHECK(cost.threads == candidate.schedule.value("warps") * 32);
        CHECK(cost.blocksPerSm >= 1);
        CHECK(candidate.schedule.value("block_q") % (16 * candidate.schedule.value("warps")) == 0);
      }
    }
}

TEST_CASE(
    "a table of many points: the leading parameters' product, each further value alone, nothing twice") {
  for (const Family *family : allFamilies())
    for (int dim : {64, 128}) {
      AttentionSpec spec = specOf(dim, dim);
      Enumeration space = enumerate(*family, spec, archOf("sm_90"), Target::PTX);
      CHECK(space.points <= 2000);
      CHECK(space.feasible.size() > 50);
      std::set<std::string> seen;
      std::set<std::pair<std::string, int>> values;
      for (const Candidate &candidate : space.feasible) {
        CHECK(seen.insert(scheduleText(candidate)).second);
        CHECK(family->cost(spec, archOf("sm_90"), candidate).blocksPerSm >= 1);
        for (const auto &value : candidate.schedule.values)
          values.insert(value);
      }
      // The leading parameters have more than one value; which others fit beside the default, it says itself.
      for (const ScheduleParameter &parameter : family->schedules.parameters)
        if (&parameter - family->schedules.parameters.data() < 3)
          CHECK(std::count_if(values.begin(), values.end(), [&](auto &value) {
                  return value.first == parameter.name;
                }) > (parameter.candidates.size() > 1 ? 1 : 0));
    }
}

TEST_CASE("what the spec or the caller fixes has one value, inside the table or not") {
  AttentionSpec spec = specOf(64, 64);
  spec.schedule.set("block_kv", 144); // not in the table
  spec.schedule.set("warps", 4);
  const Family &family = familyFor(spec, archOf("sm_80"));
  Enumeration space = enumerate(family, spec, archOf("sm_80"), Target::CUDA);
  REQUIRE(!space.feasible.empty());
  for (const Candidate &candidate : space.feasible) {
    CHECK(candidate.schedule.get("block_kv") == 144);
    CHECK(candidate.schedule.get("warps") == 4);
    CHECK(candidate.target == Target::CUDA);
    CHECK(spec.schedule.agreesWith(candidate.schedule));
  }
  CHECK(!spec.schedule.agreesWith(candidateOf(64, 64, 1, 4).schedule));
}

TEST_CASE("refusals carry the numbers") {
  AttentionSpec spec = specOf(128, 128);
  const Family &family = familyFor(spec, archOf("sm_86"));
  ScheduleCost shared = family.cost(spec, archOf("sm_86"), candidateOf(128, 128, 3, 8));
  CHECK(shared.limit == "shared memory");
  CHECK(shared.refusal.find("101376") != std::string::npos);
  CHECK(shared.sharedBytes == 2 * (128 * 128 + 3 * 128 * 256));
  CHECK(family.cost(spec, archOf("sm_86"), candidateOf(96, 64, 1, 4)).limit ==
        "block_q is no multiple of 16 x warps");
  CHECK(family.cost(spec, archOf("sm_86"), candidateOf(128, 128, 1, 2)).limit == "registers");
}

TEST_CASE("schedules as text read back; what is no schedule is refused") {
  const Family &family = *allFamilies().front();
  Candidate candidate = candidateOf(128, 80, 2, 4);
  std::string text = scheduleText(candidate);
  CHECK(text == "block_q=128 block_kv=80 stages=2 warps=4");
  Result<Candidate> back = parseSchedule(family, text);
  REQUIRE(back);
  CHECK(*back == candidate);
  Result<Candidate> part = parseSchedule(family, "  warps=8 ");
  REQUIRE(part);
  CHECK(part->schedule.get("warps") == 8);
  CHECK(!part->schedule.get("block_q"));
  for (const char *bad : {"block=3", "block_q", "block_q=", "block_q=0", "block_q=12x", "target=1", "=3"}) {
    CAPTURE(bad);
    Result<Candidate> wrong = parseSchedule(family, bad);
    REQUIRE(!wrong);
    CHECK(wrong.error().message.find(bad) != std::string::npos);
  }
}

TEST_CASE("the compiler's own choice is a point that can run, for every head dim") {
  for (const char *arch : {"sm_80", "sm_86", "sm_89", "sm_90", "sm_120"})
    for (int dim = 8; dim <= 256; dim += 8) {
      AttentionSpec spec = specOf(dim, dim);
      const Family &family = familyFor(spec, archOf(arch));
      Candidate standard = family.standard(spec, archOf(arch), Target::PTX);
      CHECK(family.cost(spec, archOf(arch), standard).limit.empty());
      // As cache entries and stores keep it.
      CHECK(*Schedule::parse(standard.schedule.text()) == standard.schedule);
      CHECK(*parseSchedule(family, scheduleText(standard)) == standard);
    }
}

//===----------------------------------------------------------------------===//
// The cost model
//===----------------------------------------------------------------------===//

namespace {

Work workOf(const AttentionSpec &spec, const ProblemShape &shape, const Candidate &candidate,
            const char *arch = "sm_80") {
  return familyOf(candidate).work(spec, archOf(arch), shape, candidate);
}

double microseconds(const AttentionSpec &spec, const ProblemShape &shape, const Candidate &candidate) {
  DeviceInfo device = describeSimDevice(archOf("sm_80"));
  return rank(spec, device, shape, {candidate}).front().estimate.us;
}

/// The rows of the issue-slot table in tests/perf/README.md: what the machine code of the defaults has.
struct SlotRow {
  std::string arch;
  int qk, v;
  Candidate candidate;
  double whole;
};

/// A schedule as the table has it: family, block_qxblock_kv, then pairs of a name and a number; then the
/// target.
bool readSchedule(std::istream &in, Candidate &candidate) {
  std::string tiles, word;
  int blockQ, blockKv, value;
  if (!(in >> candidate.schedule.family >> tiles) ||
      std::sscanf(tiles.c_str(), "%dx%d", &blockQ, &blockKv) != 2)
    return false;
  candidate.schedule.set("block_q", blockQ);
  candidate.schedule.set("block_kv", blockKv);
  while (in >> word && word != "ptx" && word != "cuda" && in >> value)
    candidate.schedule.set(word, value);
  candidate.target = word == "cuda" ? Target::CUDA : Target::PTX;
  return bool(in);
}

std::vector<SlotRow> slotRows() {
  std::ifstream file(ATTUNE_PERF_README);
  std::vector<SlotRow> rows;
  for (std::string line; std::getline(file, line);) {
    for (char separator : {'|', '/', ','})
      std::replace(line.begin(), line.end(), separator, ' ');
    SlotRow row{};
    std::string unit;
    int registers, spills, shared, blocks;
    std::istringstream in(line);
    if (in >> row.arch >> row.qk >> row.v && row.arch.starts_with("sm_") && readSchedule(in, row.candidate) &&
        in >> registers >> spills >> shared >> unit >> blocks >> row.whole)
      rows.push_back(row);
  }
  return rows;
}

} // namespace

TEST_CASE("issue slots of the model are those of the machine code, within 10 %") {
  std::vector<SlotRow> rows = slotRows();
  REQUIRE(rows.size() >= 40);
  for (const SlotRow &row : rows) {
    AttentionSpec spec = specOf(row.qk, row.v);
    // So many keys that what is not the inner loop counts for nothing.
    ProblemShape shape{1, 1, 1, *row.candidate.schedule.get("block_q"),
                       int64_t(*row.candidate.schedule.get("block_kv")) * 4096};
    Work work = workOf(spec, shape, row.candidate, row.arch.c_str());
    double perScore = 32 * work.slots / work.exponentials;
    CAPTURE(row.arch);
    CAPTURE(row.qk);
    CAPTURE(scheduleText(row.candidate));
    CHECK(perScore == doctest::Approx(row.whole).epsilon(0.10));
  }
}

TEST_CASE("work follows the problem") {
  Candidate candidate = candidateOf(128, 64, 1, 4);
  ProblemShape shape{2, 8, 8, 4096, 4096}, twice{4, 8, 8, 4096, 4096};
  AttentionSpec full = specOf(64, 64), causal = specOf(64, 64, true);
  Work work = workOf(full, shape, candidate);
  CHECK(work.blocks == 2 * 8 * 32);
  CHECK(work.steps == 2 * 8 * 32 * 64);
  CHECK(work.multiplyAdds == 2.0 * 8 * 4096 * 4096 * 128);
  CHECK(work.usefulShare == doctest::Approx(1));
  CHECK(workOf(full, twice, candidate).multiplyAdds == 2 * work.multiplyAdds);
  // Causal: half, and the tiles on the diagonal.
  Work half = workOf(causal, shape, candidate);
  CHECK(half.multiplyAdds == doctest::Approx(work.multiplyAdds * (33.0 / 64)));
  CHECK(half.usefulShare == doctest::Approx(32.0 / 33).epsilon(0.01));
  CHECK(half.longestBlock == doctest::Approx(64.0 / 33));
  // A window's work does not grow with the square of the length.
  AttentionSpec window = full;
  window.mask = {MaskTerm{256, 0, MaskAlign::TopLeft}};
  Work narrow = workOf(window, shape, candidate);
  CHECK(narrow.steps < 2 * 8 * 32 * 8);
  // Only keys that some row keeps have to come from memory.
  CHECK(workOf(window, {1, 1, 1, 1, 100000}, candidate).uniqueBytes == 2.0 * 128 * (1 + 1));
  // Rows that keep nothing cost no steps.
  AttentionSpec late = full;
  late.mask = {MaskTerm{std::nullopt, 0, MaskAlign::BottomRight}};
  CHECK(workOf(late, {1, 1, 1, 4096, 128}, candidate).steps < 10);
}

TEST_CASE("bounds beyond the sampled blocks are taken in proportion") {
  Candidate candidate = candidateOf(16, 64, 1, 1);
  AttentionSpec causal = specOf(64, 64, true);
  Work work = workOf(causal, {1, 1, 1, 65536, 65536}, candidate);
  double exact = 0;
  for (int64_t block = 0; block < 4096; ++block)
    exact += double((block * 16 + 16 + 63) / 64);
  CHECK(work.steps == doctest::Approx(exact).epsilon(0.01));
}

TEST_CASE("the estimate knows waves, short problems and wide tiles") {
  AttentionSpec spec = specOf(64, 64);
  Candidate candidate = candidateOf(128, 64, 1, 4);
  // 108 multiprocessors: one block more than they all take at once costs another turn.
  double oneTurn = microseconds(spec, {1, 108, 108, 128, 8192}, candidate);
  double twoTurns = microseconds(spec, {1, 109, 109, 128, 8192}, candidate);
  CHECK(twoTurns > 1.3 * oneTurn);
  CHECK(microseconds(spec, {1, 50, 50, 128, 8192}, candidate) == doctest::Approx(oneTurn).epsilon(0.05));
  // One query row: a tall tile computes mostly what nobody asked for.
  CHECK(microseconds(spec, {1, 512, 512, 1, 8192}, candidateOf(16, 64, 2, 1)) <
        microseconds(spec, {1, 512, 512, 1, 8192}, candidateOf(256, 64, 2, 8)));
  // More slots hide latency where one warp is alone.
  CHECK(microseconds(spec, {1, 1, 1, 16, 65536}, candidateOf(16, 32, 4, 1)) <
        microseconds(spec, {1, 1, 1, 16, 65536}, candidateOf(16, 32, 1, 1)));
}

TEST_CASE("no estimate is below the device's limit, and limits are those of the data sheets") {
  for (const char *arch : {"sm_80", "sm_86", "sm_89", "sm_90", "sm_120"}) {
    DeviceInfo device = describeSimDevice(archOf(arch));
    GpuFigures figures = figuresFor(device);
    AttentionSpec spec = specOf(128, 128, true);
    const Family &family = familyFor(spec, device.arch);
    ProblemShape shape{1, 32, 8, 4096, 4096};
    Enumeration space = enumerate(family, spec, device.arch, std::nullopt);
    std::vector<Ranked> ranked = rank(spec, device, shape, space.feasible);
    REQUIRE(ranked.size() == space.feasible.size());
    for (const Ranked &one : ranked) {
      CHECK(one.estimate.us > limitUs(figures, family.work(spec, device.arch, shape, one.candidate)));
      CHECK(one.estimate.shareOfLimit > 0);
      CHECK(one.estimate.shareOfLimit <= 1);
    }
    CHECK(std::is_sorted(ranked.begin(), ranked.end(),
                         [](const Ranked &a, const Ranked &b) { return a.estimate.us < b.estimate.us; }));
  }
  // A100: 312 TFLOP/s dense.
  GpuFigures a100 = figuresFor(describeSimDevice(archOf("sm_80")));
  CHECK(2 * a100.multiprocessors * a100.mmaSync * a100.clockGhz * 1e-3 == doctest::Approx(312).epsilon(0.01));
  // A device that knows its own size is taken at its word.
  DeviceInfo small = describeSimDevice(archOf("sm_80"));
  small.multiprocessors = 10;
  small.clockKhz = 1000000;
  CHECK(figuresFor(small).multiprocessors == 10);
  CHECK(figuresFor(small).clockGhz == doctest::Approx(1.0));
}

TEST_CASE("the whole space of a spec is ranked in under a second, whatever the length") {
  AttentionSpec spec = specOf(64, 64, true);
  DeviceInfo device = describeSimDevice(archOf("sm_90"));
  const Family &family = familyFor(spec, device.arch);
  double seconds = 1e9; // of the processor, the best of some: others use the machine too
  for (int i = 0; i < 3; ++i) {
    std::clock_t start = std::clock();
    Enumeration space = enumerate(family, spec, device.arch, std::nullopt);
    std::vector<Ranked> ranked = rank(spec, device, {1, 16, 16, 1 << 20, 1 << 20}, space.feasible);
    seconds = std::min(seconds, double(std::clock() - start) / CLOCKS_PER_SEC);
    MESSAGE(space.points, " points, ", ranked.size(), " feasible: ", seconds * 1e3, " ms");
  }
  CHECK(seconds < 1);
}

TEST_CASE("counted work grows as the model's own does") {
  AttentionSpec spec = specOf(64, 64);
  Candidate candidate = candidateOf(128, 64, 1, 4);
  Work small = workOf(spec, {1, 1, 1, 600, 600}, candidate),
       large = workOf(spec, {1, 16, 16, 4096, 4096}, candidate);
  LaunchCounters counters;
  counters.warpInstructions = uint64_t(small.slots * 1.5) + 100 + 50;
  counters.byName = {{"special", uint64_t(small.exponentials / 32)},
                     {"matrix", 100},
                     {"move", 50},
                     {"multiply-adds", uint64_t(small.multiplyAdds)},
                     {"shared wavefronts", uint64_t(small.wavefronts * 2)},
                     {"async bytes", uint64_t(small.globalBytes)}};
  Work counted = countedWork(counters, small);
  CHECK(counted.slots == doctest::Approx(small.slots * 1.5).epsilon(1e-4));
  Work grown = grow(counted, small, large);
  CHECK(grown.slots == doctest::Approx(large.slots * 1.5).epsilon(1e-3));
  CHECK(grown.wavefronts == doctest::Approx(large.wavefronts * 2).epsilon(1e-3));
  CHECK(grown.multiplyAdds == doctest::Approx(large.multiplyAdds).epsilon(1e-3));
  CHECK(grown.blocks == large.blocks);
  CHECK(grow(small, small, small).slots == small.slots);
}
