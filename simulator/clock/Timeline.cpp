//===- Timeline.cpp - a replay in Chrome's trace format -------------------===//
//
// One process an SM; a thread for each warp, for the tensor cores and for the copies. Times are microseconds.
//
//===----------------------------------------------------------------------===//
#include "simulator/clock/Estimate.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace attune::sim {

static std::string jsonText(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", unsigned(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string timelineOf(const Replay &replay, const Machine &machine, double clockGhz) {
  constexpr uint64_t tensorThread = 1, copyThread = 2, firstWarp = 16;
  std::vector<Span> spans;
  for (const Span &s : replay.spans) { // products of one warpgroup in a row are one
    if (s.track == Span::Tensor && !spans.empty())
      if (auto last = std::find_if(spans.rbegin(), spans.rend(),
                                   [&](const Span &o) { return o.track == Span::Tensor && o.sm == s.sm; });
          last != spans.rend() && last->block == s.block && last->index == s.index &&
          s.begin - last->end < 2) {
        last->end = s.end;
        continue;
      }
    spans.push_back(s);
  }
  std::string out = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
  std::set<std::pair<uint32_t, uint64_t>> threads;
  bool first = true;
  auto put = [&](const std::string &event) {
    out += (first ? "\n" : ",\n") + event;
    first = false;
  };
  auto threadOf = [&](const Span &s) {
    return s.track == Span::Tensor   ? tensorThread
           : s.track == Span::Copies ? copyThread
                                     : firstWarp + uint64_t(s.block) * 64 + s.index;
  };
  for (const Span &s : spans) {
    uint64_t thread = threadOf(s);
    if (threads.insert({s.sm, thread}).second)
      put(fmt::format(
          R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":{}}}}})", s.sm, thread,
          jsonText(s.track == Span::Tensor   ? std::string("tensor cores")
                   : s.track == Span::Copies ? std::string("bulk copies")
                                             : fmt::format("block {} warp {}", s.block, s.index))));
    const Program::Line &line = machine.program.statements[machine.program.code[s.pc].statement];
    std::string what = s.track == Span::Tensor   ? fmt::format("block {} warpgroup {}", s.block, s.index)
                       : s.track == Span::Copies ? fmt::format("block {} warp {}", s.block, s.index)
                       : s.stall == Stall::Count ? std::string("issues")
                                                 : std::string(name(s.stall));
    put(fmt::format(
        R"({{"name":{},"ph":"X","pid":{},"tid":{},"ts":{:.4f},"dur":{:.4f},"args":{{"line":{},"instruction":{},"clocks":{:.0f}}}}})",
        jsonText(what), s.sm, thread, s.begin / clockGhz * 1e-3, (s.end - s.begin) / clockGhz * 1e-3,
        line.ptxLine, jsonText(std::string_view(line.text).substr(0, 80)), s.end - s.begin));
  }
  for (uint32_t sm = 0; sm < replay.sms; ++sm)
    put(fmt::format(R"({{"name":"process_name","ph":"M","pid":{},"args":{{"name":"SM {}"}}}})", sm, sm));
  return out + "\n]}\n";
}

} // namespace attune::sim
