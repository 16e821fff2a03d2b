//===- Estimate.cpp - a grid's time from that of some blocks --------------===//
#include "simulator/clock/Estimate.h"

#include "simulator/DeviceLimits.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <queue>

namespace attune::sim {

namespace {

/// Bytes a clock that one SM takes out of L2 or memory, however few ask.
constexpr double kMostBytes = 64;
/// Blocks for which each is put on an SM; beyond, their mean time counts.
constexpr uint64_t kMostListed = 1 << 22;

uint64_t ceilDiv(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

} // namespace

Result<std::unique_ptr<Timing>> Timing::plan(Launch &launch) {
  const LaunchConfig &config = *launch.config;
  if (launch.mode != Mode::Eager)
    return badInput("expected mode eager for the virtual clock, which times what a launch does, got another");
  int target = std::atoi(launch.module->ast.target.c_str() + 3);
  const GpuFigures *gpu = nullptr;
  std::string known;
  for (const GpuFigures &row : kGpuFigures) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.gpu);
    if (row.gpu == config.time.gpu)
      gpu = &row;
  }
  if (!gpu && !config.time.gpu.empty())
    return badInput(
        fmt::format("expected a GPU that the virtual clock knows ({}), got '{}'", known, config.time.gpu));
  if (!gpu)
    gpu = &gpuFiguresFor("", target);
  if (gpu->computeCapability < target || (gpu->wgmma == 0 && launch.program->usesWarpgroups))
    return badInput(fmt::format("expected a GPU that runs {}, got {} (sm_{})", launch.module->ast.target,
                                gpu->gpu, gpu->computeCapability));
  std::unique_ptr<Timing> timing(new Timing(launch, *gpu));
  timing->residency();
  timing->choose();
  return timing;
}

/// How many blocks an SM holds at once.
void Timing::residency() {
  const EntryInfo &info = launch.program->info;
  DeviceLimits device = deviceLimits(launch.module->ast.target);
  uint64_t threads = uint64_t(launch.warpsPerCta) * 32;
  registers = launch.config->time.registers;
  if (!registers && launch.program->changesRegisters)
    registers = registersAtLaunch(info);
  if (!registers) {
    registersGuessed = true;
    registers = std::clamp<uint32_t>(info.registerSlots, 16, 255);
    if (info.maxnreg)
      registers = std::min(registers, info.maxnreg);
    uint64_t promised = uint64_t(info.maxntid[0]) * info.maxntid[1] * info.maxntid[2];
    if (promised)
      registers = std::min<uint32_t>(
          registers, uint32_t(65536 / (ceilDiv(promised, 32) * 32) / std::max(info.minnctapersm, 1u)));
  }
  uint64_t shared = launch.sharedBytes + kSharedBase;
  struct {
    std::string_view what;
    uint64_t most;
  } limits[] = {{"shared memory", device.sharedPerProcessor / ceilDiv(shared, 128) / 128},
                {"registers", 65536 / (ceilDiv(registers, 8) * 8 * threads)},
                {"threads", device.threads / threads},
                {"blocks", device.blocks}};
  residents = 0;
  for (auto &l : limits)
    if (residents == 0 || l.most < residents) {
      residents = uint32_t(std::max<uint64_t>(l.most, 1));
      limit = l.what;
    }
}

/// Which clusters to follow: spread over the grid so that no period of it is hit again and again.
void Timing::choose() {
  const LaunchConfig &config = *launch.config;
  uint64_t sms = uint64_t(machine.gpu.multiprocessors);
  residents = uint32_t(std::min<uint64_t>(residents, ceilDiv(launch.blocks, sms)));
  uint64_t asked = config.time.sample ? config.time.sample : std::max(4u, 2 * residents);
  uint64_t count = std::min(ceilDiv(asked, launch.clusterSize), launch.clusters);
  std::set<uint64_t> chosen;
  constexpr double golden = 0.6180339887498949;
  uint64_t gx = config.grid[0] / launch.clusterDims[0], rest = launch.clusters / gx;
  for (uint64_t k = 0; chosen.size() < count; ++k) {
    double turn = std::fmod(0.5 + double(k) * golden, 1.0);
    uint64_t number = uint64_t(turn * double(launch.clusters));
    if (rest > 1 && gx > 1 && k < count) // each part of the first dimension alike
      number = uint64_t((double(k) + 0.5) / double(count) * double(gx)) + gx * uint64_t(turn * double(rest));
    else if (k >= 4 * count)
      number = k - 4 * count;
    chosen.insert(std::min(number, launch.clusters - 1));
  }
  uint64_t x = gx, y = config.grid[1] / launch.clusterDims[1];
  for (uint64_t number : chosen) {
    std::array<uint64_t, 3> first = {number % x, number / x % y, number / x / y};
    for (uint32_t r = 0; r < launch.clusterSize; ++r) {
      const auto &dims = launch.clusterDims;
      uint64_t bx = first[0] * dims[0] + r % dims[0], by = first[1] * dims[1] + r / dims[0] % dims[1],
               bz = first[2] * dims[2] + r / dims[0] / dims[1];
      uint64_t block = bx + config.grid[0] * (by + uint64_t(config.grid[1]) * bz);
      recording.blocks[block].number = block;
    }
    if (config.time.onlySample)
      launch.only.push_back(number);
  }
  if (!config.time.onlySample && launch.blocks <= kMostListed)
    recording.executed.assign(launch.blocks, 0);
  if (config.time.onlySample)
    launch.clusters = launch.only.size();
  recording.machine = &machine;
  launch.recording = &recording;
}

/// What the grid moves, and what an SM may have of the bandwidths.
Shares Timing::shares(TimeReport &report) const {
  const GpuFigures &gpu = machine.gpu;
  double active = double(std::min<uint64_t>(uint64_t(gpu.multiprocessors), launch.blocks));
  double memory = gpu.memoryGbPerSecond / gpu.clockGhz; // bytes a clock
  double distinct = 0, asked = 0;
  std::unordered_set<uint64_t> all;
  std::map<int, uint64_t> allocations;
  for (const auto &[number, block] : recording.blocks) {
    std::unordered_set<uint64_t> own(block.lines.begin(), block.lines.end());
    distinct += double(own.size());
    asked += double(block.lines.size());
    for (uint64_t line : own)
      if (all.insert(line).second)
        if (int a = launch.memory->find(line * 128); a >= 0)
          allocations[a] = launch.memory->allocations[size_t(a)].size;
  }
  double scale = double(launch.blocks) / double(recording.blocks.size()), touchable = 0;
  for (auto &[a, size] : allocations)
    touchable += double(ceilDiv(size, 128));
  double ofGrid = std::min(std::max(distinct * scale, 1.0), std::max(touchable, 1.0));
  report.memoryCycles = ofGrid * 128 / memory;
  report.l2Cycles = asked * scale * 128 / (gpu.l2Bytes * gpu.multiprocessors);
  Shares s;
  s.l2Bytes = std::min(kMostBytes, gpu.l2Bytes * gpu.multiprocessors / active);
  s.memoryBytes = std::min(kMostBytes, memory / active);
  s.fresh = distinct > 0 ? std::min(1.0, ofGrid / (distinct * scale)) : 1;
  return s;
}

/// Clocks until the last block has ended: each begins, in order, where one ends first. A block that was not
/// followed takes as long as the followed ones whose work is next to its own, in proportion.
double Timing::makespan(const Replay &replay) const {
  std::vector<std::pair<double, double>> known; // instructions, clocks
  double mean = 0;
  for (const BlockTime &t : replay.times) {
    double clocks = t.end - t.start;
    mean += clocks / double(replay.times.size());
    if (!recording.executed.empty())
      known.push_back({double(recording.executed[t.block]), clocks});
  }
  std::sort(known.begin(), known.end());
  auto clocksOf = [&](uint64_t block) {
    if (known.empty())
      return mean;
    double work = double(recording.executed[block]);
    auto above = std::lower_bound(known.begin(), known.end(), std::pair(work, 0.0));
    if (above == known.end() || above == known.begin()) {
      auto [w, clocks] = above == known.end() ? known.back() : *above;
      return w > 0 ? clocks * work / w : clocks;
    }
    auto below = above - 1;
    double span = above->first - below->first;
    return span > 0 ? below->second + (above->second - below->second) * (work - below->first) / span
                    : above->second;
  };
  uint64_t slots =
      std::max<uint64_t>(uint64_t(machine.gpu.multiprocessors) / launch.clusterSize, 1) * residents;
  uint64_t clusters = launch.blocks / launch.clusterSize;
  if (recording.executed.empty() || clusters > kMostListed)
    return mean *
           (clusters < 4 * slots ? double(ceilDiv(clusters, slots)) : double(clusters) / double(slots) + 0.5);
  std::priority_queue<double, std::vector<double>, std::greater<>> ends;
  double last = 0;
  for (uint64_t c = 0; c < clusters; ++c) {
    double begin = 0;
    if (ends.size() == slots) {
      begin = ends.top();
      ends.pop();
    }
    double clocks = clocksOf(std::min(c * launch.clusterSize, launch.blocks - 1));
    ends.push(begin + clocks);
    last = std::max(last, begin + clocks);
  }
  return last;
}

/// Where the clocks went, by instruction.
void Timing::lines(const Replay &replay, TimeReport &report) const {
  std::map<uint32_t, LineTime> byStatement;
  for (uint32_t pc = 0; pc < replay.pcs.size(); ++pc) {
    const Replay::PcTime &t = replay.pcs[pc];
    if (!t.issued)
      continue;
    LineTime &line = byStatement[launch.program->code[pc].statement];
    line.issued += t.issued;
    for (size_t k = 0; k < kStalls; ++k) {
      line.stalls[k] += t.stalls[k];
      report.stalls[k] += t.stalls[k];
    }
  }
  for (auto &[statement, line] : byStatement) {
    const Program::Line &at = launch.program->statements[statement];
    line.ptxLine = at.ptxLine;
    line.instruction = at.text;
    if (auto file = launch.module->ast.files.find(at.sourceFile);
        at.sourceFile && file != launch.module->ast.files.end()) {
      line.sourceFile = file->second;
      line.sourceLine = at.sourceLine;
    }
    report.lines.push_back(std::move(line));
  }
  std::sort(report.lines.begin(), report.lines.end(), [](const LineTime &a, const LineTime &b) {
    double left = a.total(), right = b.total();
    return left != right ? left > right : a.ptxLine < b.ptxLine;
  });
}

TimeReport Timing::estimate(const Counters &counters) {
  const GpuFigures &gpu = machine.gpu;
  TimeReport report;
  report.gpu = gpu.gpu;
  report.measured = gpu.measured;
  report.blocks = launch.blocks;
  report.registers = registers;
  report.registersGuessed = registersGuessed;
  report.residents = residents;
  report.limit = limit;
  report.waves = double(launch.blocks) / (double(gpu.multiprocessors) * residents);
  report.launchUs = gpu.launchUs;
  Replay replay(machine, shares(report), launch.config->time.timeline);
  std::vector<std::vector<const BlockRecord *>> clusters;
  std::map<uint64_t, std::vector<const BlockRecord *>> byCluster;
  const auto &dims = launch.clusterDims;
  for (const auto &[number, block] : recording.blocks) {
    auto id = blockAt(*launch.config, number);
    uint64_t x = launch.config->grid[0] / dims[0], y = launch.config->grid[1] / dims[1];
    byCluster[id[0] / dims[0] + x * (id[1] / dims[1] + y * (id[2] / dims[2]))].push_back(&block);
  }
  for (auto &[number, blocks] : byCluster) {
    std::sort(blocks.begin(), blocks.end(), [](auto *a, auto *b) { return a->rank < b->rank; });
    clusters.push_back(std::move(blocks));
  }
  replay.run(clusters, residents);

  report.followed = replay.times;
  report.cycles = std::max({makespan(replay), report.memoryCycles, report.l2Cycles});
  double span = std::max(replay.end * replay.sms, 1.0);
  report.tensor = (replay.tensor + replay.busy[size_t(Pipe::MmaSync)] / 4) / span;
  report.issue = replay.issued / 4 / span;
  report.fma = replay.busy[size_t(Pipe::Fma)] / 4 / span;
  report.alu = replay.busy[size_t(Pipe::Alu)] / 4 / span;
  report.mufu = replay.busy[size_t(Pipe::Mufu)] / 4 / span;
  report.shared = replay.busy[size_t(Pipe::Shared)] / span;
  report.issuing = replay.issued;
  lines(replay, report);
  report.clockGhz = gpu.clockGhz - (gpu.clockGhz - gpu.loadedGhz) * std::min(report.tensor, 1.0);
  report.seconds = report.cycles / report.clockGhz * 1e-9;
  double ran =
      launch.only.empty() ? 1 : double(launch.only.size() * launch.clusterSize) / double(launch.blocks);
  report.matrixFlops = 2 * double(counters.multiplyAdds) / ran;
  if (launch.config->time.timeline)
    report.timeline = timelineOf(replay, machine, report.clockGhz);

  if (recording.blocks.size() < launch.blocks)
    report.notes.push_back(
        fmt::format("{} of {} blocks were followed, as one SM runs them; the grid's time is extrapolated{}",
                    recording.blocks.size(), launch.blocks,
                    recording.executed.empty() ? " from their mean" : " by the instructions of each block"));
  if (!gpu.measured)
    report.notes.push_back(
        fmt::format("the figures of {} come from data sheets, not from measurement", gpu.gpu));
  if (registersGuessed)
    report.notes.push_back(
        fmt::format("no assembler has said how many registers a thread has: {} are assumed", registers));
  if (launch.program->communicates)
    report.notes.push_back(
        "blocks wait for each other, or share work by atomics: how they do it in time is not modelled");
  if (replay.stuck)
    report.notes.push_back("some waits have no cause in what the followed blocks did: they were let go");
  return report;
}

} // namespace attune::sim
