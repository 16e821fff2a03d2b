//===- Resident.cpp - the memory of a cluster that runs, and its special registers -===//
#include "simulator/Resident.h"

#include <algorithm>
#include <cstring>

namespace attune::sim {

/// Bytes of the system's shared memory that a kernel may name (%reserved_smem_offset_1), from its start; and
/// of all of it, which lies before the first that is the block's own.
constexpr uint32_t kReservedOffset0 = 256, kReservedOffset1 = 512;

bool isSpecialRegister(std::string_view name) {
  static constexpr std::string_view vectors[] = {
      "%tid", "%ntid", "%ctaid", "%nctaid", "%clusterid", "%nclusterid", "%cluster_ctaid", "%cluster_nctaid"};
  static constexpr std::string_view scalars[] = {"%laneid",
                                                 "%warpid",
                                                 "%nwarpid",
                                                 "%smid",
                                                 "%nsmid",
                                                 "%gridid",
                                                 "%lanemask_eq",
                                                 "%lanemask_le",
                                                 "%lanemask_lt",
                                                 "%lanemask_ge",
                                                 "%lanemask_gt",
                                                 "%total_smem_size",
                                                 "%dynamic_smem_size",
                                                 "%aggr_smem_size",
                                                 "%cluster_ctarank",
                                                 "%cluster_nctarank",
                                                 "%is_explicit_cluster",
                                                 "%reserved_smem_offset_begin",
                                                 "%reserved_smem_offset_end",
                                                 "%reserved_smem_offset_cap",
                                                 "%reserved_smem_offset_0",
                                                 "%reserved_smem_offset_1"};
  if (std::find(std::begin(scalars), std::end(scalars), name) != std::end(scalars))
    return true;
  if (name.substr(0, 7) == "%envreg") { // 0 to 31
    std::string_view n = name.substr(7);
    bool digits = !n.empty() && n.size() <= 2 && n.find_first_not_of("0123456789") == n.npos;
    return digits && (n.size() == 1 || (n[0] != '0' && (n[0] - '0') * 10 + n[1] - '0' < 32));
  }
  size_t dot = name.find('.');
  return dot != name.npos && name.size() == dot + 2 && name[dot + 1] >= 'x' && name[dot + 1] <= 'z' &&
         std::find(std::begin(vectors), std::end(vectors), name.substr(0, dot)) != std::end(vectors);
}

/// The value of a special register that is the same in every cluster. The others are startBlock's.
static uint32_t specialValue(const Launch &launch, const Cta &cta, uint32_t warp, uint32_t lane,
                             std::string_view name) {
  const LaunchConfig &config = *launch.config;
  auto within = [](uint32_t t, const std::array<uint32_t, 3> &dims, size_t axis) {
    return axis == 0 ? t % dims[0] : axis == 1 ? t / dims[0] % dims[1] : t / dims[0] / dims[1];
  };
  std::string_view base = name;
  size_t axis = 0;
  if (size_t dot = name.find('.'); dot != name.npos) {
    base = name.substr(0, dot);
    axis = size_t(name.back() - 'x');
  }
  if (base == "%tid")
    return within(warp * 32 + lane, config.block, axis);
  if (base == "%ntid")
    return config.block[axis];
  if (base == "%nctaid")
    return config.grid[axis];
  if (base == "%nclusterid")
    return config.grid[axis] / launch.clusterDims[axis];
  if (base == "%cluster_ctaid")
    return within(cta.rank, launch.clusterDims, axis);
  if (base == "%cluster_nctaid")
    return launch.clusterDims[axis];
  if (name == "%cluster_ctarank")
    return cta.rank;
  if (name == "%cluster_nctarank")
    return launch.clusterSize;
  if (name == "%is_explicit_cluster")
    return launch.explicitCluster;
  if (name == "%laneid")
    return lane;
  if (name == "%warpid")
    return warp;
  if (name == "%nwarpid")
    return 64;
  if (name == "%nsmid")
    return 1;
  if (name == "%lanemask_eq")
    return 1u << lane;
  if (name == "%lanemask_lt")
    return (1u << lane) - 1;
  if (name == "%lanemask_le")
    return (2u << lane) - 1;
  if (name == "%lanemask_gt")
    return ~((2u << lane) - 1);
  if (name == "%lanemask_ge")
    return ~((1u << lane) - 1);
  if (name == "%reserved_smem_offset_end" || name == "%reserved_smem_offset_cap")
    return kSharedBase;
  if (name == "%reserved_smem_offset_0")
    return kReservedOffset0;
  if (name == "%reserved_smem_offset_1")
    return kReservedOffset1;
  if (name == "%total_smem_size")
    return launch.sharedBytes;
  if (name == "%aggr_smem_size") // with what the system takes
    return launch.sharedBytes + kSharedBase;
  if (name == "%dynamic_smem_size")
    return config.dynamicShared;
  if (name == "%envreg1") // where a cooperative grid keeps its barrier
    return uint32_t(launch.workspace >> 32);
  if (name == "%envreg2")
    return uint32_t(launch.workspace);
  return 0;
}

template <class T> static T *aligned(std::vector<std::byte> &bytes, size_t size) {
  bytes.resize(size + 128);
  return reinterpret_cast<T *>((reinterpret_cast<uintptr_t>(bytes.data()) + 127) & ~uintptr_t(127));
}

static void prepare(Worker &worker, BlockMemory &memory, Cluster &cluster, uint32_t rank) {
  const Launch &launch = *worker.launch;
  const Program &program = *launch.program;
  size_t fileBytes = std::max<size_t>(program.fileBytes, kSlotBytes), n = launch.warpsPerCta;
  std::byte *files = aligned<std::byte>(memory.registers, fileBytes * n);
  memory.predicates.assign(program.predicates * n, 0);
  Cta &cta = memory.cta;
  cta.cluster = &cluster;
  cta.rank = rank;
  cta.sharedBytes = launch.sharedBytes;
  size_t padded = (launch.sharedBytes + 31) / 16 * 16;
  if (program.usesReserved) { // the system's shared memory lies behind the block's own
    cta.reservedAt = uint32_t(padded);
    padded += kSharedBase;
  }
  cta.shared = aligned<std::byte>(memory.shared, padded);
  memory.sharedInit.assign(padded / 8 + 16, 0);
  cta.sharedInit = memory.sharedInit.data();
  memory.cells.assign(padded / 16, ShadowCell());
  cta.cells = memory.cells.data();
  // Zero pages of the system's: what is not touched costs nothing.
  memory.words.reset(static_cast<WordShadow *>(std::calloc(padded / 4, sizeof(WordShadow))));
  if (!memory.words)
    throw std::bad_alloc();
  cta.words = memory.words.get();
  if (program.asyncProxy)
    cta.async = std::make_unique<AsyncProxy>(cta);
  cta.shadow = &worker.shadow;
  cta.publishedGlobal = launch.exact ? &worker.launch->published : &cluster.published;
  uint64_t localBytes = program.info.localBytes;
  if (localBytes) {
    memory.local.resize(localBytes * 32 * n);
    memory.localInit.resize(localBytes * 4 * n);
  }
  cta.warps.resize(n);
  for (size_t k = 0; k < n; ++k) {
    Warp &w = cta.warps[k];
    w.regs = files + k * fileBytes;
    w.preds = memory.predicates.data() + k * program.predicates;
    w.preds[0] = kFull;
    w.cta = &cta;
    w.worker = &worker;
    w.program = &program;
    w.index = uint32_t(k);
    w.clocks.assign(n, 0);
    if (localBytes) {
      w.local = memory.local.data() + localBytes * 32 * k;
      w.localInit = memory.localInit.data() + localBytes * 4 * k;
    }
    for (const Program::Constant &c : program.constants) {
      uint64_t bits = c.bits + (c.variable >= 0 ? launch.variableAddresses[size_t(c.variable)] : 0);
      for (int l = 0; l < 32; ++l) {
        if (c.wide)
          reinterpret_cast<uint64_t *>(w.regs + c.offset)[l] = bits;
        else
          reinterpret_cast<uint32_t *>(w.regs + c.offset)[l] = uint32_t(bits);
      }
    }
    for (const Program::Special &s : program.specials)
      for (uint32_t l = 0; l < 32; ++l)
        reinterpret_cast<uint32_t *>(w.regs + s.offset)[l] =
            specialValue(launch, cta, uint32_t(k), l, s.name);
  }
}

Resident::Resident(Worker &worker) {
  for (uint32_t rank = 0; rank < worker.launch->clusterSize; ++rank) {
    blocks.push_back(std::make_unique<BlockMemory>());
    cluster.ctas.push_back(&blocks.back()->cta);
    prepare(worker, *blocks.back(), cluster, rank);
  }
}

size_t residentBytes(const Launch &launch) {
  return launch.clusterSize *
         (size_t(launch.program->fileBytes) * launch.warpsPerCta + size_t(launch.sharedBytes) * 8 +
          size_t(launch.program->info.localBytes) * 32 * launch.warpsPerCta + 65536);
}

} // namespace attune::sim
