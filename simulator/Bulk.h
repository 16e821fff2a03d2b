//===- Bulk.h - decoded bulk copies and tensor-map instructions ---*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_BULK_H
#define ATTUNE_SIMULATOR_BULK_H

#include <cstddef>
#include <cstdint>
#include <functional>

namespace attune::sim {

struct Cta;
struct Inst;
struct Warp;

/// A value of an instruction that has more operands than an Inst has fields.
struct BulkValue {
  uint32_t list = 0; ///< position in Program::lists
  bool present = false, wide = false;
  int64_t add = 0;
};

enum class BulkKind : uint8_t {
  Load,       ///< global to shared memory, of one block or, multicast, of several
  SharedCopy, ///< shared memory of the block to that of a block of the cluster; or reduces it there
  Store,      ///< shared to global memory; or reduces it there
  Prefetch,
};

enum class ReduceOp : uint8_t { None, Add, Min, Max, Inc, Dec, And, Or, Xor };
enum class ReduceType : uint8_t { U32, S32, U64, S64, F32, F64, F16, BF16 };

/// cp.async.bulk*, cp.reduce.async.bulk*.
struct Bulk {
  BulkKind kind = BulkKind::Load;
  uint8_t rank = 0; ///< of the tensor; 0: plain bytes
  ReduceOp op = ReduceOp::None;
  ReduceType type = ReduceType::U32; ///< of a plain reduction
  bool genericShared = false;        ///< the shared address is one of shared::cluster
  BulkValue shared, global;          ///< global: the address, or that of the tensor map
  BulkValue source;                  ///< of a SharedCopy
  BulkValue size, barrier, blocks, byteMask;
  BulkValue coords[5];
};

/// tensormap.replace.
struct MapReplacement {
  enum Field : uint8_t {
    Address,
    Rank,
    BoxDim,
    GlobalDim,
    GlobalStride,
    ElementStride,
    ElementType,
    Interleave,
    Swizzle,
    SwizzleAtomicity,
    Fill
  } field = Address;
  bool shared = false, generic = false;
  uint32_t ordinal = 0;
  BulkValue map, value;
};

/// A bulk store in flight, until its group is waited for.
struct BulkStore {
  using Range = std::function<void(uint64_t address, uint64_t bytes)>;
  const Inst *inst = nullptr;
  uint32_t op = 0, group = ~0u; ///< group: of its lane; ~0: not committed
  uint8_t lane = 0;
  bool read = false;                            ///< its shared memory is free again
  std::function<void(const Range &)> forRanges; ///< of global memory; empty: it writes nothing
};

/// What a fence of proxies is for: Inst::aux of execProxyFence.
constexpr uint16_t kInitialisations = 1, kSharedProxy = 2, kGlobalProxy = 4;
void execProxyFence(Warp &w, const Inst &i);

/// An access of global memory by the warp, `bytes` bytes each of the lanes of `mask`: not of what a bulk
/// store of its own may still write.
void checkBulkStores(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint64_t bytes,
                     bool write);
/// The block has ended: what its last bulk stores wrote counts as written then.
void endBulkStores(Cta &cta);
/// How one reduction changes the `bytes` bytes at `to`: elements of `type`, each at once for other host
/// threads.
void reduceInto(std::byte *to, const std::byte *from, uint64_t bytes, ReduceOp op, ReduceType type);
/// Bytes of an element.
uint32_t sizeOf(ReduceType type);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_BULK_H
