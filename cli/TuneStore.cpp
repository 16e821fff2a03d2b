//===- TuneStore.cpp - attune tune results, import, merge, export, explain ===//
#include "cli/TuneStore.h"

#include "cli/Advice.h"
#include "cli/Output.h"
#include "cli/Sweeps.h"
#include "runtime/device/sim/SimDevice.h"
#include "runtime/io/File.h"
#include "runtime/plan/Planning.h"
#include "tuner/Advisor.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

using namespace tuner;

Result<std::optional<Store>> openStore(const std::string &named, bool write) {
  std::string path = named.empty() ? Store::defaultPath() : named;
  if (path.empty())
    return std::optional<Store>();
  if (named.empty() && write) {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  }
  Result<Store> store = Store::open(path, {.write = write});
  if (!store)
    return store.error();
  return std::optional<Store>(std::move(*store));
}

namespace {

Result<Exchange> everythingOf(Store &store) {
  Result<std::vector<StoredRow>> rows = store.allRows();
  Result<std::vector<StoredSweep>> sweeps = store.allSweeps();
  if (!rows || !sweeps)
    return rows ? sweeps.error() : rows.error();
  return Exchange{std::move(*sweeps), std::move(*rows)};
}

/// What a file holds: a store, or results as JSON.
Result<Exchange> exchangeIn(const std::string &path) {
  Result<std::string> text = readFile(path);
  if (!text)
    return text.error();
  if (!text->starts_with("SQLite format 3"))
    return readExchange(*text, path);
  Result<Store> store = Store::open(path, {.write = false});
  if (!store)
    return store.error();
  return everythingOf(*store);
}

/// The store that a command reads; one that is not there is an error.
Result<Store> storeToRead(CommandLine &line) {
  Result<std::optional<Store>> store = openStore(line.text("--store"), false);
  if (!store)
    return store.error();
  if (!*store)
    return badInput("command line: error: expected a tuning store, got none (--store FILE)");
  return std::move(**store);
}

void declareStore(CommandLine &line) {
  line.option("--store", "FILE", "the store (ATTUNE_STORE, else ~/.local/share/attune/tuning.sqlite)");
}

//===----------------------------------------------------------------------===//
// results
//===----------------------------------------------------------------------===//

/// What a store has of one spec, shape and device.
struct Known {
  Subject subject;
  ProblemShape shape;
  int64_t rows = 0, passed = 0;
  const StoredRow *best = nullptr;
  std::string when; ///< of its newest row
};

int listResults(CommandLine &line) {
  bool shipped = line.has("--shipped"), json = line.has("--json");
  if (shipped && line.has("--store"))
    line.problem("--store", "expected --shipped or this, got both");
  if (Status good = line.problems(); !good)
    return report(good.error());
  Exchange all;
  if (shipped) {
    all = shippedResults();
  } else {
    Result<Store> store = storeToRead(line);
    if (!store)
      return report(store.error());
    Result<Exchange> read = everythingOf(*store);
    if (!read)
      return report(read.error());
    all = std::move(*read);
  }
  // Of one subject and shape there are many rows, one after the other for the most part.
  std::vector<Known> known;
  for (const StoredRow &stored : all.rows) {
    auto same = std::find_if(known.rbegin(), known.rend(), [&](const Known &one) {
      return one.shape == stored.row.shape && one.subject == stored.subject;
    });
    if (same == known.rend()) {
      known.push_back({stored.subject, stored.row.shape, 0, 0, nullptr, ""});
      same = known.rbegin();
    }
    ++same->rows;
    same->when = std::max(same->when, stored.when);
    if (stored.row.verdict != Verdict::Passed || stored.row.median <= 0)
      continue;
    ++same->passed;
    if (!same->best || stored.row.high < same->best->row.high)
      same->best = &stored;
  }
  std::sort(known.begin(), known.end(), [](const Known &a, const Known &b) {
    auto key = [](const Known &one) {
      const Subject &of = one.subject;
      return std::tie(of.device, of.arch, of.kind, of.spec, one.when, of.toolkit, one.shape.batch,
                      one.shape.headsQ, one.shape.lengthQ, one.shape.lengthKv);
    };
    return key(a) < key(b);
  });
  std::vector<std::string> list;
  std::string device;
  for (const Known &one : known) {
    if (json) {
      JsonObject object;
      object.text("kind", nameOf(one.subject.kind))
          .text("device", one.subject.device)
          .text("arch", one.subject.arch);
      object.text("driver", one.subject.driver).text("toolkit", one.subject.toolkit);
      object.raw("spec", one.subject.spec).raw("shape", toJson(one.shape));
      object.whole("rows", one.rows).whole("passed", one.passed).text("when", one.when);
      if (one.best)
        object.text("family", one.best->row.family)
            .text("schedule", one.best->row.schedule)
            .text("target", attune::nameOf(one.best->row.target))
            .number("us", one.best->row.median);
      list.push_back(object.str());
      continue;
    }
    std::string here =
        fmt::format("{} ({}, {})", one.subject.device, one.subject.arch, nameOf(one.subject.kind));
    if (here != device)
      fmt::print("{}\n", here);
    device = here;
    fmt::print("  {}\n    {}\n    {} of {} schedules passed, {}; {}; {}\n", one.subject.spec,
               shapeText(one.shape), one.passed, one.rows, one.when, one.subject.driver, one.subject.toolkit);
    if (one.best)
      fmt::print("    best {} {} {}, {}\n", timeText(one.best->row.median), one.best->row.family,
                 one.best->row.schedule, attune::nameOf(one.best->row.target));
  }
  if (json)
    fmt::print("{}\n", JsonObject().raw("results", jsonList(list)).str());
  else if (known.empty())
    fmt::print("nothing is tuned yet\n");
  return 0;
}

//===----------------------------------------------------------------------===//
// import, merge, export
//===----------------------------------------------------------------------===//

int takeOver(CommandLine &line) {
  std::vector<std::string> files = line.texts("FILE");
  if (files.empty())
    line.problem("FILE", "expected at least one file of results, got none");
  if (Status good = line.problems(); !good)
    return report(good.error());
  // All are read before anything is written: a bad one among them changes nothing.
  std::vector<Exchange> read;
  for (const std::string &file : files) {
    Result<Exchange> one = exchangeIn(file);
    if (!one)
      return report(one.error());
    read.push_back(std::move(*one));
  }
  Result<std::optional<Store>> store = openStore(line.text("--store"), true);
  if (!store)
    return report(store.error());
  if (!*store)
    return report(badInput("command line: error: expected a tuning store, got none (--store FILE)"));
  for (size_t i = 0; i < files.size(); ++i) {
    Result<MergeCount> count = (*store)->merge(read[i]);
    if (!count)
      return report(count.error());
    fmt::print("{}: {} rows added, {} replaced older ones, {} known; {} sweeps added\n", files[i],
               count->added, count->replaced, count->known, count->sweeps);
  }
  return 0;
}

int writeOut(CommandLine &line) {
  std::string file = line.output("FILE", CommandLine::Dash::StandardOutput);
  if (file.empty())
    line.problem("FILE", "expected a file to write, or - for standard output, got none");
  bool winners = line.has("--winners");
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<Store> store = storeToRead(line);
  if (!store)
    return report(store.error());
  Status wrote = exportStore(*store, file, winners);
  return wrote ? 0 : report(wrote.error());
}

//===----------------------------------------------------------------------===//
// explain
//===----------------------------------------------------------------------===//

int explain(CommandLine &line) {
  AttentionSpec spec = line.readSpec();
  Arch arch = line.arch("--arch", "sm_80");
  std::optional<Target> target;
  if (line.has("--target"))
    target = Target(line.choice("--target", {"ptx", "cuda"}, 0));
  std::optional<ProblemShape> shape = shapeOf(line.text("--shape"));
  if (!shape || shape->headsQ % shape->headsKv != 0)
    line.problem("--shape",
                 fmt::format("expected BATCHxHEADS_QxHEADS_KVxLEN_QxLEN_KV (or one LEN for both), such as "
                             "1x32x8x4096, got '{}'",
                             line.text("--shape")));
  Advisor advisor = readAdvice(line, target);
  if (Status good = line.problems(); !good)
    return report(good.error());
  DeviceInfo device = describeSimDevice(arch);
  for (const DeviceInfo &known : listDevices().devices)
    if (known.kind == DeviceKind::Cuda && (known.arch.name == arch.name || !line.has("--arch")))
      device = known;
  if (line.has("--gpu")) { // one that is not here
    device.kind = DeviceKind::Cuda;
    device.name = line.text("--gpu");
    device.multiprocessors = device.clockKhz = 0;
  }
  Decision decision = decide(spec, target, *shape, device, advisor);
  Candidate chosen{decision.spec.schedule, decision.target};
  const Family &family =
      decision.spec.schedule.family.empty() ? familyFor(spec, device.arch) : familyOf(chosen);
  std::string ignored;
  chosen.schedule =
      ordered(family.schedules.standard(queryOf(spec, device.arch), decision.spec.schedule, ignored));
  chosen.schedule.family = family.name();
  SweepTask task = makeTask(spec, *shape, device, "", target);
  Ranked own = rank(spec, device, *shape, {chosen}).front();
  std::vector<const Ranked *> order;
  for (const Ranked &ranked : task.candidates)
    order.push_back(&ranked);
  std::sort(order.begin(), order.end(), [](auto *a, auto *b) { return a->estimate.us < b->estimate.us; });
  GpuFigures figures = figuresFor(device);
  constexpr size_t shown = 5;
  if (line.has("--json")) {
    auto json = [](const Ranked &ranked) {
      JsonObject busy;
      for (size_t i = 0; i < numPipes; ++i)
        busy.number(nameOf(Limit(i)), ranked.estimate.busy[i]);
      return JsonObject()
          .text("family", ranked.candidate.schedule.family)
          .text("schedule", scheduleText(ranked.candidate))
          .text("target", attune::nameOf(ranked.candidate.target))
          .number("model_us", ranked.estimate.us)
          .text("bound_by", nameOf(ranked.estimate.limit))
          .raw("busy", busy.str())
          .str();
    };
    std::vector<std::string> best;
    for (size_t i = 0; i < std::min(shown, order.size()); ++i)
      best.push_back(json(*order[i]));
    fmt::print("{}\n", JsonObject()
                           .raw("spec", toJson(spec))
                           .raw("shape", toJson(*shape))
                           .text("device", device.name)
                           .text("figures", figures.gpu)
                           .boolean("figures_measured", figures.measured)
                           .raw("chosen", json(own))
                           .text("why", decision.why)
                           .raw("model", jsonList(best))
                           .str());
    return 0;
  }
  auto print = [](const char *name, const std::string &value) { fmt::print("{:<12} {}\n", name, value); };
  print("spec", toJson(spec));
  print("problem", shapeText(*shape));
  print("device", device.name);
  print("chosen", fmt::format("{} family, {}, target {}", chosen.schedule.family, scheduleText(chosen),
                              attune::nameOf(chosen.target)));
  print("why", decision.why.empty() ? "the compiler's default" : decision.why);
  print("figures",
        fmt::format("{}, {}", figures.gpu,
                    figures.measured ? "measured" : "from data sheets and in proportion to an H100"));
  std::string busy;
  for (size_t i = 0; i < numPipes; ++i)
    busy +=
        fmt::format("{}{} {:.0f} %", busy.empty() ? "" : ", ", nameOf(Limit(i)), 100 * own.estimate.busy[i]);
  print("busy", busy + " of its time by the model");
  fmt::print("\n  {:<8} {:<60} {:<6} {:>10}  {}\n", "family", "the model's first", "target", "about",
             "bound by");
  auto row = [&](const Ranked &ranked, const char *note) {
    fmt::print("  {:<8} {:<60} {:<6} {:>10}  {}{}\n", ranked.candidate.schedule.family,
               scheduleText(ranked.candidate), attune::nameOf(ranked.candidate.target),
               timeText(ranked.estimate.us), nameOf(ranked.estimate.limit), note);
  };
  for (size_t i = 0; i < std::min(shown, order.size()); ++i)
    row(*order[i], order[i]->candidate == chosen ? "  (chosen)" : "");
  if (task.standard)
    row(task.candidates[*task.standard], "  (the default)");
  return 0;
}

} // namespace

Status exportStore(Store &store, const std::string &file, bool winners) {
  Result<Exchange> all = everythingOf(store);
  if (!all)
    return all.error();
  return writeOutput(file, {exchangeText(winners ? winnersOnly(*all) : *all)});
}

std::function<std::optional<int>()> addTuneStore(CLI::App &tune) {
  using Line = std::shared_ptr<CommandLine>;
  std::vector<std::pair<CLI::App *, Run>> commands;
  auto add = [&](const char *name, const char *help, auto declare, int (*run)(CommandLine &)) {
    Line line = CommandLine::add(tune, name, help);
    CLI::App *app = tune.get_subcommand(name);
    app->allow_extras();
    declare(*line);
    commands.emplace_back(app, [line, run] { return run(*line); });
  };
  add(
      "results", "what is tuned: for which devices, specs and shapes, when, and the winners",
      [](CommandLine &line) {
        declareStore(line);
        line.flag("--shipped", "what came with attune, in place of the store");
        line.flag("--json", "print one JSON object");
      },
      listResults);
  add(
      "import",
      "take over results that were exported: the later one of two stays, other devices' are kept apart",
      [](CommandLine &line) {
        line.list("FILE", "exports, or stores");
        declareStore(line);
      },
      takeOver);
  add(
      "merge", "take over what other stores have, those of shards for example, by the same rules",
      [](CommandLine &line) {
        line.list("FILE", "stores, or exports");
        declareStore(line);
      },
      takeOver);
  add(
      "export", "write the store as JSON",
      [](CommandLine &line) {
        line.option("FILE", "", "where to; - is standard output");
        declareStore(line);
        line.flag("--winners", "only the winner of each spec, shape, family and target");
      },
      writeOut);
  add(
      "explain", "why this schedule: who chose it, and what the model says of it and of its rivals",
      [](CommandLine &line) {
        line.option("--shape", "SHAPE", "BATCHxHEADS_QxHEADS_KVxLEN[xLEN_KV]");
        line.option("--arch", "ARCH", "architecture to compile for (a GPU's that is here, else sm_80)");
        line.option("--gpu", "NAME",
                    "a GPU that is not here, as its driver calls it: \"NVIDIA H100 80GB HBM3\"");
        line.option("--target", "ptx|cuda", "only this target");
        declareAdvice(line);
        line.flag("--json", "print one JSON object");
        line.spec();
      },
      explain);
  return [commands]() -> std::optional<int> {
    for (const auto &[app, run] : commands)
      if (app->parsed())
        return run();
    return std::nullopt;
  };
}

} // namespace attune::cli
