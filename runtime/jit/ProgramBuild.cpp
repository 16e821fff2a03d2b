//===- ProgramBuild.cpp - from a spec to a kernel, through the cache -------===//
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

Result<CompiledProgram> assemble(KernelText text, std::optional<Tool> tool, const Toolchain &tools,
                                 const Cache &cache, StageTimes *times, std::string sourceName = {}) {
  CompiledProgram kernel;
  if (text.target == Target::PTX)
    kernel.ptx = std::move(text.text);
  kernel.text = std::move(text);
  if (!tool)
    return kernel;
  Result<std::string> name = assemblerName(tool, tools, cache);
  if (!name)
    return name.error();
  StageClock clock;
  const KernelText &of = kernel.text;
  if (sourceName.empty())
    sourceName = of.name + (of.target == Target::CUDA ? ".cu" : ".ptx");
  Result<Assembled> made = of.target == Target::CUDA
                               ? compileCuda(tools, of.text, sourceName, templateHeaders(), of.arch, of.name)
                               : assemblePtx(tools, kernel.ptx, sourceName, of.arch, of.name);
  if (!made)
    return made.error();
  if (times)
    times->emplace_back(toolName(*tool), clock.lap());
  if (of.target == Target::CUDA)
    kernel.ptx = std::move(made->ptx);
  kernel.cubin = std::move(made->cubin);
  kernel.assembler = std::move(*name);
  kernel.resources = made->resources;
  kernel.log = std::move(made->log);
  return kernel;
}

/// Takes the kernel out of what a look-up found, if it did; what is wrong with it becomes a note.
bool takeFound(CacheLookup found, BuiltProgram &built) {
  if (!found.note.empty())
    built.notes.push_back(found.note);
  if (!found.entry)
    return false;
  Result<CompiledProgram> kernel = programFrom(std::move(*found.entry));
  if (kernel) {
    built.kernel = std::move(*kernel);
    built.fromCache = true;
    return true;
  }
  built.notes.push_back(fmt::format("cache entry not used: {}: {}", built.cacheFile, kernel.error().message));
  return false;
}

} // namespace

Result<CacheKey> programKey(const AttentionSpec &spec, const CompileOptions &options, CubinNeed need,
                            const Toolchain &tools, const Cache &cache) {
  Result<std::optional<Tool>> tool = assemblerFor(options.target, need, tools);
  if (!tool)
    return tool.error();
  Result<std::string> assembler = assemblerName(*tool, tools, cache);
  if (!assembler)
    return assembler.error();
  // The schedule that the spec asks for is part of it; what it leaves open, the compiler's sources decide.
  CacheKey key = requestKey(spec, options.arch, options.target);
  key.add("compiler", compilerBuildId());
  key.add("assembler", *assembler);
  return key;
}

Result<CompiledProgram> assembleText(const KernelText &text, CubinNeed need, const Toolchain &tools,
                                     StageTimes *times, const std::string &sourceName) {
  Result<std::optional<Tool>> tool = assemblerFor(text.target, need, tools);
  if (!tool)
    return tool.error();
  return assemble(text, *tool, tools, Cache(), times, sourceName);
}

Result<BuiltProgram> buildProgram(const AttentionSpec &spec, const CompileOptions &options, CubinNeed need,
                                  const Toolchain &tools, const Cache &cache, CacheUse use) {
  if (options.emit != Stage::Text)
    return badInput("expected a build to go to the kernel's text, got an earlier stage");
  BuiltProgram built;
  StageClock clock;
  Result<std::optional<Tool>> tool = assemblerFor(options.target, need, tools);
  if (!tool)
    return tool.error();
  std::optional<CacheKey> key;
  if (cache.enabled()) {
    Result<CacheKey> made = programKey(spec, options, need, tools, cache);
    if (!made)
      return made.error();
    key = *made;
    built.cacheFile = cache.fileOf(*key);
  }
  CacheTurn turn; // held until the entry is stored: others wait for it
  if (key && !options.dump && use == CacheUse::LookUp) {
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
  Result<KernelText> text = compile(spec, options);
  if (!text)
    return text.error();
  built.times.emplace_back("generate", clock.lap());
  Result<CompiledProgram> kernel = assemble(std::move(*text), *tool, tools, cache, &built.times);
  if (!kernel)
    return kernel.error();
  built.kernel = std::move(*kernel);
  if (key)
    if (Status stored = cache.store(*key, toEntry(built.kernel, *key)); !stored)
      built.notes.push_back("not cached: " + stored.error().message);
  return built;
}

} // namespace attune
