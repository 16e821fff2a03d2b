//===- Model.cpp - attune model -------------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"
#include "cli/Report.h"
#include "cli/Sweeps.h"
#include "compiler/spec/SpecReader.h"
#include "runtime/io/File.h"
#include "tuner/ModelCheck.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

using namespace tuner;

namespace {

std::string verdictsJson(const CheckedSweep &sweep, const Verdicts &verdicts) {
  const Row &choice = sweep.rows[verdicts.choice].row;
  JsonObject json;
  json.number("tau", verdicts.tau).whole("pairs", int64_t(verdicts.pairs));
  json.text("choice", choice.schedule)
      .text("family", choice.family)
      .text("target", attune::nameOf(choice.target));
  json.number("regret", verdicts.regret).number("surely_lost", verdicts.surelyLost);
  if (verdicts.toStandard > 0)
    json.number("ratio_to_default", verdicts.toStandard);
  return json.str();
}

int check(CommandLine &line) {
  std::string file = line.text("FILE");
  if (file.empty())
    line.problem("FILE", "expected a file of results (attune tune export), got none");
  if (Status good = line.problems(); !good)
    return report(good.error());
  Result<std::string> text = readFile(file);
  if (!text)
    return report(text.error());
  Result<Exchange> exchange = readExchange(*text, file);
  if (!exchange)
    return report(exchange.error());
  ModelReport checked = checkModel(*exchange, line.has("--fit"));
  if (checked.sweeps.empty())
    return report(badInput(fmt::format(
        "{}: error: expected a sweep with at least {} measured schedules, got none", file, leastRows)));
  if (line.has("--json")) {
    std::vector<std::string> sweeps;
    for (const CheckedSweep &sweep : checked.sweeps)
      sweeps.push_back(JsonObject()
                           .text("device", sweep.subject.device)
                           .raw("spec", sweep.subject.spec)
                           .raw("shape", toJson(sweep.shape))
                           .whole("rows", int64_t(sweep.rows.size()))
                           .number("measured_over_model", sweep.scale)
                           .raw("as_shipped", verdictsJson(sweep, sweep.asShipped))
                           .raw("left_out", checked.fitted ? verdictsJson(sweep, sweep.leftOut) : "null")
                           .str());
    JsonObject json;
    json.raw("sweeps", jsonList(sweeps)).whole("rows_left", int64_t(checked.left));
    if (checked.best) {
      JsonObject fields;
      for (const Coefficients::Field &field : Coefficients::fields())
        fields.number(field.name, *checked.best.*field.value);
      json.raw("fitted", fields.str());
    }
    fmt::print("{}\n", json.str());
    return 0;
  }
  fmt::print("{:<52} {:>5} {:>6} {:>6} | {:>9} {:>9} {:>9} | {}\n", "sweep", "rows", "tau", "left",
             "over best", "surely", "/default", "the model's first");
  std::string device;
  for (const CheckedSweep &sweep : checked.sweeps) {
    if (sweep.subject.device != device)
      fmt::print("{}\n", device = sweep.subject.device);
    Result<AttentionSpec> spec = readSpec(sweep.subject.spec, "spec");
    auto row = [&](const std::string &name, const Verdicts &verdicts, bool left) {
      const Row &choice = sweep.rows[verdicts.choice].row;
      fmt::print("{:<52} {:>5} {:>6} {:>6} | {:>7.2f} % {:>7.2f} % {:>9} | {} {}, {}\n", name,
                 sweep.rows.size(), left ? "" : fmt::format("{:.3f}", verdicts.tau),
                 left ? fmt::format("{:.3f}", verdicts.tau) : "", 100 * verdicts.regret,
                 100 * verdicts.surelyLost,
                 verdicts.toStandard > 0 ? fmt::format("{:.3f}", verdicts.toStandard) : "-", choice.family,
                 choice.schedule, attune::nameOf(choice.target));
    };
    row(fmt::format("  {}, {} x {}", spec ? specText(*spec) : "", sweep.shape.lengthQ, sweep.shape.lengthKv),
        sweep.asShipped, false);
    if (checked.fitted)
      row("    fitted to the other sweeps", sweep.leftOut, true);
  }
  if (checked.left)
    fmt::print("{} rows were left aside: refused, estimates, or of sweeps with fewer than {} that passed\n",
               checked.left, leastRows);
  if (checked.best)
    for (const Coefficients::Field &field : Coefficients::fields())
      fmt::print("  {:<16} {:.4g}\n", field.name, *checked.best.*field.value);
  return 0;
}

} // namespace

Run addModel(CLI::App &parent) {
  CLI::App *model = parent.add_subcommand("model", "judge the cost model that orders schedules");
  model->require_subcommand(0, 1);
  model->allow_extras();
  auto line = CommandLine::add(
      *model, "check",
      "by measured schedules: the agreement of the orders (Kendall's tau, of pairs that "
      "differ by more than their intervals) and what is lost by taking the model's first, as "
      "attune is shipped and with coefficients fitted to the other sweeps of the file alone");
  line->option("FILE", "", "results, as attune tune export writes them");
  line->flag("--fit", "also print coefficients fitted to all sweeps of the file");
  line->flag("--json", "print one JSON object");
  CLI::App *check = model->get_subcommand("check");
  check->allow_extras();
  return [model, check, line] {
    if (check->parsed())
      return cli::check(*line);
    if (std::vector<std::string> extras = model->remaining(); !extras.empty())
      return report(unknownCommand(*model, extras.front()));
    std::fputs(model->help().c_str(), stderr);
    return 2;
  };
}

} // namespace attune::cli
