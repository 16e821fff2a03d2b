//===- Exchange.cpp - results that travel ---------------------------------===//
#include "tuner/Exchange.h"

#include "compiler/spec/Diagnostics.h"
#include "compiler/spec/Json.h"
#include "compiler/spec/SpecReader.h"
#include "runtime/io/JsonObject.h"
#include "runtime/launch/CompiledProgram.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::tuner {

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {

JsonObject head(const Subject &subject, const ProblemShape &shape) {
  JsonObject members;
  members.text("kind", nameOf(subject.kind))
      .text("device", subject.device)
      .text("arch", subject.arch)
      .text("driver", subject.driver)
      .text("toolkit", subject.toolkit)
      .raw("spec", subject.spec)
      .raw("shape", toJson(shape));
  return members;
}

std::string textOf(const StoredSweep &stored) {
  JsonObject refusals;
  for (const auto &[reason, count] : stored.sweep.refusals)
    refusals.whole(reason, count);
  return head(stored.subject, stored.sweep.shape)
      .text("outcome", stored.sweep.outcome)
      .whole("points", stored.sweep.points)
      .whole("feasible", stored.sweep.feasible)
      .whole("tried", stored.sweep.tried)
      .number("seconds", stored.sweep.seconds)
      .number("kendall_tau", stored.sweep.tau)
      .whole("kendall_pairs", stored.sweep.tauPairs)
      .raw("refusals", refusals.str())
      .text("when", stored.when)
      .str();
}

std::string textOf(const StoredRow &stored) {
  const Row &row = stored.row;
  JsonObject members = head(stored.subject, row.shape);
  members.text("family", row.family)
      .text("schedule", row.schedule)
      .text("target", attune::nameOf(row.target))
      .text("verdict", nameOf(row.verdict));
  if (!row.message.empty())
    members.text("message", row.message);
  members.number("model_us", row.modelUs);
  if (row.median > 0)
    members.number("median_us", row.median)
        .number("low_us", row.low)
        .number("high_us", row.high)
        .number("share_of_limit", row.shareOfLimit)
        .raw("samples_us", fmt::format("[{}]", fmt::join(row.samples, ",")));
  return members.text("when", stored.when).str();
}

} // namespace

std::string exchangeText(const Exchange &exchange) {
  std::string text = fmt::format("{{\"attune_tuning\":{},\n\"sweeps\":[", Store::schemaVersion);
  for (size_t i = 0; i < exchange.sweeps.size(); ++i)
    text += (i ? ",\n" : "\n") + textOf(exchange.sweeps[i]);
  text += "],\n\"rows\":[";
  for (size_t i = 0; i < exchange.rows.size(); ++i)
    text += (i ? ",\n" : "\n") + textOf(exchange.rows[i]);
  return text + "]}\n";
}

Exchange winnersOnly(const Exchange &all) {
  Exchange winners;
  for (const StoredRow &stored : all.rows) {
    if (stored.row.verdict != Verdict::Passed || stored.row.median <= 0)
      continue;
    auto same = std::find_if(winners.rows.begin(), winners.rows.end(), [&](const StoredRow &known) {
      return known.subject == stored.subject && known.row.shape == stored.row.shape &&
             known.row.target == stored.row.target && known.row.family == stored.row.family;
    });
    if (same == winners.rows.end())
      winners.rows.push_back(stored);
    else if (stored.row.high < same->row.high)
      *same = stored;
  }
  return winners;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {

using json::Value;

/// Takes the members of one object of a file; the first mistake is kept.
class Reader {
public:
  Reader(std::string_view text, std::string_view file) : text(text), file(file) {}

  Result<Exchange> read() {
    std::vector<Diagnostic> problems;
    Value root = json::parse(text, problems);
    if (!problems.empty())
      return badInput(render(text, file, problems));
    const Value *version = member(root, "attune_tuning");
    if (root.kind != Value::Kind::Object || !version)
      return badInput(
          fmt::format("{}: error: expected results that attune tune exported, got another file", file));
    if (version->number != Store::schemaVersion)
      return badInput(
          fmt::format("{}: error: expected results of version {}, got {}; use the attune that wrote them",
                      file, Store::schemaVersion, version->text));
    Exchange exchange;
    for (const Value &value : list(root, "sweeps")) {
      StoredSweep stored;
      SweepRecord &sweep = stored.sweep;
      readHead(value, stored.subject, sweep.shape);
      sweep.outcome = words(value, "outcome");
      sweep.points = int64_t(number(value, "points"));
      sweep.feasible = int64_t(number(value, "feasible"));
      sweep.tried = int64_t(number(value, "tried"));
      sweep.seconds = number(value, "seconds");
      sweep.tau = number(value, "kendall_tau");
      sweep.tauPairs = int64_t(number(value, "kendall_pairs"));
      if (const Value *refusals = member(value, "refusals"))
        for (const json::Member &one : refusals->members)
          sweep.refusals[one.key] = int64_t(one.value.number);
      stored.when = words(value, "when");
      exchange.sweeps.push_back(std::move(stored));
    }
    for (const Value &value : list(root, "rows")) {
      exchange.rows.push_back(row(value));
      if (wrong)
        break;
    }
    if (wrong)
      return *wrong;
    return exchange;
  }

private:
  static const Value *member(const Value &object, std::string_view key) {
    for (const json::Member &one : object.members)
      if (one.key == key)
        return &one.value;
    return nullptr;
  }

  void mistake(const Value &at, std::string message) {
    if (!wrong)
      wrong = badInput(render(text, file, {{at.range, std::move(message)}}));
  }

  const std::vector<Value> &list(const Value &object, std::string_view key) {
    static const std::vector<Value> none;
    const Value *value = member(object, key);
    if (value && value->kind != Value::Kind::Array)
      mistake(*value, fmt::format("expected a list, got {}", json::describe(*value)));
    return value ? value->elements : none;
  }

  std::string words(const Value &object, std::string_view key) {
    const Value *value = member(object, key);
    if (!value || value->kind != Value::Kind::String)
      mistake(value ? *value : object, fmt::format("expected \"{}\" with a text", key));
    return value ? value->text : "";
  }

  double number(const Value &object, std::string_view key, bool needed = true) {
    const Value *value = member(object, key);
    if (!value && !needed)
      return 0;
    if (!value || value->kind != Value::Kind::Number || !std::isfinite(value->number))
      mistake(value ? *value : object, fmt::format("expected \"{}\" with a number", key));
    return value ? value->number : 0;
  }

  void readHead(const Value &object, Subject &subject, ProblemShape &shape) {
    std::string kind = words(object, "kind");
    if (kind != "measured" && kind != "estimate")
      mistake(object, fmt::format("expected \"kind\" to be \"measured\" or \"estimate\", got \"{}\"", kind));
    subject.kind = kind == "estimate" ? Kind::Estimate : Kind::Measured;
    subject.device = words(object, "device");
    subject.arch = words(object, "arch");
    subject.driver = words(object, "driver");
    subject.toolkit = words(object, "toolkit");
    if (const Value *spec = member(object, "spec")) {
      std::string_view written = text.substr(spec->range.begin, spec->range.end - spec->range.begin);
      // Sweeps come in runs of one spec.
      if (written != lastWritten) {
        Result<AttentionSpec> read = readSpec(written, file);
        if (!read)
          return mistake(*spec, "expected a spec that this attune knows");
        read->schedule = {};
        lastWritten = written;
        lastKey = tuningKey(*read);
        lastSpec = toJson(*read);
      }
      subject.specKey = lastKey;
      subject.spec = lastSpec;
    } else {
      mistake(object, "expected \"spec\"");
    }
    if (const Value *value = member(object, "shape")) {
      shape.batch = int64_t(number(*value, "batch"));
      shape.headsQ = int64_t(number(*value, "heads_q"));
      shape.headsKv = int64_t(number(*value, "heads_kv"));
      shape.lengthQ = int64_t(number(*value, "length_q"));
      shape.lengthKv = int64_t(number(*value, "length_kv"));
      if (shape.batch < 1 || shape.headsQ < 1 || shape.headsKv < 1 || shape.lengthQ < 1 || shape.lengthKv < 1)
        mistake(*value, "expected a shape of whole numbers from 1 on");
    } else {
      mistake(object, "expected \"shape\"");
    }
  }

  StoredRow row(const Value &value) {
    StoredRow stored;
    Row &row = stored.row;
    readHead(value, stored.subject, row.shape);
    row.family = words(value, "family");
    row.schedule = words(value, "schedule");
    std::string target = words(value, "target"), verdict = words(value, "verdict");
    if (target != "ptx" && target != "cuda")
      mistake(value, fmt::format("expected \"target\" to be \"ptx\" or \"cuda\", got \"{}\"", target));
    row.target = target == "cuda" ? Target::CUDA : Target::PTX;
    std::optional<Verdict> known = verdictOf(verdict);
    if (!known)
      mistake(value, fmt::format("expected a verdict such as \"passed\", got \"{}\"", verdict));
    row.verdict = known.value_or(Verdict::Rejected);
    if (member(value, "message"))
      row.message = words(value, "message");
    row.modelUs = number(value, "model_us");
    row.median = number(value, "median_us", false);
    row.low = number(value, "low_us", false);
    row.high = number(value, "high_us", false);
    row.shareOfLimit = number(value, "share_of_limit", false);
    for (const Value &sample : list(value, "samples_us"))
      row.samples.push_back(sample.number);
    stored.when = words(value, "when");
    return stored;
  }

  std::string_view text, file;
  std::optional<Error> wrong;
  std::string_view lastWritten;
  std::string lastKey, lastSpec;
};

} // namespace

Result<Exchange> readExchange(std::string_view text, std::string_view file) {
  return Reader(text, file).read();
}

//===----------------------------------------------------------------------===//
// What is shipped
//===----------------------------------------------------------------------===//

namespace {
constexpr unsigned char shippedH100[] = {
#embed "shipped/nvidia-h100.json"
};
constexpr std::pair<const char *, std::span<const unsigned char>> kShipped[] = {
    {"nvidia-h100.json", shippedH100},
};
} // namespace

const Exchange &shippedResults() {
  static const Exchange all = [] {
    Exchange exchange;
    for (const auto &[name, bytes] : kShipped)
      // A file that cannot be read would be a mistake of the build, which its test finds.
      if (Result<Exchange> read =
              readExchange({reinterpret_cast<const char *>(bytes.data()), bytes.size()}, name)) {
        exchange.rows.insert(exchange.rows.end(), read->rows.begin(), read->rows.end());
        exchange.sweeps.insert(exchange.sweeps.end(), read->sweeps.begin(), read->sweeps.end());
      }
    return exchange;
  }();
  return all;
}

} // namespace attune::tuner
