//===- Checkers.cpp - findings: what they say and when they count as one --===//
#include "simulator/Cluster.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

std::string_view name(FindingKind kind) {
  switch (kind) {
  case FindingKind::OutOfBounds:
    return "out of bounds";
  case FindingKind::Misaligned:
    return "misaligned access";
  case FindingKind::Uninitialised:
    return "uninitialised data";
  case FindingKind::Race:
    return "race";
  case FindingKind::MissingWait:
    return "missing wait";
  case FindingKind::MissingFence:
    return "missing fence";
  case FindingKind::BarrierMisuse:
    return "barrier misuse";
  case FindingKind::Divergence:
    return "divergence";
  case FindingKind::Deadlock:
    return "deadlock";
  case FindingKind::EndlessLoop:
    return "endless loop";
  case FindingKind::Trap:
    return "trap";
  case FindingKind::BadOperand:
    return "bad operand";
  case FindingKind::Lifetime:
    return "block lifetime";
  case FindingKind::Assertion:
    return "assertion";
  case FindingKind::StackOverflow:
    return "stack overflow";
  case FindingKind::Heap:
    return "heap misuse";
  }
  return "fault";
}

static std::string siteText(const Site &s) {
  std::string text = fmt::format("{}:{}: `{}`", s.ptxFile, s.ptxLine, s.instruction);
  if (!s.sourceFile.empty())
    text += fmt::format(" ({}:{})", s.sourceFile, s.sourceLine);
  return text;
}

std::string Finding::text() const {
  std::string t = fmt::format("{}:{}: {}: {}\n  at {}\n  in block ({}, {}, {}), thread ({}, {}, {}), warp {}",
                              site.ptxFile, site.ptxLine, name(kind), message, siteText(site), block[0],
                              block[1], block[2], thread[0], thread[1], thread[2], warp);
  if (hasOther) {
    t +=
        fmt::format("\n  {}: {}, ", kind == FindingKind::Uninitialised ? "it matters at" : "the other access",
                    siteText(other));
    t += otherThread
             ? fmt::format("block ({}, {}, {}), thread ({}, {}, {}), warp {}", otherBlock[0], otherBlock[1],
                           otherBlock[2], (*otherThread)[0], (*otherThread)[1], (*otherThread)[2], otherWarp)
         : otherBlock != block ? fmt::format("block ({}, {}, {}), warp {}", otherBlock[0], otherBlock[1],
                                             otherBlock[2], otherWarp)
                               : fmt::format("warp {}", otherWarp);
  }
  if (count > 1)
    t += fmt::format("\n  {} times", count);
  return t;
}

static Site siteOf(const Launch &launch, uint32_t statement) {
  const Program::Line &line = launch.program->statements[statement];
  Site s;
  s.ptxFile = launch.module->ast.fileName;
  s.ptxLine = line.ptxLine;
  s.instruction = std::string(line.text);
  std::replace(s.instruction.begin(), s.instruction.end(), '\n', ' ');
  std::replace(s.instruction.begin(), s.instruction.end(), '\t', ' ');
  auto file = launch.module->ast.files.find(line.sourceFile);
  if (line.sourceFile && file != launch.module->ast.files.end()) {
    s.sourceFile = file->second;
    s.sourceLine = line.sourceLine;
  }
  return s;
}

bool reportedBefore(Warp &w, const Inst &i, FindingKind kind) {
  auto it = w.worker->findings.find({i.statement, kind});
  if (it == w.worker->findings.end())
    return false;
  ++it->second.finding.count;
  return true;
}

static std::array<uint32_t, 3> threadAt(const Launch &launch, uint32_t warp, uint32_t lane) {
  const auto &block = launch.config->block;
  uint32_t t = warp * 32 + lane;
  return {t % block[0], t / block[0] % block[1], t / block[0] / block[1]};
}

Finding findingAt(const Launch &launch, uint32_t statement, FindingKind kind, uint64_t block, uint32_t warp,
                  uint32_t lane, uint64_t address, std::string message) {
  Finding f;
  f.kind = kind;
  f.message = std::move(message);
  f.site = siteOf(launch, statement);
  f.block = blockAt(*launch.config, block);
  f.thread = threadAt(launch, warp, lane);
  f.warp = warp;
  f.address = address;
  return f;
}

static Finding finding(Warp &w, const Inst &i, FindingKind kind, uint32_t lane, uint64_t address,
                       std::string message, OtherAccess other) {
  const Launch &launch = *w.worker->launch;
  Finding f = findingAt(launch, i.statement, kind, w.cta->linear, w.index, lane, address, std::move(message));
  if (other.statement >= 0) {
    f.hasOther = true;
    f.other = siteOf(launch, uint32_t(other.statement));
    f.otherWarp = other.warp;
    f.otherBlock = other.block < 0 ? f.block : blockAt(*launch.config, uint64_t(other.block));
    if (other.lane >= 0)
      f.otherThread = threadAt(launch, other.warp, uint32_t(other.lane));
  }
  return f;
}

void report(Warp &w, const Inst &i, FindingKind kind, uint32_t lane, uint64_t address, std::string message,
            OtherAccess other) {
  if (!reportedBefore(w, i, kind))
    w.worker->findings[{i.statement, kind}] = {finding(w, i, kind, lane, address, std::move(message), other),
                                               w.cta->linear};
}

void suspect(Warp &w, const Inst &i, uint32_t readStatement, uint32_t lane, uint64_t address,
             std::string message, OtherAccess other) {
  auto [it, fresh] = w.worker->suspects.try_emplace({{i.statement, FindingKind::Race}, readStatement});
  if (fresh)
    it->second = {finding(w, i, FindingKind::Race, lane, address, std::move(message), other), w.cta->linear};
  else
    ++it->second.finding.count;
}

std::string describeShared(const Warp &w, uint32_t address) {
  const Variable *best = nullptr;
  for (const Variable &v : w.program->sharedVariables)
    if (v.offset <= address && (!best || v.offset >= best->offset))
      best = &v;
  std::string text = fmt::format("shared address 0x{:x}", address);
  if (best)
    text += fmt::format(" ({} + {})", best->name, address - best->offset);
  return text;
}

void reportGlobalOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                             bool write) {
  if (reportedBefore(w, i, FindingKind::OutOfBounds))
    return;
  report(w, i, FindingKind::OutOfBounds, lane, address,
         fmt::format("{} of {} bytes at 0x{:x}, {}", write ? "write" : "read", bytes, address,
                     w.worker->launch->memory->describe(address)));
}

void reportSharedOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                             bool write) {
  if (reportedBefore(w, i, FindingKind::OutOfBounds))
    return;
  report(w, i, FindingKind::OutOfBounds, lane, address,
         fmt::format("{} of {} bytes at {}; the block has {} bytes of shared memory at 0x{:x}...0x{:x}",
                     write ? "write" : "read", bytes, describeShared(w, uint32_t(address)),
                     w.cta->sharedBytes, kSharedBase, kSharedBase + w.cta->sharedBytes));
}

void reportOutsideVariable(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                           bool write) {
  if (reportedBefore(w, i, FindingKind::OutOfBounds))
    return;
  const SharedRange &range = w.program->ranges[i.statement];
  std::string own;
  for (const Variable &v : w.program->sharedVariables)
    if (v.offset == range.begin && v.size > 0)
      own = v.name;
  report(w, i, FindingKind::OutOfBounds, lane, address,
         fmt::format("{} of {} bytes at {}; its address is computed from that of {}, which has {} bytes at "
                     "0x{:x}...0x{:x}",
                     write ? "write" : "read", bytes, describeShared(w, uint32_t(address)), own,
                     range.end - range.begin, range.begin, range.end));
}

void checkInsideVariable(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t bytes,
                         bool write) {
  const SharedRange &range = w.program->ranges[i.statement];
  for (uint32_t m = mask; m; m &= m - 1) {
    uint32_t lane = uint32_t(__builtin_ctz(m));
    if (!range.contains(address[lane], address[lane] + bytes))
      return reportOutsideVariable(w, i, lane, address[lane], bytes, write);
  }
}

void reportLocalOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                            bool write) {
  if (reportedBefore(w, i, FindingKind::OutOfBounds))
    return;
  report(w, i, FindingKind::OutOfBounds, lane, address,
         fmt::format("{} of {} bytes at local address 0x{:x}; a thread has {} bytes of local memory",
                     write ? "write" : "read", bytes, address, w.program->info.localBytes));
}

void reportMisaligned(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes) {
  if (reportedBefore(w, i, FindingKind::Misaligned))
    return;
  report(w, i, FindingKind::Misaligned, lane, address,
         fmt::format("address 0x{:x}{} of an access of {} bytes; expected a multiple of {}", address,
                     w.worker->launch->memory->find(address) >= 0
                         ? ", " + w.worker->launch->memory->describe(address) + ","
                         : "",
                     bytes, bytes));
}

void reportGlobalUninitialised(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes) {
  if (reportedBefore(w, i, FindingKind::Uninitialised))
    return;
  report(w, i, FindingKind::Uninitialised, lane, address,
         fmt::format("read of {} bytes at 0x{:x}, {}, of which some were never written", bytes, address,
                     w.worker->launch->memory->describe(address)));
}

const AsyncCopy *asyncCovering(const Cta &cta, uint32_t address, uint32_t bytes, uint32_t &warp) {
  for (const Warp &w : cta.warps)
    for (const AsyncCopy &c : w.copies)
      for (uint32_t m = c.mask; m; m &= m - 1) {
        uint32_t l = uint32_t(__builtin_ctz(m));
        if (c.shared[l] < address + bytes && address < c.shared[l] + c.size) {
          warp = w.index;
          return &c;
        }
      }
  return nullptr;
}

bool reportInFlight(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes) {
  uint32_t other = 0;
  if (place.cta->async && place.cta->async->writing(place.offset, bytes))
    return true; // which AsyncProxy has told
  const AsyncCopy *copy = asyncCovering(*place.cta, place.offset, bytes, other);
  if (!copy || reportedBefore(w, i, FindingKind::MissingWait))
    return copy;
  report(
      w, i, FindingKind::MissingWait, lane,
      place.cta == w.cta ? kSharedBase + place.offset : clusterAddress(place),
      fmt::format("read of {} bytes at {} while a cp.async of warp {} to it is in flight; expected its group "
                  "committed, cp.async.wait_group by that warp, and a barrier before the read",
                  bytes, describePlace(w, place), other),
      {copy->inst->statement, other, -1, int64_t(place.cta->linear)});
  return true;
}

void reportUninitialised(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes) {
  uint64_t told = place.cta == w.cta ? kSharedBase + place.offset : clusterAddress(place);
  if (reportInFlight(w, i, lane, place, bytes) || reportedBefore(w, i, FindingKind::Uninitialised))
    return;
  report(w, i, FindingKind::Uninitialised, lane, told,
         fmt::format("read of {} bytes at {}, of which some were never written", bytes,
                     describePlace(w, place)));
}

uint32_t neverWritten(Warp &w, const Inst &i, uint32_t bad, const uint64_t *offset, uint32_t bytes) {
  auto copies = [](const Warp &x) { return !x.copies.empty(); };
  if (w.cta->async || std::any_of(w.cta->warps.begin(), w.cta->warps.end(), copies))
    for (uint32_t m = bad; m; m &= m - 1) {
      uint32_t l = uint32_t(__builtin_ctz(m));
      if (reportInFlight(w, i, l, {w.cta, uint32_t(offset[l])}, bytes))
        bad &= ~(1u << l);
    }
  return bad;
}

void reportUndefined(Warp &w, const Inst &i, uint32_t lane, const Origin &o, std::string_view how) {
  const Program &p = *w.program;
  bool loaded = o.statement < Origin::kPredicate;
  // One cause, one finding: by its load, or by its register, whose numbers are behind those of the
  // statements.
  uint32_t key = loaded ? o.statement
                        : uint32_t(p.statements.size()) +
                              2 * (o.place / (o.statement == Origin::kRegister ? kSlotBytes : 1)) +
                              (o.statement == Origin::kRegister);
  auto [it, fresh] = w.worker->findings.try_emplace({key, FindingKind::Uninitialised});
  if (!fresh) {
    ++it->second.finding.count;
    return;
  }
  Inst at = i;
  std::string message;
  OtherAccess use;
  if (loaded) {
    at.statement = o.statement;
    use = {int64_t(i.statement), w.index, int(lane)};
    std::string where =
        o.space == Space::Shared    ? describeShared(w, uint32_t(o.address))
        : o.space == Space::Cluster ? describePlace(w, placeOf(*w.cta, o.address))
        : o.space == Space::Local
            ? fmt::format("local address 0x{:x}", o.address)
            : fmt::format("0x{:x}, {}", o.address, w.worker->launch->memory->describe(o.address));
    message = fmt::format("read of {} bytes at {}, of which some were never written; the value {}", o.bytes,
                          where, how);
  } else {
    std::string_view name = "a register";
    for (const Program::Operand &x : p.operands)
      if (x.offset == o.place && (x.type == Type::Pred) == (o.statement == Origin::kPredicate))
        name = x.name;
    message = fmt::format("the register {}, which was never written on the way here, {}", name, how);
  }
  it->second = {finding(w, at, FindingKind::Uninitialised, lane, o.address, std::move(message), use),
                w.cta->linear};
}

} // namespace attune::sim
