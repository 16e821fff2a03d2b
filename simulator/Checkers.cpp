//===- Checkers.cpp - findings: what they say and when they count as one --------===//
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
    t += fmt::format("\n  the other access: {}, ", siteText(other));
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

static Finding finding(Warp &w, const Inst &i, FindingKind kind, uint32_t lane, uint64_t address,
                       std::string message, OtherAccess other) {
  const Launch &launch = *w.worker->launch;
  const auto &block = launch.config->block;
  Finding f;
  f.kind = kind;
  f.message = std::move(message);
  f.site = siteOf(launch, i.statement);
  f.block = w.cta->id;
  auto threadAt = [&](uint32_t warp, uint32_t lane) {
    uint32_t t = warp * 32 + lane;
    return std::array<uint32_t, 3>{t % block[0], t / block[0] % block[1], t / block[0] / block[1]};
  };
  f.thread = threadAt(w.index, lane);
  f.warp = w.index;
  f.address = address;
  if (other.statement >= 0) {
    f.hasOther = true;
    f.other = siteOf(launch, uint32_t(other.statement));
    f.otherWarp = other.warp;
    f.otherBlock = other.block < 0 ? f.block : blockAt(*launch.config, uint64_t(other.block));
    if (other.lane >= 0)
      f.otherThread = threadAt(other.warp, uint32_t(other.lane));
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

void reportSharedUninitialised(Warp &w, const Inst &i, uint32_t lane, uint32_t address, uint32_t bytes) {
  reportUninitialised(w, i, lane, {w.cta, address}, bytes);
}

void reportUninitialised(Warp &w, const Inst &i, uint32_t lane, SharedPlace place, uint32_t bytes) {
  uint32_t address = place.offset;
  uint64_t told = place.cta == w.cta ? kSharedBase + address : clusterAddress(place);
  uint32_t other = 0;
  if (const AsyncCopy *copy = asyncCovering(*place.cta, address, bytes, other)) {
    if (reportedBefore(w, i, FindingKind::MissingWait))
      return;
    report(w, i, FindingKind::MissingWait, lane, told,
           fmt::format(
               "read of {} bytes at {} while a cp.async of warp {} to it is in flight; expected its group "
               "committed, cp.async.wait_group by that warp, and a barrier before the read",
               bytes, describePlace(w, place), other),
           {copy->inst->statement, other, -1, int64_t(place.cta->linear)});
    return;
  }
  if (place.cta->async && place.cta->async->writing(address, bytes))
    return; // which AsyncProxy has told
  if (reportedBefore(w, i, FindingKind::Uninitialised))
    return;
  report(w, i, FindingKind::Uninitialised, lane, told,
         fmt::format("read of {} bytes at {}, of which some were never written", bytes,
                     describePlace(w, place)));
}

void raceSlow(Warp &w, const Inst &i, uint32_t lane, uint32_t index, uint16_t bytes, bool write,
              const void *stored) {
  Cta &cta = *w.cta;
  ShadowCell &cell = cta.cells[index];
  if (cell.epoch != cta.epoch) {
    cell.epoch = cta.epoch;
    cell.detailed = false;
    cell.warps = 0;
    cell.readBytes = cell.writeBytes = 0;
  }
  std::vector<Access> &list = cta.details[index];
  if (!cell.detailed) {
    cell.detailed = true;
    list.clear();
    for (uint32_t m = cell.warps; m; m &= m - 1) {
      uint32_t warp = uint32_t(__builtin_ctz(m));
      if (cell.readBytes)
        list.push_back({warp, cell.clock, cell.readSite, cell.readBytes, false, false});
      if (cell.writeBytes)
        list.push_back({warp, cell.clock, cell.writeSite, cell.writeBytes, true, false});
    }
  }
  Access *same = nullptr;
  for (Access &a : list) {
    if (a.warp == w.index) {
      if (a.clock == w.clocks[w.index] && a.write == write && a.atomic == bool(i.order))
        same = &a;
      continue;
    }
    if (!(a.bytes & bytes) || !(a.write || write) || (a.atomic && i.order) || w.clocks[a.warp] >= a.clock)
      continue;
    if (a.write && write && stored && !a.atomic) { // the same value: which comes last is no matter
      uint32_t first = uint32_t(__builtin_ctz(bytes)), size = uint32_t(__builtin_popcount(bytes));
      if (std::memcmp(cta.shared + index * 16 + first, stored, size) == 0)
        continue;
    }
    bool doubtful = a.atomic ? !write : i.order && !a.write; // a plain read and an atomic
    if (!doubtful && reportedBefore(w, i, FindingKind::Race))
      break;
    uint32_t offset = index * 16 + uint32_t(__builtin_ctz(a.bytes & bytes));
    std::string message = fmt::format(
        "{} of {} by warp {} and an earlier {} by warp {} with no barrier (bar.sync) between them",
        write ? "write" : "read", describeShared(w, kSharedBase + offset), w.index,
        a.write ? "write" : "read", a.warp);
    OtherAccess other{a.site, a.warp, laneThatTouched(w, offset, a.warp, a.site, a.write)};
    if (doubtful)
      suspect(w, i, write ? a.site : i.statement, lane, kSharedBase + offset, std::move(message), other);
    else
      report(w, i, FindingKind::Race, lane, kSharedBase + offset, std::move(message), other);
    break;
  }
  if (!same && list.size() >= 16) // what every warp has seen cannot race any more
    std::erase_if(list, [&](const Access &a) {
      return std::all_of(cta.warps.begin(), cta.warps.end(), [&](const Warp &other) {
        return other.index == a.warp || other.state == WarpState::Done || other.clocks[a.warp] >= a.clock;
      });
    });
  if (same) {
    same->bytes |= bytes;
    same->site = i.statement;
  } else {
    list.push_back({w.index, w.clocks[w.index], i.statement, bytes, write, bool(i.order)});
  }
}

} // namespace attune::sim
