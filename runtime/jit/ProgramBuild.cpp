//===- ProgramBuild.cpp - from a spec to a kernel, through the cache ------===//
#include "runtime/jit/ProgramBuild.h"

#include <optional>

#include <fmt/format.h>

namespace attune {
namespace {

/// The tool's version, asked for once a machine: running ptxas or opening NVRTC costs more than a hit.
Result<std::string> versionOf(Tool tool, const Toolchain &tools, const Cache &cache) {
  std::string question = fmt::format("version of {} {}", toolName(tool), tools.fingerprint(tool));
  if (std::optional<std::string> known = cache.recall(question))
    return *known;
  Result<std::string> version = tools.version(tool);
  if (version)
    cache.remember(question, *version);
  return version;
}

/// The tool that makes the cubin; nothing when none is wanted, or none is here and none is needed.
Result<std::optional<Tool>> assemblerFor(Target target, CubinNeed need, const Toolchain &tools) {
  Tool tool = target == Target::CUDA ? Tool::NVRTC : Tool::Ptxas;
  if (target == Target::PTX &&
      (need == CubinNeed::No || (need == CubinNeed::IfPossible && !tools.tool(tool))))
    return std::optional<Tool>();
  Result<std::string> path = tools.need(tool);
  if (!path)
    return path.error();
  return std::optional<Tool>(tool);
}

Result<std::string> assemblerName(std::optional<Tool> tool, const Toolchain &tools, const Cache &cache) {
  if (!tool)
    return std::string();
  Result<std::string> version = versionOf(*tool, tools, cache);
  if (!version)
    return version;
  return fmt::format("{} {}", toolName(*tool), *version);
}

/// The program of a text that does not say what a launch takes, as one of other people does not: its first
/// kernel, by name. It can be assembled, and not launched.
Result<Program> nameOnly(const StageText &stage, Target target) {
  // PTX: `.entry NAME(`. CUDA C++: `__global__ ... NAME(const __grid_constant__ ...`.
  bool ptx = target == Target::PTX;
  std::string_view text = stage.text;
  size_t mark = text.find(ptx ? ".entry" : "__grid_constant__");
  size_t end = mark == std::string::npos ? mark
               : ptx                     ? text.find_first_of("( \n", mark + 7)
                                         : text.rfind('(', mark);
  if (end == std::string::npos)
    return badInput(fmt::format("{}: error: expected a kernel ({}), got none", stage.file,
                                ptx ? ".entry NAME" : "__global__ ... NAME(const __grid_constant__ ...)"));
  size_t begin = text.find_last_of(" \n\t*)", end - 1) + 1;
  Program program;
  program.kernels.emplace_back().name = text.substr(begin, end - begin);
  return program;
}

/// Kernel text: the compiler's, or what it makes of a stage that is there already.
Result<KernelText> makeText(const ProgramRequest &request, const BuildOptions &build) {
  CompileOptions options;
  options.arch = build.arch;
  options.target = request.target;
  options.dump = build.dump;
  if (!request.stage)
    return compile(request.spec, options);
  const StageText &stage = *request.stage;
  if (stage.stage != Stage::Text) {
    Result<KernelText> lowered = compileFrom(stage.stage, stage.text, stage.file, options);
    if (lowered && lowered->program.kernels.empty())
      lowered->program.kernels.emplace_back().name = lowered->name;
    return lowered;
  }
  Result<Program> program = Program::hasTrailer(stage.text) ? Program::fromTrailer(stage.text, stage.file)
                                                            : nameOnly(stage, request.target);
  if (!program)
    return program.error();
  KernelText text{};
  text.name = program->main().name;
  text.target = request.target;
  text.arch = build.arch;
  text.stage = Stage::Text;
  text.text = stage.text;
  text.program = std::move(*program);
  text.why = "from " + stage.file;
  return text;
}

Result<CompiledProgram> assemble(KernelText text, const std::string &file, std::optional<Tool> tool,
                                 const Toolchain &tools, const Cache &cache, StageTimes &times) {
  CompiledProgram program;
  if (text.target == Target::PTX)
    program.ptx = std::move(text.text);
  program.text = std::move(text);
  if (!tool)
    return program;
  Result<std::string> name = assemblerName(tool, tools, cache);
  if (!name)
    return name.error();
  StageClock clock;
  const KernelText &of = program.text;
  std::vector<std::string> entries;
  for (const KernelInfo &kernel : of.program.kernels)
    entries.push_back(kernel.name);
  Result<Assembled> made = of.target == Target::CUDA
                               ? compileCuda(tools, of.text, file, templateHeaders(), of.arch, entries)
                               : assemblePtx(tools, program.ptx, file, of.arch, entries);
  if (!made)
    return made.error();
  times.emplace_back(toolName(*tool), clock.lap());
  if (of.target == Target::CUDA) // NVRTC drops comments, and with them what a launch takes
    program.ptx = std::move(made->ptx) + of.program.trailer();
  program.cubin = std::move(made->cubin);
  program.assembler = std::move(*name);
  program.reports = std::move(made->reports);
  program.log = std::move(made->log);
  return program;
}

/// Takes the program out of what a look-up found, if it did; what is wrong with it becomes a note.
bool takeFound(CacheLookup found, BuiltProgram &built) {
  if (!found.note.empty())
    built.notes.push_back(found.note);
  if (!found.entry)
    return false;
  Result<CompiledProgram> program = programFrom(std::move(*found.entry));
  if (program) {
    built.program = std::move(*program);
    built.fromCache = true;
    return true;
  }
  built.notes.push_back(
      fmt::format("cache entry not used: {}: {}", built.cacheFile, program.error().message));
  return false;
}

} // namespace

Result<CacheKey> programKey(const ProgramRequest &request, const Arch &arch, CubinNeed need,
                            const Toolchain &tools, const Cache &cache) {
  Result<std::optional<Tool>> tool = assemblerFor(request.target, need, tools);
  if (!tool)
    return tool.error();
  Result<std::string> assembler = assemblerName(*tool, tools, cache);
  if (!assembler)
    return assembler.error();
  // The schedule that the spec asks for is part of it; what it leaves open, the compiler's sources decide.
  CacheKey key = requestKey(request, arch);
  key.add("compiler", compilerBuildId());
  key.add("assembler", *assembler);
  return key;
}

Result<BuiltProgram> buildProgram(const ProgramRequest &request, const BuildOptions &options, CubinNeed need,
                                  const Toolchain &tools, const Cache &cache) {
  BuiltProgram built;
  StageClock clock;
  Result<std::optional<Tool>> tool = assemblerFor(request.target, need, tools);
  if (!tool)
    return tool.error();
  std::optional<CacheKey> key;
  if (cache.enabled()) {
    Result<CacheKey> made = programKey(request, options.arch, need, tools, cache);
    if (!made)
      return made.error();
    key = *made;
    built.cacheFile = cache.fileOf(*key);
  }
  CacheTurn turn; // held until the entry is stored: others wait for it
  if (key && !options.dump && options.use == CacheUse::LookUp) {
    if (takeFound(cache.lookUp(*key), built)) {
      built.times.emplace_back("cache", clock.lap());
      return built;
    }
    turn = cache.takeTurn(*key);
    if (turn.found.entry && takeFound(std::move(turn.found), built)) {
      built.times.emplace_back("wait for another", clock.lap());
      return built;
    }
    if (!turn.note.empty())
      built.notes.push_back(turn.note);
  }

  clock.lap();
  Result<KernelText> text = makeText(request, options);
  if (!text)
    return text.error();
  built.times.emplace_back("generate", clock.lap());
  bool isSource = request.stage && request.stage->stage == Stage::Text;
  std::string file =
      isSource ? request.stage->file : text->name + (request.target == Target::CUDA ? ".cu" : ".ptx");
  Result<CompiledProgram> program = assemble(std::move(*text), file, *tool, tools, cache, built.times);
  if (!program)
    return program.error();
  built.program = std::move(*program);
  // Without launches it is of no use to whoever finds it.
  if (key && !built.program.program().launches.empty())
    if (Status stored = cache.store(*key, toEntry(built.program, *key)); !stored)
      built.notes.push_back("not cached: " + stored.error().message);
  return built;
}

} // namespace attune
