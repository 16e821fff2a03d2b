//===- Results.cpp - what a candidate's trial gives -----------------------===//
#include "tuner/Results.h"

#include "tuner/Space.h"

#include <algorithm>
#include <array>
#include <utility>

namespace attune::tuner {

static constexpr std::array kVerdictNames = {"passed", "rejected", "spilled",
                                             "wrong",  "crashed",  "timed out"};

const char *nameOf(Kind kind) { return kind == Kind::Measured ? "measured" : "estimate"; }
const char *nameOf(Verdict verdict) { return kVerdictNames[size_t(verdict)]; }

std::optional<Verdict> verdictOf(std::string_view name) {
  auto found = std::find(kVerdictNames.begin(), kVerdictNames.end(), name);
  return found == kVerdictNames.end() ? std::nullopt : std::optional(Verdict(found - kVerdictNames.begin()));
}

std::string relatedKey(const AttentionSpec &spec) {
  AttentionSpec bare;
  bare.headDimQk = spec.headDimQk;
  bare.headDimV = spec.headDimV;
  bare.dtype = spec.dtype;
  return tuningKey(bare);
}

std::string tuningKey(const AttentionSpec &spec) {
  AttentionSpec bare = spec;
  bare.name = AttentionSpec().name;
  bare.schedule = {};
  bare.scale = AttentionSpec().scale;
  bare.lse = AttentionSpec().lse;
  return codeKey(bare);
}

double countersUs(const Row &row) { return row.samples.empty() ? row.median : row.samples.front(); }

bool isRefined(Kind kind, const Row &row) { return kind == Kind::Estimate && row.samples.size() > 1; }

bool isAhead(Kind kind, const Row &a, const Row &b) {
  return std::pair(!isRefined(kind, a), a.high) < std::pair(!isRefined(kind, b), b.high);
}

std::vector<StoredRow> winnersOf(const std::vector<StoredRow> &rows, const WinnerQuery &query) {
  std::vector<StoredRow> winners;
  for (size_t i = 0, end; i < rows.size(); i = end) {
    for (end = i; end < rows.size() && rows[end].row.shape == rows[i].row.shape;)
      ++end;
    const StoredRow *first = nullptr, *best = nullptr; // the first that counts names the subject that counts
    bool own = query.family.empty();
    for (size_t j = i; j < end; ++j) {
      const StoredRow &stored = rows[j];
      const Family *family = findFamily(stored.row.family);
      if (!family || stored.row.verdict != Verdict::Passed ||
          (query.target && stored.row.target != *query.target))
        continue;
      Result<Candidate> candidate = parseSchedule(*family, stored.row.schedule);
      if (!candidate || !query.schedule.agreesWith(candidate->schedule))
        continue;
      if (!first)
        first = &stored;
      if (!(stored.subject == first->subject))
        continue;
      own |= stored.row.family == query.family;
      if (!best || isAhead(stored.subject.kind, stored.row, best->row))
        best = &stored;
    }
    if (best && own)
      winners.push_back(*best);
  }
  return winners;
}

} // namespace attune::tuner
