//===- CostModel.cpp - how long a candidate should take -------------------===//
#include "tuner/CostModel.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace attune::tuner {
namespace {

struct Row {
  int computeCapability; ///< from this one on
  DeviceFigures figures;
};

/// Sources: NVIDIA's architecture papers (A100, GA102, AD102, H100, RTX Blackwell) and datasheets: dense
/// 16-bit rate = 2 x multiprocessors x multiplyAdds x clock. Hopper's mma.sync reaches 63 % of wgmma's rate
/// (arXiv 2402.13499). Exponentials: 16 a clock on each (CUDA C++ Programming Guide, arithmetic throughput).
/// L2: 5120 bytes a clock over A100's multiprocessors; the others are taken in proportion. Latency: what
/// microbenchmarks of L2 hits give (arXiv 2208.11174, 2402.13499) and a copy's own instructions.
constexpr std::array<Row, 5> kFigures = {{
    {80, {"A100 SXM", 108, 1.41, 1024, 16, 4, 128, 47, 1935, 400}},
    {86, {"A40", 84, 1.74, 512, 16, 4, 128, 32, 696, 400}},
    {89, {"L40S", 142, 2.52, 512, 16, 4, 128, 32, 864, 450}},
    {90, {"H200", 132, 1.83, 1290, 16, 4, 128, 48, 4300, 450}},
    {120, {"RTX PRO 6000 Blackwell", 188, 2.6, 512, 16, 4, 128, 32, 1792, 500}},
}};

/// A launch's own time on the device, before its first block and after its last.
constexpr double launchUs = 2.5;

} // namespace

DeviceFigures figuresFor(const DeviceInfo &device) {
  const Row *row = &kFigures.front();
  for (const Row &known : kFigures)
    if (device.computeCapability >= known.computeCapability)
      row = &known;
  DeviceFigures figures = row->figures;
  if (device.multiprocessors > 0)
    figures.multiprocessors = device.multiprocessors;
  if (device.clockKhz > 0)
    figures.clockGhz = device.clockKhz * 1e-6;
  return figures;
}

std::string_view nameOf(Limit limit) {
  constexpr std::string_view names[] = {"matrix", "exp", "issue", "shared", "L2", "memory", "latency"};
  return names[size_t(limit)];
}

double limitUs(const DeviceFigures &device, const Work &work) {
  double share = work.usefulShare / device.multiprocessors / (device.clockGhz * 1e3);
  return std::max({work.multiplyAdds * share / device.multiplyAdds,
                   work.exponentials * share / device.exponentials,
                   work.uniqueBytes / (device.memoryGbPerSecond * 1e3)});
}

Estimate estimate(const DeviceFigures &device, const Work &work, const ScheduleCost &cost) {
  // Blocks go to multiprocessors as those become free, so the busiest one has as many as a whole number of
  // waves gives it, and at least the longest block.
  double blocks = double(std::max<int64_t>(work.blocks, 1));
  double mostBlocks = std::ceil(blocks / device.multiprocessors);
  double share = std::max(mostBlocks, work.longestBlock) / blocks;
  double together = std::max(1.0, std::min(double(cost.blocksPerSm), mostBlocks));

  std::array<double, 5> cycles = {
      work.multiplyAdds * share / device.multiplyAdds, work.exponentials * share / device.exponentials,
      work.slots * share / device.issues, work.wavefronts * share * 128 / device.sharedBytes,
      work.globalBytes * share / device.l2Bytes};
  size_t busiest = size_t(std::max_element(cycles.begin(), cycles.end()) - cycles.begin());
  // What the busiest resource waits for: a warp does one thing after the other, so the other resources' time
  // is hidden only by further warps of the scheduler. L2 works for copies, which no warp waits for.
  double warpsPerScheduler = together * work.warps / device.issues;
  double others = cycles[0] + cycles[1] + cycles[2] + cycles[3] - (busiest < 4 ? cycles[busiest] : 0);
  double total = cycles[busiest] + others / (1 + warpsPerScheduler);
  // A copy is issued one step less a half before its data is needed with one slot, and a step earlier with
  // every further one; what is then still under way stalls the block, and the others go on.
  double stepsInTurn = work.steps * share / together;
  double waiting = 0;
  if (stepsInTurn > 0) {
    double ahead = (work.stages == 1 ? 0.5 : work.stages - 1) * total / stepsInTurn;
    waiting = std::max(0.0, device.copyLatency - ahead) * stepsInTurn;
  }
  // A block alone waits at least once, for its first copies.
  total += waiting + 2 * device.copyLatency * mostBlocks / together;

  Estimate result;
  double computeUs = total / (device.clockGhz * 1e3);
  double memoryUs = work.uniqueBytes / (device.memoryGbPerSecond * 1e3);
  result.us = std::max(computeUs, memoryUs) + launchUs;
  result.limit = memoryUs > computeUs        ? Limit::DeviceMemory
                 : waiting > cycles[busiest] ? Limit::Latency
                                             : Limit(busiest);
  result.shareOfLimit = limitUs(device, work) / result.us;
  return result;
}

Work grow(const Work &counted, const Work &modelSmall, const Work &modelLarge) {
  Work work = modelLarge;
  auto scaled = [&](double Work::*field) {
    if (modelSmall.*field > 0)
      work.*field = counted.*field * (modelLarge.*field / modelSmall.*field);
  };
  for (double Work::*field :
       {&Work::multiplyAdds, &Work::exponentials, &Work::slots, &Work::wavefronts, &Work::globalBytes})
    scaled(field);
  // Useful work is the problem's own, however much the kernel computes.
  if (work.multiplyAdds > 0)
    work.usefulShare = modelLarge.usefulShare * modelLarge.multiplyAdds / work.multiplyAdds;
  return work;
}

Work countedWork(const LaunchCounters &counters, const Work &model) {
  auto count = [&](std::string_view name) {
    for (const auto &[known, value] : counters.byName)
      if (known == name)
        return double(value);
    return 0.0;
  };
  Work work = model;
  work.multiplyAdds = count("multiply-adds");
  work.exponentials = 32 * count("special");
  // Moves between registers are PTX's, not the machine's: ptxas folds them.
  work.slots = double(counters.warpInstructions) - count("matrix") - count("move");
  work.wavefronts = count("shared wavefronts");
  work.globalBytes = count("global load bytes") + count("global store bytes") + count("async bytes");
  return work;
}

std::vector<Ranked> rank(const Family &family, const AttentionSpec &spec, const DeviceInfo &device,
                         const ProblemShape &shape, const std::vector<Candidate> &candidates) {
  DeviceFigures figures = figuresFor(device);
  std::vector<Ranked> ranked;
  ranked.reserve(candidates.size());
  for (const Candidate &candidate : candidates) {
    ScheduleCost cost = family.cost(spec, device.arch, candidate);
    Estimate time = estimate(figures, family.work(spec, device.arch, shape, candidate), cost);
    ranked.push_back({candidate, std::move(cost), time, ranked.size()});
  }
  std::sort(ranked.begin(), ranked.end(), [](const Ranked &a, const Ranked &b) {
    return std::pair(a.estimate.us, a.place) < std::pair(b.estimate.us, b.place);
  });
  return ranked;
}

} // namespace attune::tuner
