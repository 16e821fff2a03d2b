//===- Bundle.cpp - attune bundle -----------------------------------------===//
//
// Puts compiled programs for several architectures into one file, and looks into such files.
//
//===----------------------------------------------------------------------===//
#include "runtime/plan/Bundle.h"
#include "cli/Advice.h"
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Progress.h"
#include "cli/Report.h"
#include "runtime/api/Facts.h"
#include "runtime/jit/ProgramBuild.h"
#include "runtime/plan/Planning.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

namespace {

using Line = std::shared_ptr<CommandLine>;
using Opened = std::shared_ptr<const Bundle>;

/// Parts of entries that a program which launches never reads.
constexpr std::string_view leftOut[] = {"kernel.tile.mlir", "assembler.log"};

std::string sizesText(const ProblemShape &shape) {
  return fmt::format("{}x{}x{}x{}x{}", shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ,
                     shape.lengthKv);
}

//===----------------------------------------------------------------------===//
// Making one
//===----------------------------------------------------------------------===//

struct Job {
  std::vector<AttentionSpec> specs;
  std::vector<ProblemShape> shapes; ///< none: the default schedules
  std::vector<Arch> archs;
  std::optional<Target> target;
  Advisor advisor;
  Cache cache;
  std::string output;
  bool json = false, quiet = false;
};

std::vector<std::string> words(const std::string &list) {
  std::vector<std::string> result;
  for (size_t begin = 0; begin <= list.size();) {
    size_t end = std::min(list.find(',', begin), list.size());
    result.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

Job readJob(CommandLine &line) {
  Job job;
  for (const std::string &file : line.texts("SPECS"))
    if (Result<AttentionSpec> spec = loadSpec(file))
      job.specs.push_back(std::move(*spec));
    else
      line.problem(spec.error());
  if (line.texts("SPECS").empty())
    line.lacking("SPECS", "specs to compile (files, or - for standard input)");
  for (const std::string &list : line.texts("--shape"))
    for (const std::string &word : words(list))
      if (std::optional<ProblemShape> shape = readShape(line, word))
        job.shapes.push_back(*shape);
  for (const std::string &word : words(line.text("--arch", "sm_80")))
    if (Result<Arch> arch = findArch(word))
      job.archs.push_back(std::move(*arch));
    else
      line.problem("--arch", arch.error().message);
  if (line.has("--target"))
    job.target = Target(line.choice("--target", {"ptx", "cuda"}, 0));
  job.advisor = readAdvice(line, job.target);
  job.cache = line.cache();
  job.json = line.has("--json");
  job.output = line.output("-o");
  if (job.output.empty())
    line.lacking("-o", "a file for the bundle");
  return job;
}

/// One program of the bundle to be: the spec as it is compiled, and for which shape.
struct Wanted {
  BundlePlan plan;
  Arch arch;
  std::optional<ProblemShape> shape;
};

/// Compiles what is wanted and adds it, once each.
Status add(const Job &job, const Wanted &wanted, const Toolchain &tools, BundleContent &content) {
  BundlePlan plan = wanted.plan;
  ProgramRequest request{plan.spec, plan.target, {}};
  auto key = [&] { return programKey(request, wanted.arch, CubinNeed::IfPossible, tools, job.cache); };
  BuildOptions options;
  options.arch = wanted.arch;
  Result<BuiltProgram> built = buildProgram(request, options, CubinNeed::IfPossible, tools, job.cache);
  if (!built)
    return Error{built.error().kind,
                 fmt::format("{} for {}{}: {}", plan.spec.name, wanted.arch.name,
                             wanted.shape ? ", " + sizesText(*wanted.shape) : "", built.error().message)};
  for (const std::string &note : built->notes)
    fmt::print(stderr, "note: {}\n", note);
  Result<CacheKey> determined = key();
  if (!determined)
    return determined.error();
  CacheEntry entry = toEntry(built->program, *determined);
  std::erase_if(entry.artefacts, [](const auto &part) {
    return std::find(std::begin(leftOut), std::end(leftOut), part.first) != std::end(leftOut);
  });
  std::string name = bundleName(*determined);
  auto isKnown = [&](const auto &one) { return one.first == name; };
  if (std::none_of(content.entries.begin(), content.entries.end(), isKnown))
    content.entries.emplace_back(name, serializeEntry(entry));
  if (wanted.shape && std::find(content.plans.begin(), content.plans.end(), plan) == content.plans.end())
    content.plans.push_back(std::move(plan));
  return success();
}

/// Every spec on every architecture, as the advisor has it for each shape.
std::vector<Wanted> wantedOf(const Job &job) {
  std::vector<Wanted> all;
  for (const AttentionSpec &spec : job.specs)
    for (const Arch &arch : job.archs) {
      if (job.shapes.empty())
        all.push_back({{spec, {}, arch.name, job.target.value_or(Target::PTX), ""}, arch, std::nullopt});
      for (const ProblemShape &shape : job.shapes) {
        Decision decision = decide(spec, job.target, shape, deviceFor(arch), job.advisor);
        if (!decision.note.empty())
          fmt::print(stderr, "note: {}\n", decision.note);
        all.push_back({{decision.spec, shape, arch.name, decision.target, decision.why}, arch, shape});
      }
    }
  return all;
}

std::string plural(size_t count, const char *what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

int write(const std::string &path, BundleContent content, bool json) {
  size_t programs = content.entries.size(), plans = content.plans.size();
  if (Status wrote = writeBundle(path, std::move(content)); !wrote)
    return report(wrote.error());
  Result<Opened> bundle = Bundle::open(path);
  if (!bundle)
    return report(bundle.error());
  if (json)
    fmt::print("{}\n", JsonObject()
                           .text("bundle", path)
                           .whole("programs", int64_t(programs))
                           .whole("plans", int64_t(plans))
                           .whole("bytes", int64_t((*bundle)->bytes()))
                           .str());
  else
    fmt::print("{}: {}, {}, {}\n", path, plural(programs, "program"), plural(plans, "plan"),
               kilobytes(int64_t((*bundle)->bytes())));
  return 0;
}

int make(const Job &job) {
  Toolchain tools = Toolchain::find();
  std::vector<Wanted> all = wantedOf(job);
  BundleContent content;
  {
    ProgressLine progress(!job.json);
    for (size_t i = 0; i < all.size(); ++i) {
      progress.show(
          fmt::format("{} of {}: {} for {}", i + 1, all.size(), all[i].plan.spec.name, all[i].arch.name));
      if (Status added = add(job, all[i], tools, content); !added)
        return report(added.error());
    }
  }
  return write(job.output, std::move(content), job.json);
}

//===----------------------------------------------------------------------===//
// Looking into them
//===----------------------------------------------------------------------===//

/// Opens every file of FILES; a mistake where one is no bundle, or there are not `least`.
std::vector<Opened> openAll(CommandLine &line, size_t least, size_t most) {
  std::vector<Opened> bundles;
  const std::vector<std::string> &files = line.texts("FILES");
  if (files.empty())
    line.lacking("FILES", least == 1 ? "a bundle" : "two bundles");
  else if (files.size() < least)
    line.problem("FILES", fmt::format("expected two bundles, got {}", files.size()));
  if (files.size() > most)
    line.problem("FILES", fmt::format("expected {}, got {}", plural(most, "bundle"), files.size()));
  if (!line.clean())
    return bundles;
  for (const std::string &file : files)
    if (Result<Opened> bundle = Bundle::open(file))
      bundles.push_back(std::move(*bundle));
    else
      line.problem(bundle.error());
  return bundles;
}

/// "attention, ptx, sm_80, bf16, head dim 64, causal, block_q 128, ..."
std::string whatIs(const EntryFacts &facts) {
  return fmt::format("{}, {}, {}{}, {}", facts.kernel, facts.target, facts.arch,
                     facts.spec ? ", " + specText(*facts.spec) : "", facts.schedule.words());
}

int list(CommandLine &line) {
  std::vector<Opened> bundles = openAll(line, 1, 1);
  if (Status good = line.problems(); !good)
    return report(good.error());
  const Bundle &bundle = *bundles.front();
  if (line.has("--json")) {
    fmt::print("{}\n", api::factsOf(bundle));
    return 0;
  }
  fmt::print("{}: made by {}, {}\n", bundle.path(), bundle.madeBy(), kilobytes(int64_t(bundle.bytes())));
  for (const Bundle::Item &item : bundle.items())
    fmt::print("  {:<12} {:>9}  {}\n", item.name.substr(17, 12), kilobytes(int64_t(item.bytes)),
               whatIs(factsOf(item.head)));
  for (const BundlePlan &plan : bundle.plans())
    fmt::print("  {} on {}, {}: {}{}\n", plan.spec.name, plan.arch, sizesText(plan.shape),
               plan.spec.schedule.empty() ? "the default" : plan.spec.schedule.words(),
               plan.why.empty() ? "" : " (" + plan.why + ")");
  return 0;
}

/// What is wrong with an entry; empty if nothing is.
std::string problemOf(const Bundle &bundle, const Bundle::Item &item) {
  Result<CacheEntry> entry = bundle.load(item);
  if (!entry)
    return entry.error().message;
  std::string hash = CacheKey::of(entry->key).hash();
  if (item.name.size() < hash.size() + 8 || item.name.substr(17, hash.size()) != hash)
    return fmt::format("{}: its name is not that of its key", item.name);
  Result<CompiledProgram> program = programFrom(std::move(*entry));
  return program ? "" : fmt::format("{}: {}", item.name, program.error().message);
}

int verify(CommandLine &line) {
  std::vector<Opened> bundles = openAll(line, 1, SIZE_MAX);
  if (Status good = line.problems(); !good)
    return report(good.error());
  int status = 0;
  for (const Opened &bundle : bundles) {
    size_t wrong = 0;
    for (const Bundle::Item &item : bundle->items())
      if (std::string problem = problemOf(*bundle, item); !problem.empty()) {
        fmt::print(stderr, "{}: {}\n", bundle->path(), problem);
        ++wrong;
      }
    for (const BundlePlan &plan : bundle->plans()) {
      Result<Arch> arch = findArch(plan.arch);
      if (!arch || bundle->find(requestKey({plan.spec, plan.target, {}}, *arch)).empty()) {
        fmt::print(stderr, "{}: no program for the plan {} on {}, {}\n", bundle->path(), plan.spec.name,
                   plan.arch, sizesText(plan.shape));
        ++wrong;
      }
    }
    status |= wrong > 0;
    if (!line.has("--json"))
      fmt::print("{}: {}, {}, {}\n", bundle->path(), plural(bundle->items().size(), "program"),
                 plural(bundle->plans().size(), "plan"), wrong ? fmt::format("{} wrong", wrong) : "all good");
    else
      fmt::print("{}\n", JsonObject()
                             .text("bundle", bundle->path())
                             .whole("programs", int64_t(bundle->items().size()))
                             .whole("plans", int64_t(bundle->plans().size()))
                             .whole("wrong", int64_t(wrong))
                             .str());
  }
  return status;
}

int merge(CommandLine &line) {
  std::string output = line.output("-o");
  if (output.empty())
    line.lacking("-o", "a file for the bundle");
  std::vector<Opened> bundles = openAll(line, 1, SIZE_MAX);
  if (Status good = line.problems(); !good)
    return report(good.error());
  std::map<std::string, std::string>
      entries; // of several with one key the first is taken: they are the same program
  BundleContent content;
  for (const Opened &bundle : bundles) {
    for (const Bundle::Item &item : bundle->items()) {
      if (std::string problem = problemOf(*bundle, item); !problem.empty())
        return report(badInput(problem));
      Result<std::string> bytes = bundle->read(item);
      if (!bytes)
        return report(bytes.error());
      entries.try_emplace(item.name, std::move(*bytes));
    }
    for (const BundlePlan &plan : bundle->plans()) {
      auto asks = [&](const BundlePlan &other) {
        AttentionSpec one = plan.spec, two = other.spec;
        one.schedule = two.schedule = {};
        return codeKey(one) == codeKey(two) && plan.shape == other.shape && plan.arch == other.arch;
      };
      auto same = std::find_if(content.plans.begin(), content.plans.end(), asks);
      if (same == content.plans.end())
        content.plans.push_back(plan);
      else if (!(*same == plan))
        fmt::print(stderr, "note: of two plans of {} on {}, {} the first one is kept\n", plan.spec.name,
                   plan.arch, sizesText(plan.shape));
    }
  }
  content.entries.assign(entries.begin(), entries.end());
  return write(output, std::move(content), line.has("--json"));
}

int diff(CommandLine &line) {
  std::vector<Opened> bundles = openAll(line, 2, 2);
  if (Status good = line.problems(); !good)
    return report(good.error());
  const Bundle &one = *bundles[0], &two = *bundles[1];
  std::vector<std::string> lines;
  auto tell = [&](const char *sign, const std::string &what) {
    lines.push_back(fmt::format("{} {}", sign, what));
  };
  std::map<std::string, const Bundle::Item *> others;
  for (const Bundle::Item &item : two.items())
    others[item.name] = &item;
  for (const Bundle::Item &item : one.items()) {
    auto found = others.find(item.name);
    if (found == others.end()) {
      tell("-", whatIs(factsOf(item.head)));
      continue;
    }
    Result<std::string> a = one.read(item), b = two.read(*found->second);
    if (!a || !b)
      return report(a ? b.error() : a.error());
    if (*a != *b)
      tell("!", whatIs(factsOf(item.head)));
    others.erase(found);
  }
  for (const auto &[name, item] : others)
    tell("+", whatIs(factsOf(item->head)));
  auto planText = [](const BundlePlan &plan) {
    return fmt::format("plan of {} on {}, {}: {}", plan.spec.name, plan.arch, sizesText(plan.shape),
                       plan.spec.schedule.empty() ? "the default" : plan.spec.schedule.words());
  };
  for (auto [from, to, sign] : {std::tuple(&one, &two, "-"), std::tuple(&two, &one, "+")})
    for (const BundlePlan &plan : from->plans())
      if (std::find(to->plans().begin(), to->plans().end(), plan) == to->plans().end())
        tell(sign, planText(plan));
  if (line.has("--json"))
    fmt::print("{}\n",
               JsonObject().boolean("same", lines.empty()).raw("differences", jsonTexts(lines)).str());
  else
    for (const std::string &text : lines)
      fmt::print("{}\n", text);
  return lines.empty() ? 0 : 1;
}

} // namespace

Run addBundle(CLI::App &parent) {
  auto line =
      CommandLine::add(parent, "bundle",
                       "compile specs for several architectures into one file, for programs without a "
                       "compiler; or look into such files");
  line->list("SPECS", "JSON files");
  line->option(
      "--shape", "SHAPES",
      "BATCHxHEADS_QxHEADS_KVxLEN[xLEN_KV],...: the best schedule for each; without it the defaults");
  line->option("--arch", "ARCHS", "sm_80,sm_90,...: for each of them (sm_80)");
  line->option("--target", "ptx|cuda",
               "PTX through LLVM, or CUDA C++ through NVRTC (what was tuned, else ptx)");
  line->option("-o", "FILE", "the bundle to write");
  line->flag("--json", "print one JSON object");
  line->cacheOptions();
  declareAdvice(*line);
  CLI::App &app = *parent.get_subcommand("bundle");
  app.require_subcommand(0, 1);
  std::vector<std::pair<CLI::App *, Run>> commands;
  auto addCommand = [&](const char *name, const char *help, bool writes, int (*run)(CommandLine &)) {
    Line own = CommandLine::add(app, name, help);
    CLI::App *command = app.get_subcommand(name);
    command->allow_extras();
    own->list("FILES", "bundles");
    if (writes)
      own->option("-o", "FILE", "the bundle to write");
    own->flag("--json", "print one JSON object");
    commands.emplace_back(command, [own, run] { return run(*own); });
  };
  addCommand("list", "what is in a bundle", false, list);
  addCommand("verify", "check every program; exit status 1 if one is wrong", false, verify);
  addCommand("merge", "put several bundles into one", true, merge);
  addCommand("diff",
             "what two bundles do not share: - the first, + the second, ! both; exit status 1 if anything",
             false, diff);
  return [line, commands] {
    for (const auto &[command, run] : commands)
      if (command->parsed())
        return run();
    Job job = readJob(*line);
    if (Status good = line->problems(); !good)
      return report(good.error());
    return make(job);
  };
}

} // namespace attune::cli
