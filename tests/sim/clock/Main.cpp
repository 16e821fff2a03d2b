//===- Main.cpp - the virtual clock against a GPU's -----------------------===//
//
// sim_clock_bench FILE [--only TEXT] [--brief]: runs each loop of the file (h100.txt says how they are
// written) in the simulator with its clock, and prints measured and predicted clocks. Exit status 1 if any is
// more than 10 % off.
//
//===----------------------------------------------------------------------===//
#include "Loops.h"
#include "simulator/Simulator.h"

#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <sstream>

using namespace attune;

/// Clocks of one step of the loop.
static double clocksOf(const clockloops::Loop &loop) {
  auto module = sim::parseModule(loop.ptx, "loop.ptx");
  if (!module) {
    fmt::print(stderr, "{}\n", module.error().message);
    std::exit(2);
  }
  double clocks[2];
  constexpr uint32_t rounds[2] = {6, 14};
  for (int k = 0; k < 2; ++k) {
    sim::GlobalMemory memory;
    uint64_t buffer = *memory.allocate(1 << 16, "memory");
    (void)memory.fill(buffer, 0x3c, 1 << 16);
    sim::LaunchConfig c;
    c.entry = "k";
    c.block = {loop.threads, 1, 1};
    c.dynamicShared = loop.shared;
    c.params.resize(16);
    std::memcpy(c.params.data(), &rounds[k], 4);
    std::memcpy(c.params.data() + 8, &buffer, 8);
    c.checks = false;
    c.time.on = true;
    c.time.gpu = "H100";
    auto result = sim::launch(**module, memory, c);
    if (!result || !result->findings.empty()) {
      fmt::print(stderr, "{}\n", result ? result->findings[0].text() : result.error().message);
      std::exit(2);
    }
    clocks[k] = result->time->followed.at(0).end;
  }
  return (clocks[1] - clocks[0]) / (rounds[1] - rounds[0]) / loop.steps;
}

int main(int argc, char **argv) {
  std::string file, only;
  bool brief = false;
  int mostOff = 0, off = 0;
  for (int k = 1; k < argc; ++k)
    if (std::string(argv[k]) == "--brief")
      brief = true;
    else if (std::string(argv[k]) == "--most-off" && k + 1 < argc)
      mostOff = std::atoi(argv[++k]);
    else if (std::string(argv[k]) == "--only" && k + 1 < argc)
      only = argv[++k];
    else
      file = argv[k];
  std::ifstream in(file);
  if (!in) {
    fmt::print(stderr, "expected a file of measured loops, got '{}'\n", file);
    return 2;
  }
  struct Sum {
    int loops = 0, off = 0;
    double worst = 1, log = 0;
  };
  std::map<std::string, Sum> sums;
  for (std::string text; std::getline(in, text);) {
    if (text.empty() || text[0] == '#' || text.find(only) == text.npos)
      continue;
    std::istringstream line(text);
    std::string kind, rest;
    double measured;
    line >> kind >> measured;
    clockloops::Loop loop;
    if (kind == "attention") {
      unsigned d, keys, groups;
      std::string kv, wg, flow, turns, lazy;
      line >> d >> kv >> wg >> flow >> turns >> lazy;
      keys = unsigned(std::stoul(kv.substr(2)));
      groups = unsigned(std::stoul(wg));
      using enum clockloops::Flow;
      loop = clockloops::attention({d, keys, groups,
                                    flow == "serial"    ? Serial
                                    : flow == "chained" ? Chained
                                    : flow == "overlap" ? Overlap
                                                        : Loose,
                                    turns == "free"         ? clockloops::Turns::Free
                                    : turns == "turn-issue" ? clockloops::Turns::Issue
                                                            : clockloops::Turns::Softmax,
                                    lazy == "lazy", 0});
    } else if (kind == "chain") {
      unsigned chains, warps;
      line >> chains >> warps;
      std::getline(line, rest);
      loop = clockloops::chains(rest, chains, warps);
    } else if (kind == "mix") {
      unsigned which, warps;
      line >> which >> warps;
      loop = clockloops::mix(clockloops::Mix(which), warps);
    } else if (kind == "rate") {
      unsigned n, groups;
      std::string a, b;
      line >> n >> a >> b >> groups;
      loop = clockloops::matrixRate(n, a == "registers", b == "MN", groups);
    } else if (kind == "latency") {
      unsigned n, count;
      std::string a;
      line >> n >> a >> count;
      loop = clockloops::matrixLatency(n, a == "registers", count);
    }
    double predicted = clocksOf(loop), ratio = predicted / measured;
    Sum &sum = sums[kind];
    ++sum.loops;
    bool isOff = std::abs(ratio - 1) > 0.1;
    sum.off += isOff;
    sum.log += std::abs(std::log(ratio));
    if (std::abs(std::log(ratio)) > std::abs(std::log(sum.worst)))
      sum.worst = ratio;
    if (!brief || isOff)
      fmt::print("{:<64} {:9.2f} {:9.2f} {:6.3f}{}\n", kind + text.substr(text.find(' ', kind.size() + 1)),
                 measured, predicted, ratio, isOff ? " <-" : "");
  }
  for (auto &[kind, s] : sums) {
    fmt::print("{}: {} of {} loops within 10 %, on average {:.1f} % off, the worst predicted at {:.2f} of "
               "the measured time\n",
               kind, s.loops - s.off, s.loops, 100 * s.log / s.loops, s.worst);
    off += s.off;
  }
  return off > mostOff;
}
