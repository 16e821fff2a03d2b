//===- Compile.cpp - attune compile ---------------------------------------===//
#include "cli/Advice.h"
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Report.h"
#include "compiler/Compiler.h"
#include "runtime/io/File.h"
#include "runtime/jit/ProgramBuild.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

namespace attune::cli {

namespace {

/// What can be asked for and fed back, in the order of the ladder; PTX is behind CUDA C++ there, for NVRTC
/// makes it of that.
enum Rung { Spec, Attn, Tile, Thread, LLVM, Cuda, Ptx, Cubin };
const std::vector<std::string> rungNames = {"spec", "attn", "tile", "thread", "llvm", "cuda", "ptx", "cubin"};

struct Job {
  AttentionSpec spec;
  CompileOptions options;
  std::optional<Rung> from; ///< the stage that `file` holds; none: a spec
  std::string file;
  Rung emit = Ptx;
  bool textAsked = true; ///< with --report alone, no text is printed
  std::string output;    ///< empty: standard output
  bool report = false, json = false;
  Cache cache;
  std::string advised; ///< why the schedule was chosen, by the tuner; empty: the compiler says
};

Stage stageOf(Rung rung) {
  switch (rung) {
  case Spec:
  case Attn:
    return Stage::Attn;
  case Tile:
    return Stage::Tile;
  case Thread:
    return Stage::Thread;
  case LLVM:
    return Stage::LLVM;
  default:
    return Stage::Text;
  }
}

/// Reads and checks everything; mistakes go to `line`.
Job readJob(CommandLine &line) {
  Job job;
  job.report = line.has("--report");
  job.json = line.has("--json");
  job.output = line.output("-o", CommandLine::Dash::StandardOutput);
  job.options.arch = line.arch("--arch", "sm_80");
  job.options.dump = line.dump("--dump-dir");
  job.cache = line.cache();

  if (line.has("--from"))
    job.from = Rung(1 + line.choice("--from", {rungNames.begin() + Attn, rungNames.begin() + Cubin}, 0));
  // What the stages say about the target need not be said again.
  bool cudaText = job.from == Cuda || line.text("--emit") == "cuda";
  bool ptxText = job.from == Ptx || job.from == LLVM;
  job.options.target = Target(line.choice("--target", {"ptx", "cuda"}, cudaText ? 1 : 0));
  if (cudaText && job.options.target == Target::PTX)
    line.problem("--target", "expected cuda for the stage cuda, got ptx");
  if (ptxText && job.options.target == Target::CUDA)
    line.problem("--target", fmt::format("expected ptx for the stage {}, got cuda", rungNames[*job.from]));
  // What a target's text is lowered to is the stage after it; the text itself is there already.
  Rung next = job.from == Cuda                     ? Ptx
              : job.from == Ptx                    ? Cubin
              : job.options.target == Target::CUDA ? Cuda
                                                   : Ptx;
  job.emit = Rung(line.choice("--emit", rungNames, next));
  job.textAsked = line.has("--emit") || !job.output.empty() || !job.report;
  if (job.emit == LLVM && job.options.target == Target::CUDA)
    line.problem("--emit",
                 "expected a stage of target cuda (attn, tile, thread, cuda, ptx or cubin), got llvm");
  bool isText = job.from && *job.from >= Cuda; // taken as it is: emitting it would be copying the file
  if (job.from && (job.emit < *job.from || (isText && job.emit == *job.from)))
    line.problem("--emit",
                 fmt::format("expected {}{}, for the file holds that, got {}", isText ? "a stage after " : "",
                             isText ? std::string(rungNames[*job.from])
                                    : rungNames[*job.from] + " or a stage after it",
                             rungNames[job.emit]));
  if (job.report && job.emit < Cuda)
    line.problem("--report",
                 fmt::format("expected a stage that has machine code (ptx, cuda or cubin), got {}",
                             rungNames[job.emit]));
  if (job.emit == Cubin && job.textAsked && job.output.empty() && (job.json || isatty(STDOUT_FILENO)))
    line.problem("-o",
                 "expected a file for the cubin, which is no text, got none; --report prints what it needs");

  job.file = line.text("SPEC");
  if (!job.from) {
    job.spec = line.readSpec();
    job.advised = takeAdvice(line, job.options.target, job.spec, job.options);
  } else if (line.has("--shape")) {
    line.problem("--shape", "expected a spec to choose a schedule for, got a later stage (--from)");
  } else if (line.hasSpecFlags()) {
    line.problem("--from", "expected no flags of the spec, for the stage has it all");
  } else if (job.file.empty()) {
    line.lacking("--from", "a file with the stage's text");
  }
  return job;
}

Result<std::string> readStage(const std::string &path) {
  if (path != "-")
    return readFile(path);
  std::string text;
  char buffer[65536];
  while (size_t got = std::fread(buffer, 1, sizeof buffer, stdin))
    text.append(buffer, got);
  return text;
}

/// The kernel's text at the stage where `--emit` stops.
Result<KernelText> lower(const Job &job, StageTimes &times) {
  CompileOptions options = job.options;
  options.emit = stageOf(job.emit);
  StageClock clock;
  auto done = [&](Result<KernelText> text) {
    times.emplace_back("generate", clock.lap());
    if (text && !job.advised.empty())
      text->why = job.advised;
    return text;
  };
  if (!job.from)
    return done(compile(job.spec, options));
  Result<std::string> text = readStage(job.file);
  if (!text)
    return text.error();
  return done(compileFrom(stageOf(*job.from), *text, job.file == "-" ? "<stdin>" : job.file, options));
}

/// Everything down to machine code, as far as this machine has the tools.
Result<BuiltProgram> build(const Job &job, const Toolchain &tools) {
  CubinNeed need = job.emit == Cubin && job.textAsked ? CubinNeed::Yes
                   : job.report                       ? CubinNeed::IfPossible
                                                      : CubinNeed::No;
  ProgramRequest request{job.spec, job.options.target, {}};
  if (job.from) {
    Result<std::string> text = readStage(job.file);
    if (!text)
      return text.error();
    request.stage = {stageOf(*job.from), std::move(*text), job.file == "-" ? "<stdin>" : job.file};
  }
  BuildOptions options;
  options.arch = job.options.arch;
  options.dump = job.options.dump;
  Result<BuiltProgram> built = buildProgram(request, options, need, tools, job.cache);
  if (built && !job.advised.empty())
    built->program.text.why = job.advised;
  return built;
}

const std::string &textOf(const Job &job, const CompiledProgram &kernel) {
  return job.emit == Cubin ? kernel.cubin : job.emit == Ptx ? kernel.ptx : kernel.text.text;
}

/// Beside dumped CUDA C++, the headers that it includes: the folder then compiles by itself.
Status dumpHeaders(const Job &job) {
  if (!job.options.dump || job.options.target != Target::CUDA || job.emit < Cuda)
    return success();
  for (const NamedText &header : templateHeaders())
    if (Status wrote = job.options.dump(header.name, header.text); !wrote)
      return wrote;
  return success();
}

int finish(const Job &job, const std::string &text, const std::string &json, const std::string &people) {
  if (Status wrote = dumpHeaders(job); !wrote)
    return report(wrote.error());
  if (job.textAsked && !(job.json && job.output.empty())) {
    if (Status wrote = writeOutput(job.output.empty() ? "-" : job.output, {text}); !wrote)
      return report(wrote.error());
  }
  if (job.json)
    fmt::print("{}\n", json);
  else if (!people.empty()) // beside a text on standard output, the report is not mixed into it
    fmt::print(job.textAsked && job.output.empty() ? stderr : stdout, "{}", people);
  return 0;
}

int runCompile(const Job &job) {
  if (job.emit == Spec)
    return finish(job, toJson(job.spec) + "\n", toJson(job.spec), "");
  JsonObject json;
  if (job.emit < Cuda || (job.emit == Cuda && !job.report)) {
    StageTimes times;
    Result<KernelText> text = lower(job, times);
    if (!text)
      return report(text.error());
    addText(json, *text);
    json.raw("times_ms", timesJson(times));
    if (job.output.empty())
      json.text("text", text->text);
    return finish(job, text->text, json.str(), "");
  }
  Toolchain tools = Toolchain::find();
  Result<BuiltProgram> built = build(job, tools);
  if (!built)
    return report(built.error());
  for (const std::string &note : built->notes)
    fmt::print(stderr, "note: {}\n", note);
  KernelReport kernel = reportOn(built->program, tools, job.report);
  addText(json, built->program.text);
  addReport(json, kernel);
  json.raw("times_ms", timesJson(built->times)).boolean("from_cache", built->fromCache);
  if (job.output.empty() && job.textAsked)
    json.text("text", textOf(job, built->program));
  return finish(job, textOf(job, built->program), json.str(), job.report ? reportText(kernel, *built) : "");
}

} // namespace

Run addCompile(CLI::App &parent) {
  auto line = CommandLine::add(parent, "compile", "write a kernel, or any stage on the way to it");
  line->option("--arch", "ARCH",
               "GPU architecture (sm_80): sm_80, sm_86, sm_87, sm_89, sm_90, sm_100, sm_103, sm_110, sm_120 "
               "or sm_121");
  line->option("--target", "ptx|cuda", "print PTX through LLVM, or CUDA C++ (ptx)");
  line->option("--emit", "STAGE", "spec, attn, tile, thread, llvm, cuda, ptx or cubin (the target's text)");
  line->option("--from", "STAGE", "SPEC is the text of this stage, perhaps edited: go on from there");
  line->option("-o", "FILE", "where to write it (standard output)");
  line->option("--dump-dir", "DIR",
               "also write every stage and pass there, numbered, and for target cuda the headers");
  line->flag("--report", "print registers, spills, shared memory, occupancy and issue slots");
  line->flag("--json", "print one JSON object");
  line->cacheOptions();
  declareShapeAdvice(*line);
  line->spec();
  return [line] {
    Job job = readJob(*line);
    if (Status good = line->problems(); !good)
      return report(good.error());
    return runCompile(job);
  };
}

} // namespace attune::cli
