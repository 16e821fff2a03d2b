//===- Stage.cpp - stages that people edited, for commands that run them --===//
#include "cli/Stage.h"
#include "runtime/io/File.h"

#include <algorithm>

#include <fmt/format.h>

namespace attune::cli {

void declareStage(CommandLine &line) {
  line.option(
      "--from", "STAGE",
      "SPEC is the text of this stage (attn, tile, thread, llvm, ptx or cuda), perhaps edited: run that");
  line.option("--spec", "SPEC",
              "with --from: what the stage computes, to verify with (flags of the spec do, too)");
}

/// The stage that --from names, out of SPEC's file.
static std::optional<StageText> readStage(CommandLine &line, std::optional<Target> &target) {
  std::vector<std::string> names;
  for (const NamedStage &stage : namedStages)
    names.emplace_back(stage.name);
  const NamedStage &named = namedStages[line.choice("--from", names, 0)];
  std::string path = line.text("SPEC");
  if (path.empty()) {
    line.lacking("--from", "a file with the stage's text");
    return std::nullopt;
  }
  Result<std::string> text = readFile(path);
  if (!text) {
    line.problem(text.error());
    return std::nullopt;
  }
  if (named.target && target && target != named.target)
    line.problem("--target", fmt::format("expected {} for the stage {}, got {}", nameOf(*named.target),
                                         named.name, nameOf(*target)));
  if (named.target)
    target = named.target;
  return StageText{named.stage, std::move(*text), path};
}

StagedSpec readStagedSpec(CommandLine &line, std::optional<Target> &target) {
  StagedSpec staged;
  if (line.has("--from")) {
    staged.stage = readStage(line, target);
    staged.said = line.has("--spec") || line.hasSpecFlags();
    staged.spec = line.readSpec("--spec");
    return staged;
  }
  if (line.has("--spec"))
    line.problem("--spec", "expected --from with it, got none: SPEC is the spec");
  staged.spec = line.readSpec();
  return staged;
}

/// The argument of this name of any kernel, or null.
static const Argument *find(const Program &program, std::string_view name) {
  for (const KernelInfo &kernel : program.kernels)
    for (const Argument &argument : kernel.arguments)
      if (argument.name == name && argument.kind == Argument::Kind::Array)
        return &argument;
  return nullptr;
}

Result<AttentionSpec> fitSpec(const StagedSpec &staged, const Program &program) {
  std::string has;
  for (const KernelInfo &kernel : program.kernels)
    for (const Argument &argument : kernel.arguments)
      has += fmt::format("\n  {}", argument.text());
  auto refuse = [&](const std::string &expected) {
    return badInput(fmt::format("{}: error: expected the stage of a kernel {}, got one with{}",
                                staged.stage->file, expected, has));
  };
  const Argument *q = find(program, "q"), *v = find(program, "v"), *lse = find(program, "lse");
  constexpr std::pair<const char *, bool AttentionSpec::*> inputs[] = {
      {"sink", &AttentionSpec::sink},
      {"lengths_q", &AttentionSpec::lengthsQ},
      {"lengths_kv", &AttentionSpec::lengthsKv}};
  for (const char *name : {"q", "k", "v", "o"}) {
    const Argument *array = find(program, name);
    if (!array || array->axes.size() != 4 || !array->axes[3].constant())
      return refuse("with arrays q, k, v and o of batch, heads, length and head dim");
  }
  AttentionSpec spec = staged.spec;
  int dimQk = int(*q->axes[3].constant()), dimV = int(*v->axes[3].constant());
  if (!staged.said) {
    spec.dtype = q->type;
    spec.headDimQk = dimQk;
    spec.headDimV = dimV;
    for (auto [name, field] : inputs)
      spec.*field = find(program, name);
    spec.lse = lse && !lse->optional;
    spec.name = program.main().name;
  } else if (spec.dtype != q->type || spec.headDimQk != dimQk || spec.headDimV != dimV ||
             (spec.lse && !lse) || std::any_of(std::begin(inputs), std::end(inputs), [&](auto input) {
               return spec.*input.second != bool(find(program, input.first));
             })) {
    std::string with;
    for (auto [name, field] : inputs)
      with += spec.*field ? fmt::format(", with {}", name) : "";
    with += spec.lse ? ", with LSE" : "";
    return refuse(fmt::format("for {}, head dims {} and {}{}, as the spec says", nameOf(spec.dtype),
                              spec.headDimQk, spec.headDimV, with));
  }
  if (spec.lse && !lse)
    return refuse("that computes an LSE");
  return spec;
}

} // namespace attune::cli
