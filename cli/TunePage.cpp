//===- TunePage.cpp - a sweep as a page to look at ------------------------===//
#include "cli/TunePage.h"

#include "cli/Sweeps.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace attune::cli {

using namespace tuner;

namespace {

std::string escaped(std::string_view text) {
  std::string result;
  for (char c : text)
    result += c == '<'   ? "&lt;"
              : c == '>' ? "&gt;"
              : c == '&' ? "&amp;"
              : c == '"' ? "&quot;"
                         : std::string(1, c);
  return result;
}

std::string rowsTable(const SweepResult &result, const std::vector<const Entry *> &rows) {
  constexpr size_t shown = 10;
  bool estimate = result.kind == Kind::Estimate;
  std::string text = fmt::format("<div class=wide><table><tr><th>{}<th>of best<th>model<th>family<th>schedule"
                                 "<th>target</tr>",
                                 estimate                ? "clock<th>counters"
                                 : result.clockPairs > 0 ? "time<th>clock"
                                                         : "time");
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row &row = rows[i]->row;
    bool standard = result.standard && rows[i] == &result.entries[*result.standard];
    if (i >= shown && !standard)
      continue;
    bool comparable = isRefined(result.kind, row) == isRefined(result.kind, rows.front()->row);
    std::string time = timeText(row.median);
    if (estimate)
      time = fmt::format("{}<td>{}", isRefined(result.kind, row) ? time : "-", timeText(countersUs(row)));
    else if (result.clockPairs > 0)
      time += "<td>" + (rows[i]->clockUs > 0 ? timeText(rows[i]->clockUs) : "-");
    text += fmt::format("<tr><td>{}<td>{}<td>{}<td>{}<td>{}{}<td>{}</tr>", time,
                        comparable ? fmt::format("{:.3f}", row.median / rows.front()->row.median) : "-",
                        timeText(row.modelUs), escaped(row.family), escaped(row.schedule),
                        standard ? " <b>(the default)</b>" : "", attune::nameOf(row.target));
  }
  return text + "</table></div>";
}

/// What all rows of a sweep have on the same footing.
double commonUs(const SweepResult &result, const Row &row) {
  return result.kind == Kind::Estimate ? countersUs(row) : row.median;
}

/// The best time of each block_q and block_kv: from green at the best to red at twice that.
std::string heatMap(const SweepResult &result, const std::vector<const Entry *> &rows) {
  std::map<int, std::map<int, double>> best; // block_q, block_kv
  std::map<int, int> columns;
  double fastest = INFINITY;
  for (const Entry *entry : rows) {
    const Schedule &schedule = entry->ranked.candidate.schedule;
    int q = schedule.value("block_q"), kv = schedule.value("block_kv");
    if (q <= 0 || kv <= 0)
      continue;
    columns[kv] = 0;
    double us = commonUs(result, entry->row);
    fastest = std::min(fastest, us);
    auto [place, fresh] = best[q].try_emplace(kv, us);
    place->second = std::min(place->second, us);
  }
  constexpr int width = 56, height = 26, margin = 60;
  int column = 0;
  for (auto &[kv, place] : columns)
    place = column++;
  std::string cells;
  int line = 1;
  for (const auto &[q, of] : best) {
    cells += fmt::format("<text x={} y={} text-anchor=end>{}</text>", margin - 6, line * height + 18, q);
    for (const auto &[kv, us] : of) {
      double slower = us / fastest - 1;
      cells += fmt::format(
          "<rect x={} y={} width={} height={} fill='hsl({:.0f} 60% 62%)'><title>{} x {}: {}</title></rect>"
          "<text class=dark x={} y={} text-anchor=middle>{:.2f}</text>",
          margin + columns[kv] * width, line * height, width - 2, height - 2,
          120 * (1 - std::min(slower, 1.0)), q, kv, timeText(us),
          margin + columns[kv] * width + width / 2 - 1, line * height + 17, 1 + slower);
    }
    ++line;
  }
  for (const auto &[kv, place] : columns)
    cells +=
        fmt::format("<text x={} y=18 text-anchor=middle>{}</text>", margin + place * width + width / 2, kv);
  return fmt::format(
      "<div class=wide><svg role=img aria-label='time by block_q and block_kv' width={0} height={1} "
      "viewBox='0 "
      "0 {0} {1}'>{2}</svg></div><p>Rows block_q, columns block_kv; times over the best one's.</p>",
      margin + column * width, (line + 1) * height, cells);
}

/// Time against the model, both logarithmic; on the line they agree.
std::string scatter(const SweepResult &result, const std::vector<const Entry *> &rows) {
  double least = INFINITY, most = 0;
  for (const Entry *entry : rows)
    for (double us : {commonUs(result, entry->row), entry->row.modelUs}) {
      least = std::min(least, us);
      most = std::max(most, us);
    }
  constexpr double size = 320, margin = 30;
  double range = std::max(std::log(most / least), 1e-3);
  auto at = [&](double us) { return margin + (size - 2 * margin) * std::log(us / least) / range; };
  std::string dots;
  for (const Entry *entry : rows)
    dots += fmt::format("<circle cx={:.1f} cy={:.1f} r=4><title>{} {}: {}, model {}</title></circle>",
                        at(entry->row.modelUs), size - at(commonUs(result, entry->row)),
                        escaped(entry->row.schedule), attune::nameOf(entry->row.target),
                        timeText(commonUs(result, entry->row)), timeText(entry->row.modelUs));
  return fmt::format(
      "<svg role=img aria-label='time against the model' viewBox='0 0 {0} {0}' style='max-width:420px'><line "
      "x1={1} y1={2} x2={2} y2={1} />{3}<text x={4} y={5} text-anchor=middle>model, {6} to {7}</text><text "
      "transform='translate(14 {4}) rotate(-90)' text-anchor=middle>time</text></svg>",
      size, margin, size - margin, dots, size / 2, size - 6, timeText(least), timeText(most));
}

/// The share of the winner's time that each pipe works, by the model.
std::string pipes(const Entry &winner) {
  std::string bars;
  for (size_t i = 0; i < numPipes; ++i) {
    double busy = std::min(winner.ranked.estimate.busy[i], 1.0);
    int y = int(i) * 24;
    bars += fmt::format("<text x=66 y={} text-anchor=end>{}</text><rect class=back x=72 y={} width=220 "
                        "height=16 /><rect x=72 "
                        "y={} width={:.0f} height=16 /><text x=298 y={}>{:.0f} %</text>",
                        y + 14, nameOf(Limit(i)), y + 2, y + 2, 220 * busy, y + 14, 100 * busy);
  }
  return fmt::format("<svg role=img aria-label='how busy each pipe is' viewBox='0 0 350 {}' "
                     "style='max-width:460px'>{}</svg>",
                     24 * numPipes, bars);
}

std::string machineCode(const KernelReport &winner) {
  std::string lines;
  auto line = [&](const char *name, const std::string &value) {
    lines += fmt::format("<tr><th>{}<td>{}</tr>", name, escaped(value));
  };
  const KernelInfo &kernel = winner.kernel->mainKernel();
  line("threads", fmt::format("{} a block", kernel.threads));
  line("shared memory", fmt::format("{} a block", kilobytes(kernel.sharedBytes)));
  if (const AssemblerReport *used = winner.kernel->mainReport()) {
    line("registers", fmt::format("{} a thread", used->registers));
    line("spills", fmt::format("{} bytes stored, {} loaded", used->spillStores, used->spillLoads));
    line("blocks an SM", fmt::format("{}", winner.kernel->blocksPerSm().value_or(0)));
  }
  for (const LoopSlots &loop : winner.loops)
    line("inner loop", fmt::format("{:.2f} issue slots a score element, {} instructions, {} of them matrix",
                                   loop.slotsPerElement, loop.instructions, loop.matrix));
  if (!winner.slotsNote.empty())
    line("inner loops", winner.slotsNote);
  return "<table>" + lines + "</table>";
}

} // namespace

std::string sweepSection(const SweepTask &task, const SweepResult &result, const DeviceInfo &device,
                         const KernelReport *winner) {
  std::vector<const Entry *> rows;
  for (size_t place : byTime(result))
    rows.push_back(&result.entries[place]);
  std::string text = fmt::format(
      "<section><h2>{}</h2><p>{}<br>{}<br><code>{}</code></p>", escaped(shapeText(task.shape)),
      escaped(device.name),
      result.kind == Kind::Measured
          ? "measured, median of launches behind a flush of L2"
          : "estimates: the simulator's counters, and of the best the virtual clock; no GPU's time",
      escaped(task.subject.spec));
  if (rows.empty()) {
    text += "<p>Nothing passed.</p>";
  } else {
    text += "<h3>The fastest</h3>" + rowsTable(result, rows);
    text += "<h3>Tiles</h3>" + heatMap(result, rows);
    text += fmt::format("<h3>Time against the model</h3><p>Kendall's tau {:.2f} of {} schedules.</p>",
                        result.record.tau, result.record.tauPairs) +
            (result.clockPairs > 0 ? fmt::format("<p>Of the virtual clock {:.2f} of {} schedules.</p>",
                                                 result.clockTau, result.clockPairs)
                                   : "") +
            scatter(result, rows);
    text += fmt::format("<h3>Pipes</h3><p>The share of the winner's time that each is busy, by the model; "
                        "the device's limit "
                        "for the problem is {:.0f} % of its time.</p>",
                        100 * rows.front()->row.shareOfLimit) +
            pipes(*rows.front());
    if (winner)
      text += "<h3>The winner's machine code</h3>" + machineCode(*winner);
    if (!result.clockFailure.empty())
      text += fmt::format("<p>The virtual clock refined no more of the best: {}.</p>",
                          escaped(result.clockFailure));
  }
  text += fmt::format("<h3>Refused</h3><p>{} of {} candidates were tried in {:.1f} s ({}).</p><table>",
                      result.record.tried, task.candidates.size(), result.record.seconds,
                      escaped(result.record.outcome));
  for (const auto &[reason, count] : result.record.refusals)
    text += fmt::format("<tr><td>{}<td>{}</tr>", count, escaped(reason));
  return text + "</table></section>\n";
}

std::string sweepPage(const std::vector<std::string> &sections) {
  std::string page = R"(<!doctype html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">
<title>attune tune</title><style>
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:auto;padding:0 1rem 3rem;overflow-wrap:anywhere}
h1{font-size:1.5rem}h2{font-size:1.2rem;border-top:1px solid;padding-top:1rem}h3{font-size:1rem}
.wide{overflow-x:auto}table{border-collapse:collapse}th,td{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
th,.wide td{white-space:nowrap}svg{display:block;font-size:12px}svg:not([width]){width:100%}
text{fill:currentColor}text.dark{fill:#111}circle,rect:not([fill]){fill:#3b78c4}rect.back{fill:#8883}line{stroke:#888}
</style></head><body><h1>attune tune</h1>
)";
  for (const std::string &section : sections)
    page += section;
  return page + "</body></html>\n";
}

} // namespace attune::cli
