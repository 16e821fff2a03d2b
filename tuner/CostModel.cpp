//===- CostModel.cpp - how long a candidate should take -------------------===//
#include "tuner/CostModel.h"

#include <algorithm>
#include <cmath>

namespace attune::tuner {

GpuFigures figuresFor(const DeviceInfo &device) {
  GpuFigures figures = gpuFiguresFor(device.name, device.computeCapability);
  if (device.multiprocessors > 0)
    figures.multiprocessors = device.multiprocessors;
  if (device.clockKhz > 0) {
    figures.loadedGhz *= device.clockKhz * 1e-6 / figures.clockGhz;
    figures.clockGhz = device.clockKhz * 1e-6;
  }
  return figures;
}

const std::array<Coefficients::Field, 11> &Coefficients::fields() {
  using C = Coefficients;
  static const std::array<Field, 11> all = {{
      {"softmax", &C::softmax, 1, 2},
      {"nvrtc_softmax", &C::nvrtcSoftmax, 0.8, 1.2},
      {"step", &C::step, 0, 80},
      {"nvrtc_step", &C::nvrtcStep, 0.5, 2},
      {"sharing", &C::sharing, 2, 8},
      {"chain", &C::chain, 0.5, 4},
      {"copy", &C::copy, 0.5, 4},
      {"skew", &C::skew, 0, 80},
      {"drift", &C::drift, 0.2, 1},
      {"pressure", &C::pressure, 0, 1},
      {"tail", &C::tail, 0, 1.5},
  }};
  return all;
}

std::string_view nameOf(Limit limit) {
  constexpr std::string_view names[] = {"matrix", "exp", "alu", "issue", "shared", "L2", "memory", "latency"};
  return names[size_t(limit)];
}

double limitUs(const GpuFigures &device, const Work &work) {
  double share = work.usefulShare / device.multiprocessors / (device.clockGhz * 1e3);
  return std::max({work.multiplyAdds * share / std::max(device.mmaSync, device.wgmma),
                   work.exponentials * share / (32 * device.mufu),
                   work.uniqueBytes / (device.memoryGbPerSecond * 1e3)});
}

namespace {

/// Times that are partly spent beside each other: their sum for exponent 1, the largest for a large one.
double beside(double a, double b, double exponent) {
  double most = std::max(a, b);
  return most <= 0
             ? 0
             : most * std::pow(std::pow(a / most, exponent) + std::pow(b / most, exponent), 1 / exponent);
}

/// How pipes of one station add up: measured mixes of softmax instructions (8.6 cycles an element for 8 of
/// MUFU, 3 of the half-rate pipe and 4.5 issued; 10.0 with 7 and 6.5) give 3.
constexpr double stationExponent = 3;
/// Of bounds that queues know nothing of: nearly the larger one.
constexpr double boundExponent = 16;

/// Steps of one SM: what each needs of the pipes, in cycles, and what it waits for.
class StepTime {
public:
  StepTime(const GpuFigures &device, const Work &work, const Coefficients &fit)
      : device(device), work(work), fit(fit) {
    double steps = std::max(work.steps, 1.0);
    double macs = work.multiplyAdds / steps;
    tensor = macs / (work.wgmma && device.wgmma > 0 ? device.wgmma : device.mmaSync);
    shared = work.wavefronts / steps * 128 / device.sharedBytes;
    exponential = work.exponentials / steps / (32 * device.mufu);
    alu = work.alu / steps / device.alu;
    // A matrix instruction takes a slot too: m16n8k16, or a warpgroup's, which are too few to count.
    issue = (work.slots / steps + (work.wgmma ? 0 : macs / 2048)) / device.issue;
    l2 = work.globalBytes / steps / device.l2Bytes;
    products = work.wgmma ? std::max(tensor, shared) : beside(tensor, shared, fit.sharing);
    double pressure = 1 + fit.pressure * std::max(0, work.registers - 230) / 100.0;
    double element = fit.softmax * pressure * (work.nvrtc ? fit.nvrtcSoftmax : 1);
    double fixed = fit.step * (work.nvrtc ? fit.nvrtcStep : 1) * work.warps;
    double softmaxIssue = std::min(issue, work.exponentials / steps * 5 / 32 / device.issue);
    softmax =
        element * beside(beside(exponential, alu, stationExponent), softmaxIssue, stationExponent) + fixed;
    chain = fit.chain *
            (2 * (work.wgmma ? device.wgmmaLatency / 2 : device.mmaLatency + device.sharedLatency) +
             2 * (device.shuffleLatency + 2 * device.aluLatency) + device.mufuLatency + device.blockBarrier);
    if (work.stages == 1)
      chain += device.blockBarrier;
    if (work.strands == 0)
      chain += fit.skew * std::max(0, work.warps - 4);
    copy = fit.copy * device.l2Latency;
  }

  /// Cycles from one block's step to the next one's, with `blocks` on the SM.
  double of(double blocks) const {
    // A block of fewer warps than there are schedulers takes longer for itself, and leaves room for others.
    double schedulers = std::max(1.0, device.issue / work.warps);
    double customers =
        blocks * (work.strands ? work.strands : 1 + fit.drift * std::max(0.0, work.warps / device.issue - 1));
    double parts = customers / blocks;
    double waitsAlone = chain + (schedulers - 1) * (products + softmax);
    // Mean value analysis of a closed queue (Schweitzer's approximation): who comes finds the mean of the
    // others there.
    double others = customers > 1 ? (customers - 1) / customers : 0;
    double atProducts = customers / 3, atSoftmax = customers / 3, rate = 0;
    for (int round = 0; round < 16; ++round) {
      double first = products / parts * (1 + others * atProducts),
             second = softmax / parts * (1 + others * atSoftmax);
      double a = first * parts + (schedulers - 1) * products, b = second * parts + (schedulers - 1) * softmax;
      rate = customers / (first + second + waitsAlone + waiting(a, b));
      atProducts = (atProducts + rate * first) / 2;
      atSoftmax = (atSoftmax + rate * second) / 2;
    }
    return beside(parts / rate, std::max(l2, issue), boundExponent);
  }

  /// Cycles of a block outside its steps.
  double outside() const {
    return copy + chain + work.firstBytes / device.l2Bytes + 1.5 * work.filledBytes / 512 / device.issue;
  }

  double tensor, shared, exponential, alu, issue, l2;

private:
  /// What is left of a copy's latency, on the average, when its data is needed. Latencies scatter with a long
  /// tail, since copies queue at L2: Lomax's distribution of exponent 3, with the mean `copy`.
  double waiting(double products, double softmax) const {
    auto left = [&](double ahead) { return copy * std::pow(1 + ahead / (2 * copy), -2); };
    // One slot each: V is asked for when the scores begin, the next K when they are done.
    if (work.stages == 1)
      return left(products / 2) + left(products / 2 + softmax);
    return left((work.stages - 1) * (products + softmax));
  }

  const GpuFigures &device;
  const Work &work;
  const Coefficients &fit;
  double products, softmax, chain, copy;
};

} // namespace

Estimate estimate(const GpuFigures &device, const Work &work, const ScheduleCost &cost,
                  const Coefficients &fit) {
  StepTime step(device, work, fit);
  double sms = device.multiprocessors, blocks = double(std::max<int64_t>(work.blocks, 1));
  double together = std::max(1, cost.blocksPerSm), mean = work.steps / blocks, outside = step.outside();
  const double full = step.of(together);
  // `n` blocks that begin together on an SM.
  auto turn = [&](double n) { return n * mean * (n == together ? full : step.of(n)) + outside; };
  // Blocks that come as others leave.
  double flow = blocks / sms * (mean * full + outside / together);
  double whole = std::floor(blocks / (sms * together)), rest = blocks - whole * sms * together;
  double turns = whole * turn(together) + (rest > 0 ? turn(std::ceil(rest / sms)) : 0);
  double cycles;
  if (whole == 0) // the longest block is there from the beginning
    cycles = std::max(turn(std::ceil(rest / sms)), work.longestBlock * mean * step.of(1) + outside);
  else if (work.longestBlock > 1.05) // longest first: what is left at the end is short
    cycles = flow + fit.tail * together * mean * full;
  else // between blocks that stay in step and blocks that do not
    cycles = (turns + flow) / 2;

  Estimate result;
  double memoryUs = work.uniqueBytes / (device.memoryGbPerSecond * 1e3);
  result.us = std::max(cycles / (device.loadedGhz * 1e3), memoryUs) + device.launchUs;
  double steps = work.steps / sms / (device.loadedGhz * 1e3) / result.us;
  result.busy = {step.tensor * steps, step.exponential * steps, step.alu * steps,    step.issue * steps,
                 step.shared * steps, step.l2 * steps,          memoryUs / result.us};
  size_t busiest = size_t(std::max_element(result.busy.begin(), result.busy.end()) - result.busy.begin());
  result.limit = result.busy[busiest] < 0.5 ? Limit::Latency : Limit(busiest);
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

std::vector<Ranked> rank(const AttentionSpec &spec, const DeviceInfo &device, const ProblemShape &shape,
                         const std::vector<Candidate> &candidates) {
  GpuFigures figures = figuresFor(device);
  std::vector<Ranked> ranked;
  ranked.reserve(candidates.size());
  for (const Candidate &candidate : candidates) {
    const Family &family = familyOf(candidate);
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
