//===- Launch.cpp - the running of a grid ---------------------------------===//
#include "simulator/Cluster.h"
#include "simulator/DeviceLimits.h"
#include "simulator/Tables.h"
#include "simulator/clock/Estimate.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mutex>
#include <thread>

namespace attune::sim {

/// Allocates a module's variables at its first use on a memory, and gives their addresses. One lock serves
/// all: launches are rare.
static Result<const uint64_t *> instantiate(const ModuleImpl &module, GlobalMemoryImpl &memory) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  auto [it, fresh] = memory.moduleVariables.try_emplace(module.id);
  std::vector<uint64_t> &addresses = it->second;
  if (fresh) {
    addresses.assign(module.ast.variables.size(), 0);
    for (size_t v = 0; v < addresses.size(); ++v) {
      const Variable &var = module.ast.variables[v];
      if (var.space != Space::Global && var.space != Space::Const)
        continue;
      Result<uint64_t> a = memory.allocate(std::max<uint64_t>(var.size, 1), var.name);
      if (!a)
        return a.error();
      addresses[v] = *a;
    }
    std::unordered_map<std::string_view, uint64_t> byName;
    for (size_t v = 0; v < addresses.size(); ++v)
      if (addresses[v])
        byName.try_emplace(module.ast.variables[v].name, addresses[v]);
    for (uint32_t f : module.ast.addressed)
      byName.try_emplace(module.ast.functions[f].name, functionAddress(f));
    for (size_t v = 0; v < addresses.size(); ++v) {
      const Variable &var = module.ast.variables[v];
      if (!addresses[v])
        continue;
      Allocation &a = memory.allocations[size_t(memory.find(addresses[v]))];
      if (!var.init.empty())
        std::memcpy(a.data, var.init.data(), var.init.size());
      for (const Variable::Reference &r : var.references)
        if (auto it = byName.find(r.symbol); it != byName.end() && r.at + 8 <= var.size) {
          uint64_t value = it->second + uint64_t(r.offset);
          std::memcpy(a.data + r.at, &value, 8);
        }
      // Variables without an initialiser are zero on a device.
      std::memset(a.init, 0xFF, (a.size + 7) / 8);
      a.readOnly = var.space == Space::Const;
    }
  }
  return addresses.data();
}

Status setVariable(const Module &module, GlobalMemory &memory, std::string_view name, const void *data,
                   size_t bytes) {
  const ModuleImpl &impl = module.impl();
  Result<const uint64_t *> addresses = instantiate(impl, memory.impl());
  if (!addresses)
    return addresses.error();
  std::vector<std::string_view> known;
  for (size_t v = 0; v < impl.ast.variables.size(); ++v) {
    const Variable &variable = impl.ast.variables[v];
    if (!variable.isModuleScope || (variable.space != Space::Global && variable.space != Space::Const))
      continue;
    known.push_back(variable.name);
    if (variable.name != name)
      continue;
    if (variable.size != bytes)
      return badInput(
          fmt::format("expected the {} bytes of the variable '{}', got {}", variable.size, name, bytes));
    GlobalMemoryImpl &m = memory.impl();
    std::memcpy(m.allocations[size_t(m.find((*addresses)[v]))].data, data, bytes);
    return success();
  }
  return badInput(fmt::format("expected a variable of {} ({}), got '{}'", impl.ast.fileName,
                              known.empty() ? "it has none" : fmt::format("{}", fmt::join(known, ", ")),
                              name));
}

static void addCounters(Counters &to, const Worker &worker) {
  const Counters &c = worker.counters;
  to.warpInstructions += c.warpInstructions;
  to.multiplyAdds += c.multiplyAdds;
  to.globalLoadBytes += c.globalLoadBytes;
  to.globalStoreBytes += c.globalStoreBytes;
  to.sharedLoadBytes += c.sharedLoadBytes;
  to.sharedStoreBytes += c.sharedStoreBytes;
  to.localBytes += c.localBytes;
  to.asyncBytes += c.asyncBytes;
  to.sharedWavefronts += c.sharedWavefronts;
  to.bankConflicts += c.bankConflicts;
  to.divergentBranches += c.divergentBranches;
  to.barrierWaits += c.barrierWaits;
  to.blocks += c.blocks;
  const uint64_t *n = worker.classCounts;
  to.integer += n[size_t(Class::Integer)];
  to.floating += n[size_t(Class::Floating)];
  to.special += n[size_t(Class::Special)];
  to.conversion += n[size_t(Class::Conversion)];
  to.move += n[size_t(Class::Move)];
  to.predicate += n[size_t(Class::Predicate)];
  to.control += n[size_t(Class::Control)];
  to.memory += n[size_t(Class::Memory)];
  to.matrix += n[size_t(Class::Matrix)];
  to.matrixLoad += n[size_t(Class::MatrixLoad)];
  to.asyncCopy += n[size_t(Class::AsyncCopy)];
  to.shuffle += n[size_t(Class::Shuffle)];
  to.barrier += n[size_t(Class::Barrier)];
}

/// The blocks of a cluster, of which the grid is to be a multiple.
static Result<std::array<uint32_t, 3>> clusterOf(const ModuleImpl &module, const EntryInfo &entry,
                                                 const LaunchConfig &c) {
  auto fail = [&](std::string text) {
    return badInput(fmt::format("{}: error: entry '{}': {}", module.ast.fileName, entry.name, text));
  };
  auto text = [](const std::array<uint32_t, 3> &t) { return fmt::format("({}, {}, {})", t[0], t[1], t[2]); };
  bool asked = c.cluster != std::array<uint32_t, 3>{}, stated = entry.reqcluster[0] != 0;
  if (asked && stated && c.cluster != entry.reqcluster)
    return fail(fmt::format("expected clusters of {} blocks (.reqnctapercluster), got {}",
                            text(entry.reqcluster), text(c.cluster)));
  if (!asked && !stated) {
    if (entry.explicitCluster)
      return fail("expected the blocks of a cluster (.explicitcluster), got none");
    return std::array<uint32_t, 3>{1, 1, 1};
  }
  std::array<uint32_t, 3> cluster = asked ? c.cluster : entry.reqcluster;
  if (int sm = std::atoi(module.ast.target.c_str() + 3); sm < 90)
    return fail(fmt::format("expected no clusters on {}, which needs sm_90 for them, got {}",
                            module.ast.target, text(cluster)));
  uint64_t size = 1;
  for (size_t k = 0; k < 3; ++k) {
    if (!cluster[k] || cluster[k] > kLargestCluster)
      return fail(fmt::format("expected clusters of 1 to {} blocks, got {}", kLargestCluster, text(cluster)));
    size *= cluster[k];
  }
  if (size > kLargestCluster || (size > kPortableCluster && !c.nonPortableCluster))
    return fail(
        size > kLargestCluster
            ? fmt::format("expected clusters of at most {} blocks, got {}", kLargestCluster, text(cluster))
            : fmt::format("expected clusters of at most {} blocks unless the launch allows sizes that "
                          "not every device has, got {}",
                          kPortableCluster, text(cluster)));
  if (entry.maxClusterRank && size > entry.maxClusterRank)
    return fail(fmt::format("expected clusters of at most {} blocks (.maxclusterrank), got {}",
                            entry.maxClusterRank, text(cluster)));
  for (size_t k = 0; k < 3 && !entry.blocksAreClusters; ++k)
    if (c.grid[k] % cluster[k])
      return fail(fmt::format("expected a grid that clusters of {} blocks divide, got {}", text(cluster),
                              text(c.grid)));
  return cluster;
}

/// All blocks of a cooperative grid are on the device at once.
static Status checkCooperative(const ModuleImpl &module, const EntryInfo &entry, const Launch &launch) {
  DeviceLimits device = deviceLimits(module.ast.target);
  if (launch.blocks == 1)
    return success();
  uint64_t shared = launch.sharedBytes + kSharedBase, warps = launch.warpsPerCta;
  uint64_t each =
      std::min<uint64_t>({device.blocks, device.threads / (32 * warps), device.sharedPerProcessor / shared});
  if (launch.blocks > each * device.multiprocessors)
    return badInput(fmt::format("{}: error: entry '{}': expected a cooperative grid of at most {} blocks, as "
                                "many as run at once on {} "
                                "multiprocessors of {} each, got {}",
                                module.ast.fileName, entry.name, each * device.multiprocessors,
                                device.multiprocessors, each, launch.blocks));
  return success();
}

static Status checkConfig(const ModuleImpl &module, const EntryInfo &entry, const LaunchConfig &c) {
  auto fail = [&](std::string text) {
    return badInput(fmt::format("{}: error: entry '{}': {}", module.ast.fileName, entry.name, text));
  };
  if (c.params.size() != entry.paramBytes)
    return fail(fmt::format("expected {} parameter bytes, got {}", entry.paramBytes, c.params.size()));
  uint64_t threads = 1;
  for (int k = 0; k < 3; ++k) {
    if (!c.grid[k] || !c.block[k] || c.grid[k] > (k ? 65535u : 0x7FFFFFFFu))
      return fail(fmt::format(
          "expected grid and block sizes from 1 up to the device's limits, got grid ({}, {}, {}), "
          "block ({}, {}, {})",
          c.grid[0], c.grid[1], c.grid[2], c.block[0], c.block[1], c.block[2]));
    threads *= c.block[k];
    if (threads > 1024)
      return fail(fmt::format("expected at most 1024 threads a block, got ({}, {}, {})", c.block[0],
                              c.block[1], c.block[2]));
  }
  if (c.block[2] > 64)
    return fail(fmt::format("expected blocks of at most 64 threads along z, got ({}, {}, {})", c.block[0],
                            c.block[1], c.block[2]));
  uint64_t limit = uint64_t(entry.maxntid[0]) * entry.maxntid[1] * entry.maxntid[2];
  if (limit && threads > limit)
    return fail(fmt::format("expected at most {} threads a block (.maxntid), got {}", limit, threads));
  if (entry.reqntid[0] && entry.reqntid != c.block)
    return fail(fmt::format("expected blocks of ({}, {}, {}) threads (.reqntid), got ({}, {}, {})",
                            entry.reqntid[0], entry.reqntid[1], entry.reqntid[2], c.block[0], c.block[1],
                            c.block[2]));
  uint64_t shared = uint64_t(entry.dynamicSharedOffset) + c.dynamicShared,
           most = deviceLimits(module.ast.target).sharedPerBlock;
  if (shared > most)
    return fail(fmt::format("expected at most {} bytes of shared memory on {}, got {} ({} of them dynamic)",
                            most, module.ast.target, shared, c.dynamicShared));
  return success();
}

/// The register in the brackets of an instruction that has one address.
static std::string_view addressRegister(std::string_view instruction) {
  size_t open = instruction.find('[');
  if (open == instruction.npos || instruction.find('[', open + 1) != instruction.npos)
    return {};
  return instruction.substr(open + 1, instruction.find_first_of("+-] ", open + 1) - open - 1);
}

/// One bad pointer is one cause: an unrolled loop goes through it at many instructions. They are one finding,
/// the first, which names the lines of the others.
static void mergeAddresses(std::vector<Finding> &findings) {
  std::map<std::pair<FindingKind, std::string>, size_t> first;
  std::map<size_t, std::vector<uint32_t>> others;
  std::vector<Finding> kept;
  for (Finding &f : findings) {
    std::string_view base = f.kind == FindingKind::OutOfBounds || f.kind == FindingKind::Misaligned
                                ? addressRegister(f.site.instruction)
                                : std::string_view();
    if (base.substr(0, 1) == "%") {
      auto [it, fresh] = first.try_emplace({f.kind, std::string(base)}, kept.size());
      if (!fresh) {
        kept[it->second].count += f.count;
        others[it->second].push_back(f.site.ptxLine);
        continue;
      }
    }
    kept.push_back(std::move(f));
  }
  for (auto &[k, lines] : others) {
    size_t shown = std::min<size_t>(lines.size(), 4);
    kept[k].message += fmt::format(
        "; so are accesses through {} at {} more line{}: {}{}", addressRegister(kept[k].site.instruction),
        lines.size(), lines.size() == 1 ? "" : "s",
        fmt::join(lines.begin(), lines.begin() + ptrdiff_t(shown), ", "), shown < lines.size() ? " ..." : "");
  }
  findings = std::move(kept);
}

Result<LaunchResult> launch(const Module &module, GlobalMemory &memory, const LaunchConfig &config) {
  Launch launch;
  launch.module = &module.impl();
  launch.memory = &memory.impl();
  LaunchConfig actual = config;
  launch.config = &actual;
  launch.checks = config.checks;
  launch.mode = config.mode;
  launch.program = launch.module->program(config.entry);
  if (!launch.program)
    return module.entry(config.entry).error();
  const EntryInfo &info = launch.program->info;
  if (!info.refusal.empty())
    return badInput(info.refusal);
  if (Status ok = checkConfig(*launch.module, info, config); !ok)
    return ok.error();
  Result<std::array<uint32_t, 3>> cluster = clusterOf(*launch.module, info, config);
  if (!cluster)
    return cluster.error();
  launch.clusterDims = *cluster;
  launch.clusterSize = (*cluster)[0] * (*cluster)[1] * (*cluster)[2];
  launch.explicitCluster = config.cluster[0] || info.reqcluster[0];
  for (size_t k = 0; k < 3 && info.blocksAreClusters; ++k)
    actual.grid[k] *= launch.clusterDims[k];
  Result<const uint64_t *> variables = instantiate(*launch.module, *launch.memory);
  if (!variables)
    return variables.error();
  launch.variableAddresses = *variables;
  launch.threadsPerCta = config.block[0] * config.block[1] * config.block[2];
  launch.warpsPerCta = (launch.threadsPerCta + 31) / 32;
  launch.sharedBytes =
      config.dynamicShared ? info.dynamicSharedOffset + config.dynamicShared : info.staticSharedBytes;
  launch.blocks = uint64_t(actual.grid[0]) * actual.grid[1] * actual.grid[2];
  launch.clusters = launch.blocks / launch.clusterSize;
  if (config.cooperative || launch.program->usesWorkspace) {
    if (Status ok = checkCooperative(*launch.module, info, launch); !ok)
      return ok.error();
    Result<uint64_t> workspace = launch.memory->cooperativeWorkspace();
    if (!workspace)
      return workspace.error();
    launch.workspace = *workspace;
  }
  std::unique_ptr<Timing> timing;
  if (config.time.on) {
    Result<std::unique_ptr<Timing>> planned = Timing::plan(launch);
    if (!planned)
      return planned.error();
    timing = std::move(*planned);
  }
  if (config.progress)
    config.progress->blocks = launch.clusters * launch.clusterSize;
  unsigned threads = config.threads ? config.threads : std::max(1u, std::thread::hardware_concurrency());
  threads = unsigned(std::min<uint64_t>(threads, launch.clusters));

  launch.ordering = launch.checks && launch.program->ordering;
  auto start = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<Worker>> workers = runGrid(launch, threads);

  LaunchResult result;
  std::map<FindingKey, FindingRecord> all;
  auto add = [&](const FindingKey &key, const FindingRecord &record) {
    auto [it, fresh] = all.try_emplace(key, record);
    if (fresh)
      return;
    uint64_t count = it->second.finding.count + record.finding.count;
    if (record.cta < it->second.cta)
      it->second = record;
    it->second.finding.count = count;
  };
  std::set<uint32_t> guesses;
  for (const auto &worker : workers) {
    addCounters(result.counters, *worker);
    guesses.insert(worker->guesses.begin(), worker->guesses.end());
    for (const auto &[key, record] : worker->findings)
      add(key, record);
  }
  for (const auto &worker : workers)
    for (const auto &[key, record] : worker->suspects)
      if (!guesses.contains(key.second))
        add(key.first, record);
  reportLeaks(launch, workers, all);
  std::multimap<uint32_t, Finding> byLine;
  for (auto &[key, record] : all)
    byLine.emplace(record.finding.site.ptxLine, std::move(record.finding));
  for (auto &[line, finding] : byLine)
    result.findings.push_back(std::move(finding));
  mergeAddresses(result.findings);
  gatherPrinted(workers, result);
  if (timing)
    result.time = timing->estimate(result.counters);
  result.counters.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (launch.program->changesRegisters && !registersAtLaunch(info))
    result.notes.push_back("setmaxnreg is ignored: the entry says neither .maxnreg nor .minnctapersm with "
                           ".maxntid or .reqntid, without which ptxas ignores it too");
  if (result.counters.special)
    result.notes.push_back(approximationNote(module.target()));
  if (launch.clusterSize > kPortableCluster)
    result.notes.push_back(fmt::format("clusters of {} blocks: not every device has more than {}",
                                       launch.clusterSize, kPortableCluster));
  return result;
}

} // namespace attune::sim
