//===- SimTrace.cpp - a warp's instructions for people and JSON -----------===//
#include "cli/SimTrace.h"

#include "cli/Output.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

namespace attune::cli {

namespace {

/// Instructions stand in the PTX with its line breaks and tabs.
std::string onOneLine(std::string_view text) {
  std::string line;
  for (char c : text)
    if (!std::isspace(static_cast<unsigned char>(c)) || (!line.empty() && line.back() != ' '))
      line += std::isspace(static_cast<unsigned char>(c)) ? ' ' : c;
  return line;
}

std::string valueText(const sim::TraceValue &v, uint64_t bits) {
  if (v.type == "pred")
    return bits ? "true" : "false";
  if (v.type == "f32")
    return fmt::format("{}", std::bit_cast<float>(uint32_t(bits)));
  if (v.type == "f64")
    return fmt::format("{}", std::bit_cast<double>(bits));
  if (v.type == "s32")
    return fmt::format("{}", int32_t(bits));
  if (v.type == "s64")
    return fmt::format("{}", int64_t(bits));
  if (v.type == "f16" || v.type == "bf16" || v.type == "f16x2" || v.type == "bf16x2" || bits >> 20)
    return fmt::format("0x{:x}", bits);
  return fmt::format("{}", bits);
}

std::string lanesText(const sim::TraceValue &v, uint32_t lanes) {
  uint32_t first = uint32_t(std::countr_zero(lanes));
  bool wide = v.type.ends_with("64"),
       isFloat = v.type[0] == 'f' || v.type[0] == 'p' || v.type.starts_with("bf");
  bool uniform = true, even = !isFloat && std::popcount(lanes) > 2;
  auto difference = [&](uint64_t a, uint64_t b) { return wide ? int64_t(a - b) : int64_t(int32_t(a - b)); };
  uint32_t second = uint32_t(std::countr_zero(lanes & (lanes - 1)));
  int64_t step = second < 32 ? difference(v.lanes[second], v.lanes[first]) / int64_t(second - first) : 0;
  for (uint32_t l = first; l < 32; ++l) {
    if (!(lanes >> l & 1))
      continue;
    uniform &= v.lanes[l] == v.lanes[first];
    even &= difference(v.lanes[l], v.lanes[first]) == step * int64_t(l - first);
  }
  if (uniform)
    return valueText(v, v.lanes[first]);
  if (even)
    return fmt::format("{} {} {} a lane", valueText(v, v.lanes[first]), step < 0 ? '-' : '+', std::abs(step));
  std::string text;
  for (uint32_t l = 0; l < 32; ++l)
    text += (l ? " " : "") + (lanes >> l & 1 ? valueText(v, v.lanes[l]) : std::string("-"));
  return text;
}

} // namespace

std::string traceText(const sim::TraceStep &step) {
  std::string text = fmt::format("{:>6}  {}", step.ptxLine, onOneLine(step.instruction));
  if (!step.sourceFile.empty())
    text += fmt::format("  ({}:{})", step.sourceFile, step.sourceLine);
  if (step.executed != ~0u)
    text += fmt::format("  lanes 0x{:08x}", step.executed);
  text += '\n';
  // Of an instruction that no lane executed the operands still tell why.
  uint32_t lanes = step.executed ? step.executed : step.active;
  if (!lanes)
    return text;
  for (bool written : {false, true})
    for (const sim::TraceValue &v : step.values)
      if (v.written == written && (step.executed || !written))
        text += fmt::format("        {} {} {}\n", v.name, written ? "=" : "is",
                            lanesText(v, v.type == "pred" ? step.active : lanes));
  return text;
}

std::string traceJson(const sim::TraceStep &step) {
  JsonObject json;
  json.whole("line", step.ptxLine).text("instruction", onOneLine(step.instruction));
  if (!step.sourceFile.empty())
    json.text("source_file", step.sourceFile).whole("source_line", step.sourceLine);
  json.text("active", fmt::format("0x{:08x}", step.active));
  json.text("executed", fmt::format("0x{:08x}", step.executed));
  std::vector<std::string> values;
  for (const sim::TraceValue &v : step.values) {
    std::vector<std::string> lanes;
    for (uint64_t bits : v.lanes)
      lanes.push_back(fmt::format("{}", bits));
    values.push_back(JsonObject()
                         .text("name", v.name)
                         .text("type", v.type)
                         .boolean("written", v.written)
                         .raw("lanes", jsonList(lanes))
                         .str());
  }
  return json.raw("values", jsonList(values)).str();
}

} // namespace attune::cli
