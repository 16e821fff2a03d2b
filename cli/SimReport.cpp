//===- SimReport.cpp - what attune sim prints -----------------------------===//
#include "cli/SimReport.h"

#include "cli/Output.h"
#include "cli/SimTime.h"

#include <cstdio>
#include <span>

#include <fmt/format.h>

namespace attune::cli {

using Triple = std::array<uint32_t, 3>;

std::string tripleText(const Triple &t) { return fmt::format("({}, {}, {})", t[0], t[1], t[2]); }

std::string paramType(const sim::Param &p) {
  return p.type == "b8" && p.size > 1 ? fmt::format(".align {} .b8[{}]", p.align, p.size) : "." + p.type;
}

namespace {

std::string tripleJson(const Triple &t) { return fmt::format("[{},{},{}]", t[0], t[1], t[2]); }

//===----------------------------------------------------------------------===//
// --list
//===----------------------------------------------------------------------===//

/// __grid_constant__ const CUtensorMap looks so.
bool mayBeTensorMap(const sim::Param &p) { return p.type == "b8" && p.size == 128 && p.align >= 64; }

std::string limitText(const sim::EntryInfo &e) {
  std::string text;
  if (e.reqntid[0])
    text = fmt::format(", blocks of {} threads", tripleText(e.reqntid));
  else if (e.maxntid[0])
    text = fmt::format(", at most {} threads a block", uint64_t(e.maxntid[0]) * e.maxntid[1] * e.maxntid[2]);
  if (e.reqcluster[0])
    text += fmt::format(", clusters of {} blocks", tripleText(e.reqcluster));
  else if (e.maxClusterRank)
    text += fmt::format(", clusters of at most {} blocks", e.maxClusterRank);
  return text;
}

} // namespace

void printEntries(const sim::Module &module, const sim::EntryInfo *only, bool json) {
  std::span<const sim::EntryInfo> all = only ? std::span(only, 1) : std::span(module.entries());
  if (json) {
    std::vector<std::string> entries;
    for (const sim::EntryInfo &e : all) {
      std::vector<std::string> params;
      for (const sim::Param &p : e.params)
        params.push_back(JsonObject()
                             .text("name", p.name)
                             .text("type", p.type)
                             .whole("offset", p.offset)
                             .whole("size", p.size)
                             .whole("align", p.align)
                             .boolean("may_be_tensor_map", mayBeTensorMap(p))
                             .str());
      JsonObject entry;
      entry.text("name", e.name).raw("params", jsonList(params)).whole("instructions", e.instructions);
      entry.whole("static_shared_bytes", e.staticSharedBytes).whole("local_bytes", e.localBytes);
      if (e.maxntid[0])
        entry.raw("maxntid", tripleJson(e.maxntid));
      if (e.reqntid[0])
        entry.raw("reqntid", tripleJson(e.reqntid));
      if (e.reqcluster[0])
        entry.raw("reqcluster", tripleJson(e.reqcluster));
      if (!e.refusal.empty())
        entry.text("refusal", e.refusal);
      entries.push_back(entry.str());
    }
    fmt::print("{}\n", JsonObject()
                           .text("file", module.fileName())
                           .text("target", module.target())
                           .raw("entries", jsonList(entries))
                           .str());
    return;
  }
  fmt::print("{}: {}, {} {}\n", module.fileName(), module.target(), module.names().size(),
             module.names().size() == 1 ? "entry" : "entries");
  for (const sim::EntryInfo &e : all) {
    fmt::print("\n{}\n", e.name);
    if (!e.refusal.empty())
      fmt::print("  cannot run here:\n{}\n", e.refusal);
    for (size_t n = 0; n < e.params.size(); ++n)
      fmt::print("  {:>3}  {:<18} {}{}\n", n, paramType(e.params[n]), e.params[n].name,
                 mayBeTensorMap(e.params[n]) ? "  (perhaps a tensor map: tensormap:in:x.npy:box=...)" : "");
    fmt::print("  {} instructions, {} bytes of static shared memory, {} bytes of local memory a thread{}\n",
               e.instructions, e.staticSharedBytes, e.localBytes, limitText(e));
  }
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

namespace {

std::string siteJson(const sim::Site &s) {
  JsonObject json;
  json.text("file", s.ptxFile).whole("line", s.ptxLine).text("instruction", s.instruction);
  if (!s.sourceFile.empty())
    json.text("source_file", s.sourceFile).whole("source_line", s.sourceLine);
  return json.str();
}

std::string countersJson(const sim::Counters &counters) {
  JsonObject json;
  for (auto [name, count] : sim::named(counters)) {
    std::string key(name);
    for (char &c : key)
      c = c == ' ' || c == '-' ? '_' : c;
    json.whole(key, int64_t(count));
  }
  return json.str();
}

} // namespace

std::string findingJson(const sim::Finding &f) {
  JsonObject json;
  json.text("kind", sim::name(f.kind)).text("message", f.message).raw("at", siteJson(f.site));
  json.raw("block", tripleJson(f.block)).raw("thread", tripleJson(f.thread)).whole("warp", f.warp);
  json.text("address", fmt::format("0x{:x}", f.address));
  if (f.hasOther) {
    json.raw("other_at", siteJson(f.other)).whole("other_warp", f.otherWarp);
    json.raw("other_block", tripleJson(f.otherBlock));
    if (f.otherThread)
      json.raw("other_thread", tripleJson(*f.otherThread));
  }
  return json.whole("count", int64_t(f.count)).text("text", f.text()).str();
}

void printResultJson(const SimJob &job, const sim::LaunchResult &result,
                     const std::vector<Written> &outputs) {
  JsonObject json;
  json.text("file", job.module->fileName()).text("entry", job.config.entry);
  json.raw("grid", tripleJson(job.config.grid)).raw("block", tripleJson(job.config.block));
  std::vector<std::string> findings, files, notes;
  for (const sim::Finding &f : result.findings)
    findings.push_back(findingJson(f));
  for (const Written &w : outputs)
    files.push_back(JsonObject()
                        .whole("argument", int64_t(w.output.argument))
                        .text("file", w.output.path)
                        .text("array", w.array.describe())
                        .whole("unwritten_bytes", int64_t(w.unwritten))
                        .str());
  for (const std::string &note : result.notes)
    notes.push_back(JsonObject().text("note", note).str());
  json.raw("findings", jsonList(findings)).raw("outputs", jsonList(files));
  json.raw("counters", countersJson(result.counters)).number("seconds", result.counters.seconds);
  if (job.config.trace.see)
    json.raw("trace", jsonList(job.trace)).whole("traced_instructions", int64_t(job.traced));
  if (result.time)
    json.raw("time", timeJson(*result.time));
  if (!result.printed.empty())
    json.text("printed", result.printed);
  json.raw("notes", jsonList(notes)).boolean("checked", job.config.checks);
  json.text("verdict", !result.findings.empty() ? "findings" : job.config.checks ? "clean" : "unchecked");
  fmt::print("{}\n", json.str());
}

void printResultText(const SimJob &job, const sim::LaunchResult &result,
                     const std::vector<Written> &outputs) {
  std::fwrite(result.printed.data(), 1, result.printed.size(), stdout);
  if (!result.printed.empty() && result.printed.back() != '\n')
    fmt::print("\n");
  for (const sim::Finding &f : result.findings)
    fmt::print("{}\n", f.text());
  if (job.counters)
    for (auto [name, count] : sim::named(result.counters))
      fmt::print("{:<20} {:>14}\n", name, count);
  if (job.traced > job.traceLimit)
    fmt::print("the trace shows {} of {} instructions; --trace-limit sets how many\n", job.traceLimit,
               job.traced);
  for (const Written &w : outputs) {
    fmt::print("wrote {}: {}", w.output.path, w.array.describe());
    if (w.unwritten)
      fmt::print("; {} of its {} bytes were never written by the kernel and are 0", w.unwritten,
                 w.array.bytes.size());
    fmt::print("\n");
  }
  if (result.time)
    fmt::print("{}", timeText(*result.time));
  for (const std::string &note : result.notes)
    fmt::print("note: {}\n", note);
  size_t n = result.findings.size();
  fmt::print("{}: {} blocks of {} threads, {} warp instructions in {:.3f} s: {}\n", job.config.entry,
             result.counters.blocks, tripleText(job.config.block), result.counters.warpInstructions,
             result.counters.seconds,
             n                   ? fmt::format("{} finding{}", n, n == 1 ? "" : "s")
             : job.config.checks ? std::string("no findings")
                                 : std::string("no findings, with --no-checks"));
}

} // namespace attune::cli
