//===- SimTime.cpp - the virtual clock for people and JSON ----------------===//
#include "cli/SimTime.h"
#include "cli/Output.h"

#include <algorithm>
#include <fmt/format.h>

namespace attune::cli {

/// Instructions that a report for people shows, and one for programs.
constexpr size_t kShownLines = 12, kJsonLines = 200;

void timeOptions(CommandLine &line) {
  const char *group = "The virtual clock";
  line.flag("--time", "estimate how long the kernel takes on a GPU, and where its time goes", group);
  line.option("--time-gpu", "GPU", "such as H200 (the target's reference GPU)", group);
  line.option("--time-blocks", "N",
              "blocks to follow, from which the grid's time is extrapolated (two for each that an "
              "SM holds, at least 4)",
              group);
  line.option("--time-registers", "N", "registers of a thread, as ptxas -v tells (estimated)", group);
  line.flag("--time-alone", "run no other blocks than those that are followed: results stay incomplete",
            group);
  line.option("--timeline", "FILE",
              "write the followed blocks' warps over time (Chrome trace format, for Perfetto)", group);
}

sim::TimeConfig readTime(CommandLine &line, std::string &timeline) {
  sim::TimeConfig config;
  config.on = line.has("--time") || line.has("--timeline");
  for (const char *option : {"--time-gpu", "--time-blocks", "--time-registers", "--time-alone"})
    if (line.has(option) && !config.on)
      line.problem(option, "expected it with --time or --timeline only");
  config.gpu = line.text("--time-gpu");
  config.sample = uint32_t(line.whole("--time-blocks", 0, 1, 4096));
  config.registers = uint32_t(line.whole("--time-registers", 0, 1, 255));
  config.onlySample = line.has("--time-alone");
  config.timeline = line.has("--timeline");
  if (config.timeline)
    timeline = line.output("--timeline");
  return config;
}

static std::string shorten(std::string_view text, size_t most) {
  std::string out;
  for (char c : text)
    if (c != '\n' && !(c == ' ' && !out.empty() && out.back() == ' '))
      out += c == '\t' ? ' ' : c;
  return out.size() > most ? out.substr(0, most - 3) + "..." : out;
}

static std::string duration(double seconds) {
  return seconds < 1e-3 ? fmt::format("{:.2f} us", seconds * 1e6) : fmt::format("{:.3f} ms", seconds * 1e3);
}

std::string timeText(const sim::TimeReport &r) {
  std::string out = fmt::format("time on {}{}: {} ({:.0f} clocks at {:.2f} GHz), and {} to launch it\n",
                                r.gpu, r.measured ? "" : " (data sheet)", duration(r.seconds), r.cycles,
                                r.clockGhz, duration(r.launchUs * 1e-6));
  if (r.matrixFlops > 0)
    out += fmt::format("  {:.1f} TFLOP/s by the tensor cores\n", r.teraflops());
  out += fmt::format("  {} block{} on {:.2f} waves; an SM holds {} ({}), with {} registers a thread\n",
                     r.blocks, r.blocks == 1 ? "" : "s", r.waves, r.residents, r.limit, r.registers);
  double least = 0, most = 0, sum = 0;
  for (const sim::BlockTime &b : r.followed) {
    double clocks = b.end - b.start;
    least = sum == 0 ? clocks : std::min(least, clocks);
    most = std::max(most, clocks);
    sum += clocks;
  }
  if (!r.followed.empty())
    out += fmt::format("  a block takes {:.0f} clocks ({:.0f} to {:.0f}; {} followed)\n",
                       sum / double(r.followed.size()), least, most, r.followed.size());
  out += fmt::format("  at least {:.0f} clocks for memory, {:.0f} for L2\n", r.memoryCycles, r.l2Cycles);
  out += fmt::format(
      "  busy: tensor cores {:.1f} %, issue {:.1f} %, FMA {:.1f} %, ALU {:.1f} %, MUFU {:.1f} %, shared "
      "memory {:.1f} %\n",
      100 * r.tensor, 100 * r.issue, 100 * r.fma, 100 * r.alu, 100 * r.mufu, 100 * r.shared);
  double total = r.issuing;
  for (double s : r.stalls)
    total += s;
  std::vector<std::pair<double, std::string_view>> stalls = {{r.issuing, "issuing"}};
  for (size_t k = 0; k < sim::kStalls; ++k)
    stalls.push_back({r.stalls[k], sim::name(sim::Stall(k))});
  std::sort(stalls.begin(), stalls.end(), [](auto &a, auto &b) { return a.first > b.first; });
  out += "  a warp's time:";
  for (auto [clocks, what] : stalls)
    if (clocks > 0.005 * total)
      out += fmt::format(" {} {:.1f} %", what, 100 * clocks / total);
  out += "\n  most time at\n";
  for (size_t k = 0; k < std::min(kShownLines, r.lines.size()); ++k) {
    const sim::LineTime &line = r.lines[k];
    size_t worst = size_t(std::max_element(line.stalls.begin(), line.stalls.end()) - line.stalls.begin());
    out += fmt::format(
        "  {:5.1f} %  line {:<6}{} {}\n", 100 * line.total() / std::max(total, 1.0), line.ptxLine,
        line.stalls[worst] > 0 ? fmt::format("{:<14}", sim::name(sim::Stall(worst))) : std::string(14, ' '),
        shorten(line.instruction, 70) +
            (line.sourceFile.empty() ? "" : fmt::format("  ({}:{})", line.sourceFile, line.sourceLine)));
  }
  for (const std::string &note : r.notes)
    out += fmt::format("  note: {}\n", note);
  return out;
}

static std::string stallsJson(const std::array<double, sim::kStalls> &stalls) {
  JsonObject json;
  for (size_t k = 0; k < sim::kStalls; ++k) {
    std::string key(sim::name(sim::Stall(k)));
    std::replace(key.begin(), key.end(), ' ', '_');
    if (stalls[k] > 0)
      json.number(key, stalls[k]);
  }
  return json.str();
}

std::string timeJson(const sim::TimeReport &r) {
  std::vector<std::string> followed, lines, notes;
  for (const sim::BlockTime &b : r.followed)
    followed.push_back(
        JsonObject().whole("block", int64_t(b.block)).number("start", b.start).number("end", b.end).str());
  for (size_t k = 0; k < std::min(kJsonLines, r.lines.size()); ++k) {
    const sim::LineTime &line = r.lines[k];
    JsonObject json;
    json.whole("line", line.ptxLine)
        .text("instruction", line.instruction)
        .whole("issued", int64_t(line.issued));
    if (!line.sourceFile.empty())
      json.text("source_file", line.sourceFile).whole("source_line", line.sourceLine);
    lines.push_back(json.raw("stalls", stallsJson(line.stalls)).str());
  }
  for (const std::string &note : r.notes)
    notes.push_back(JsonObject().text("note", note).str());
  JsonObject busy;
  busy.number("tensor", r.tensor).number("issue", r.issue).number("fma", r.fma).number("alu", r.alu);
  busy.number("mufu", r.mufu).number("shared", r.shared);
  JsonObject json;
  json.text("gpu", r.gpu)
      .boolean("measured", r.measured)
      .number("seconds", r.seconds)
      .number("clocks", r.cycles);
  json.number("clock_ghz", r.clockGhz).number("launch_us", r.launchUs).number("tflops", r.teraflops());
  json.whole("blocks", int64_t(r.blocks)).number("waves", r.waves).whole("blocks_an_sm", r.residents);
  json.text("limited_by", r.limit)
      .whole("registers", r.registers)
      .boolean("registers_guessed", r.registersGuessed);
  json.number("memory_clocks", r.memoryCycles).number("l2_clocks", r.l2Cycles);
  json.raw("busy", busy.str()).number("issuing", r.issuing).raw("stalls", stallsJson(r.stalls));
  json.raw("followed", jsonList(followed)).raw("lines", jsonList(lines)).raw("notes", jsonList(notes));
  return json.str();
}

} // namespace attune::cli
