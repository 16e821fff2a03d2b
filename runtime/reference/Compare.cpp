//===- Compare.cpp - is a result right? -----------------------------------===//
#include "runtime/reference/Compare.h"

#include "runtime/reference/Float16.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace attune::reference {
namespace {

/// Gathers |value - exact| over elements.
class Accumulator {
public:
  void add(double error) {
    stats.maximum = std::max(stats.maximum, error);
    sum += error;
    squares += error * error;
    ++stats.count;
  }
  ErrorStats finish() {
    if (stats.count) {
      stats.mean = sum / double(stats.count);
      stats.rms = std::sqrt(squares / double(stats.count));
    }
    return stats;
  }

private:
  ErrorStats stats;
  double sum = 0, squares = 0;
};

/// Calls visit(batch, head, row, index of the row in dense order) for every query row.
template <typename Visit> void forEachRow(const Problem &problem, const Visit &visit) {
  int64_t index = 0;
  for (int b = 0; b < problem.batch; ++b)
    for (int h = 0; h < problem.headsQ; ++h)
      for (int r = 0; r < problem.lengthQ; ++r)
        visit(b, h, r, index++);
}

/// Whether `got` is the right special value for a finite or special `exact`; both finite counts as right.
/// Where the exact value is beyond the type's range, an infinity and the largest finite value are both right.
bool sameKind(double got, double exact, double largest) {
  if (std::isnan(exact) || std::isnan(got))
    return std::isnan(exact) && std::isnan(got);
  if (std::isinf(got))
    return std::abs(exact) >= largest && std::signbit(got) == std::signbit(exact);
  return std::isfinite(exact);
}

std::optional<double> ratioOf(const ErrorStats &own, const ErrorStats &plain, double ErrorStats::*part) {
  if (own.*part == 0 || plain.*part == 0)
    return own.*part == 0 && own.count ? std::optional(0.0) : std::nullopt;
  return own.*part / plain.*part;
}

std::string location(const ElementReport &at, bool withDim) {
  return fmt::format("batch {}, head {}, row {}{}", at.batch, at.head, at.row,
                     withDim ? fmt::format(", dim {}", at.dim) : "");
}

void judgeOutput(const AttentionSpec &spec, const Problem &problem, const uint16_t *o,
                 const ExactAttention &exact, const std::vector<uint16_t> &plain, Report &report) {
  // Values from the middle between the largest finite one and the next power of two on round to infinity.
  double largest = spec.dtype == DType::BF16 ? 0x1.ffp127 : 0x1.ffep15;
  double unit = unitRoundoff(spec.dtype), smallest = spec.dtype == DType::BF16 ? 0x1p-133 : 0x1p-24;
  Accumulator own, yardstick;
  double largestExact = 0, floorMaximum = 0, floorSquares = 0, worstError = -1;
  int64_t floorCount = 0;
  forEachRow(problem, [&](int b, int h, int r, int64_t index) {
    const uint16_t *row = o + problem.o.at(b, h, r);
    for (int d = 0; d < spec.headDimV; ++d) {
      int64_t dense = index * spec.headDimV + d;
      double expected = exact.o[dense], got = toFloat(spec.dtype, row[d]),
             theirs = toFloat(spec.dtype, plain[dense]);
      ElementReport here{b, h, r, d, expected, got};
      if (row[d] == unwritten16) {
        if (report.unwritten++ == 0)
          report.worst = here;
        continue;
      }
      if (!sameKind(got, expected, largest)) {
        if (report.mismatched++ == 0 && !report.unwritten)
          report.worst = here;
        continue;
      }
      if (!std::isfinite(expected))
        continue;
      largestExact = std::max(largestExact, std::abs(expected));
      if (!exact.spread.empty()) {
        double variance = expected * expected + exact.spread[dense] * exact.spread[dense];
        floorMaximum = std::max(floorMaximum, std::sqrt(variance));
        floorSquares += variance;
        ++floorCount;
      }
      if (std::isfinite(theirs))
        yardstick.add(std::abs(theirs - expected));
      if (!std::isfinite(got))
        continue;
      double error = std::abs(got - expected);
      own.add(error);
      report.ulps = std::max(report.ulps, error / (2 * unit * std::abs(expected) + smallest));
      if (error > worstError && !report.unwritten && !report.mismatched) {
        worstError = error;
        report.worst = here;
      }
    }
  });
  report.o = own.finish();
  report.plain = yardstick.finish();
  report.ratio = ratioOf(report.o, report.plain, &ErrorStats::maximum);
  report.ratioRms = ratioOf(report.o, report.plain, &ErrorStats::rms);
  if (exact.spread.empty()) {
    report.floorMaximum = report.floorRms = 0x1p-20 * largestExact;
  } else if (floorCount) {
    report.floorMaximum = unit * floorMaximum;
    report.floorRms = unit * std::sqrt(floorSquares / double(floorCount));
  }
}

void judgeLse(const AttentionSpec &spec, const Problem &problem, const float *lse,
              const ExactAttention &exact, Report &report) {
  // Scores are sums of f32 of terms below the bound, and exponents are formed in f32 from scores; a thread
  // adds a quarter of the row's terms one by one. The factors leave room for truncating tensor cores.
  report.lseTolerance = 0x1p-18 * (1 + exact.scoreBound + std::abs(spec.softcap.value_or(0))) +
                        0x1p-22 * std::sqrt(double(problem.lengthKv));
  report.lseChecked = true;
  Accumulator own;
  double worstError = -1;
  forEachRow(problem, [&](int b, int h, int r, int64_t index) {
    float value = lse[problem.lse.at(b, h, r)];
    double expected = exact.lse[index];
    ElementReport here{b, h, r, 0, expected, value};
    if (std::bit_cast<uint32_t>(value) == unwritten32) {
      if (report.unwrittenLse++ == 0)
        report.worstLse = here;
    } else if (std::isfinite(expected) && std::isfinite(value)) {
      double error = std::abs(value - expected);
      own.add(error);
      if (error > worstError && !report.unwrittenLse && !report.mismatchedLse) {
        worstError = error;
        report.worstLse = here;
      }
    } else if (!sameKind(value, expected, 0x1.ffffffp127)) { // from there on f32 rounds to infinity
      if (report.mismatchedLse++ == 0 && !report.unwrittenLse)
        report.worstLse = here;
    }
  });
  report.lse = own.finish();
}

std::string findFault(const Report &report) {
  if (report.unwritten)
    return fmt::format("{} elements of O were never written, the first at {}", report.unwritten,
                       location(report.worst, true));
  if (report.mismatched)
    return fmt::format(
        "{} elements of O are NaN or infinite where fp64 is not, or the reverse: at {} expected {}, got {}",
        report.mismatched, location(report.worst, true), report.worst.expected, report.worst.got);
  if (report.unwrittenLse)
    return fmt::format("{} elements of LSE were never written, the first at {}", report.unwrittenLse,
                       location(report.worstLse, false));
  if (report.mismatchedLse)
    return fmt::format(
        "{} elements of LSE are NaN or infinite where fp64 is not, or the reverse: at {} expected {}, got {}",
        report.mismatchedLse, location(report.worstLse, false), report.worstLse.expected,
        report.worstLse.got);
  double limit = 2 * report.plain.maximum + report.floorMaximum;
  if (report.o.maximum > limit && report.ulps > 1)
    return fmt::format(
        "expected an error of O of at most {:.3g} (twice the plain algorithm's {:.3g}), got {:.3g} at {}: "
        "expected {:.8g}, got {:.8g}",
        limit, report.plain.maximum, report.o.maximum, location(report.worst, true), report.worst.expected,
        report.worst.got);
  limit = 2 * report.plain.rms + report.floorRms;
  if (report.o.rms > limit && report.ulps > 1)
    return fmt::format(
        "expected an RMS error of O of at most {:.3g} (twice the plain algorithm's {:.3g}), got {:.3g}",
        limit, report.plain.rms, report.o.rms);
  if (report.lse.maximum > report.lseTolerance)
    return fmt::format(
        "expected an error of LSE of at most {:.3g}, got {:.3g} at {}: expected {:.8g}, got {:.8g}",
        report.lseTolerance, report.lse.maximum, location(report.worstLse, false), report.worstLse.expected,
        report.worstLse.got);
  return "";
}

std::string jsonNumber(double value) {
  if (std::isnan(value))
    return "\"nan\"";
  if (std::isinf(value))
    return value > 0 ? "\"inf\"" : "\"-inf\"";
  return fmt::format("{}", value);
}

/// null: there is no such number.
std::string jsonNumber(const std::optional<double> &value) { return value ? jsonNumber(*value) : "null"; }

std::string jsonStats(const ErrorStats &stats) {
  return fmt::format(R"({{"max":{},"mean":{},"rms":{},"count":{}}})", jsonNumber(stats.maximum),
                     jsonNumber(stats.mean), jsonNumber(stats.rms), stats.count);
}

std::string jsonElement(const ElementReport &at) {
  return fmt::format(R"({{"batch":{},"head":{},"row":{},"dim":{},"expected":{},"got":{}}})", at.batch,
                     at.head, at.row, at.dim, jsonNumber(at.expected), jsonNumber(at.got));
}

} // namespace

Report compare(const AttentionSpec &spec, const Problem &problem, const Outputs &outputs,
               const ExactAttention &exact, const std::vector<uint16_t> &plain) {
  Report report;
  judgeOutput(spec, problem, outputs.o, exact, plain, report);
  if (outputs.lse)
    judgeLse(spec, problem, outputs.lse, exact, report);
  report.why = findFault(report);
  report.passed = report.why.empty();
  return report;
}

Report verify(const AttentionSpec &spec, const Problem &problem, const Inputs &inputs,
              const Outputs &outputs) {
  return compare(spec, problem, outputs, exactAttention(spec, problem, inputs),
                 plainAttention(spec, problem, inputs));
}

std::string toText(const Report &report) {
  auto ratio = [](const std::optional<double> &value) {
    return value ? fmt::format("{:.2f}", *value) : std::string("none");
  };
  std::string text;
  if (report.o.count == 0) {
    text = "error   nothing to compare: no element is finite in fp64 and in O\n";
  } else {
    text = fmt::format("error   max {:.3g}, rms {:.3g}; plain 16-bit: ", report.o.maximum, report.o.rms);
    text += report.plain.count ? fmt::format("max {:.3g}, rms {:.3g}", report.plain.maximum, report.plain.rms)
                               : std::string("not finite anywhere");
    text += fmt::format("; ratio {}, {} (limit 2)\n", ratio(report.ratio), ratio(report.ratioRms));
  }
  if (report.lseChecked)
    text += fmt::format("LSE     max {:.3g} (limit {:.3g})\n", report.lse.maximum, report.lseTolerance);
  if (!report.passed)
    return text + fmt::format("verdict failed: {}\n", report.why);
  // A result that passes without the ratio says by which rule.
  bool byRatio = report.ratio && *report.ratio <= 2 && report.ratioRms && *report.ratioRms <= 2;
  std::string rule = byRatio               ? ""
                     : report.o.count == 0 ? ": NaN and infinite where fp64 is"
                     : report.ulps <= 1    ? ": each element is within one unit in the last place"
                                           : fmt::format(": within the floor of {:.3g} of so small an output",
                                                         report.floorMaximum);
  return text + "verdict passed" + rule + "\n";
}

std::string toJson(const Report &report) {
  std::string why; // holds no character that JSON escapes: made of numbers and fixed words
  for (char c : report.why)
    why += c == '"' || c == '\\' ? '\'' : c;
  std::string json = fmt::format(
      R"({{"passed":{},"error":{},"plain_error":{},"ratio_max":{},"ratio_rms":{},"floor_max":{},"floor_rms":{},"ulps":{},)"
      R"("unwritten":{},"mismatched":{},"worst":{})",
      report.passed, jsonStats(report.o), jsonStats(report.plain), jsonNumber(report.ratio),
      jsonNumber(report.ratioRms), jsonNumber(report.floorMaximum), jsonNumber(report.floorRms),
      jsonNumber(report.ulps), report.unwritten, report.mismatched, jsonElement(report.worst));
  if (report.lseChecked)
    json += fmt::format(R"(,"lse":{{"error":{},"tolerance":{},"unwritten":{},"mismatched":{},"worst":{}}})",
                        jsonStats(report.lse), jsonNumber(report.lseTolerance), report.unwrittenLse,
                        report.mismatchedLse, jsonElement(report.worstLse));
  return json + fmt::format(R"(,"why":"{}"}})", why);
}

std::string firstDifference(const AttentionSpec &spec, const Problem &problem, const Outputs &got,
                            const Outputs &expected) {
  std::string message;
  int64_t differences = 0;
  auto note = [&](const char *array, const ElementReport &at, bool withDim, uint32_t gotBits,
                  uint32_t expectedBits) {
    if (differences++ == 0)
      message = fmt::format("{} at {}: expected {:.9g} (0x{:x}), got {:.9g} (0x{:x})", array,
                            location(at, withDim), at.expected, expectedBits, at.got, gotBits);
  };
  forEachRow(problem, [&](int b, int h, int r, int64_t) {
    int64_t row = problem.o.at(b, h, r);
    for (int d = 0; d < spec.headDimV; ++d) {
      uint16_t left = got.o[row + d], right = expected.o[row + d];
      if (left != right)
        note("O", {b, h, r, d, toFloat(spec.dtype, right), toFloat(spec.dtype, left)}, true, left, right);
    }
    if (!got.lse || !expected.lse)
      return;
    float left = got.lse[problem.lse.at(b, h, r)], right = expected.lse[problem.lse.at(b, h, r)];
    if (std::bit_cast<uint32_t>(left) != std::bit_cast<uint32_t>(right))
      note("LSE", {b, h, r, 0, right, left}, false, std::bit_cast<uint32_t>(left),
           std::bit_cast<uint32_t>(right));
  });
  if (differences > 1)
    message += fmt::format("; {} elements differ in all", differences);
  return message;
}

} // namespace attune::reference
