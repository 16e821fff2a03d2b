//===- Exec.h - the state of a launch, and what executes it -------*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_EXEC_H
#define ATTUNE_SIMULATOR_EXEC_H

#include "simulator/AsyncProxy.h"
#include "simulator/Decoded.h"
#include "simulator/DeviceMemory.h"
#include "simulator/Mbarrier.h"
#include "simulator/Order.h"
#include "simulator/Races.h"

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>

namespace attune::sim {

/// Who touched 16 bytes of shared memory since the last barrier of the whole block. One warp (or several
/// warps that only read the same bytes) is kept here; else it is `detailed`: where whole words were touched
/// by warps at one clock, and none races, in Cta::cellWords, else in Cta::details. 32 bytes.
struct alignas(32) ShadowCell {
  uint32_t epoch = 0;
  uint32_t warps = 0; ///< bit a warp
  uint32_t clock = 0; ///< of these warps, when they touched it
  uint32_t readSite = 0, writeSite = 0;
  uint16_t readBytes = 0, writeBytes = 0; ///< bit a byte
  uint16_t flightBytes = 0;               ///< that a cp.async in flight will write, whatever the epoch
  bool detailed = false, inWords = false;
  uint32_t number = 0; ///< in Cta::cellWords
};
/// The warps that touched each word, a bit each, and who was the last.
struct CellWords {
  std::array<uint32_t, 4> readers{}, writers{}, readSite{}, writeSite{};
};

struct Access {
  uint32_t warp, clock, site;
  uint16_t bytes;
  bool write, atomic;
};

/// One cp.async instruction in flight.
struct AsyncCopy {
  const Inst *inst = nullptr;
  uint32_t mask = 0; ///< lanes whose copy has not landed
  uint32_t size = 0;
  uint32_t epoch = 0; ///< of its issue
  uint32_t shared[32];
  uint64_t global[32];
  uint32_t sourceBytes[32];
  uint32_t group[32]; ///< of the lane; kUncommitted before its commit
  uint16_t fresh[32]; ///< bytes with defined values, a bit a byte (copies that landed early)
  bool early = false; ///< the data is in place already; only the right to use it is missing
};
constexpr uint32_t kUncommitted = 0xFFFFFFFFu;

struct Fragment {
  uint32_t pc, mask;
  uint32_t missing; ///< lanes it waits for at a convergent instruction; 0: runnable
};

struct Barrier {
  uint32_t arrived = 0;  ///< threads
  uint32_t expected = 0; ///< 0: the whole block
  uint32_t waiting = 0;  ///< warps that wait, a bit each
  uint32_t arrivals = 0; ///< warps that arrived, waiting or not
  uint32_t site = 0;     ///< of the first arrival
  bool active = false;
  uint32_t count = 0;           ///< of the reduction: threads with a true predicate
  uint32_t voters = 0;          ///< threads that took part in it
  std::vector<uint32_t> clocks; ///< joined clocks of the arrivals
  Fenced fenced;                ///< and what else they know
  Foreign known;
};

struct BlockRecord;
struct Cluster;
struct Cta;
struct Recording;
struct Worker;
class HandlerTable;

/// Waiting: at an instruction that it will execute again, for other warps of its block; see suspend.
enum class WarpState : uint8_t { Ready, AtBarrier, AtMbarrier, AtCluster, Waiting, Done };

struct Warp {
  std::byte *regs = nullptr;
  uint32_t mask = 0;   ///< lanes that execute this instruction
  uint32_t active = 0; ///< lanes of the running fragment
  uint32_t pc = 0;
  uint32_t joinPc = kFull; ///< pc at which reconverge() is to be called
  bool stop = false;
  bool forced = false; ///< go on at a convergent instruction although lanes are missing
  bool fair = false;   ///< fragments behind this one do not take over from it, see rotate
  uint32_t *preds = nullptr;
  Cta *cta = nullptr;
  Worker *worker = nullptr;
  const Program *program = nullptr;

  uint32_t live = 0; ///< lanes that have not exited
  uint32_t index = 0;
  WarpState state = WarpState::Done;
  uint32_t barrier = 0;
  const Inst *barrierInst = nullptr;
  bool expired = false;                            ///< the try_wait that it slept at times out
  std::string (*waitsFor)(const Warp &) = nullptr; ///< of a suspended warp, for messages
  uint64_t executed = 0;
  uint64_t nextProbe = 0;     ///< `executed` at which to look whether it goes in circles
  uint64_t clockStop = ~0ull; ///< the clocks do not go beyond
  uint64_t idleAt = ~0ull;    ///< Worker::changes when it went in circles
  uint64_t switchedAt = 0;    ///< `executed` when a fragment last gave way to another, or there were none
  std::vector<Fragment> fragments; ///< the others
  Clocks clocks;                   ///< over the warps of the block, then its mbarriers, see AsyncProxy.h
  WarpOrder order;
  uint32_t segment = 0;            ///< of its next access, see Races.h; 0: not begun
  std::vector<uint32_t> laneSyncs; ///< member masks since all lanes were last ordered, see orderLanes
  uint32_t sinceSyncs = 0;         ///< the segment in which the first of them came
  uint32_t clusterArrived = 0;     ///< lanes that arrived in this phase of the cluster's barrier
  uint32_t clusterOwed = 0;        ///< lanes that arrived and have not waited yet
  uint32_t begunRanks = 0;         ///< blocks of the cluster that it knows to have begun
  std::vector<AsyncCopy> landed;   ///< by the last wait, in the segment
  uint32_t landedSegment = 0;
  LaneLog laneLog;
  uint32_t sharedWriteSegment = 0;   ///< in which it last wrote to shared memory
  bool wroteGlobal = false;          ///< by an ordinary store, since the last of Worker::proxyFences
  std::vector<AsyncCopy> copies;     ///< in flight, oldest first
  uint32_t committed[32];            ///< groups of each lane
  std::vector<BulkStore> bulkStores; ///< that nobody has waited for, oldest first
  uint32_t bulkGroups[32];           ///< committed by each lane
  std::byte *local = nullptr;        ///< 32 * localBytes, a lane's bytes adjacent
  uint8_t *localInit = nullptr;      ///< a bit a byte
  std::unique_ptr<CallStacks> calls; ///< where Program::functions are called
  bool tracked = false;              ///< has undefined values
  std::unique_ptr<UndefinedValues> undefined;
  std::unique_ptr<WarpWgmma> wgmma; ///< where Program::usesWarpgroups is set
};

struct Cta {
  std::array<uint32_t, 3> id{};
  uint64_t linear = 0;
  std::byte *shared = nullptr; ///< byte 0 is shared address kSharedBase
  uint8_t *sharedInit = nullptr;
  ShadowCell *cells = nullptr;
  uint32_t sharedBytes = 0;
  uint32_t epoch = 1;
  std::unordered_map<uint32_t, std::vector<Access>> details; ///< by cell
  std::vector<CellWords> cellWords;
  std::array<Barrier, 16> barriers;
  std::vector<Mbarrier> mbarriers;   ///< in the order of their clocks
  uint64_t expiredAt = ~0ull;        ///< Worker::changes when its sleepers last timed out
  uint32_t expiries = 0;             ///< since something changed
  std::unique_ptr<AsyncProxy> async; ///< where Program::asyncProxy is set
  std::vector<Warp> warps;
  std::vector<Warpgroup> warpgroups; ///< where Program::usesWarpgroups is set
  uint32_t registerPool = 0;         ///< what setmaxnreg.dec gave up, in registers a thread of one warp
  bool aborted = false, endless = false;
  bool over = false;             ///< all its warps have ended
  BlockRecord *record = nullptr; ///< what the clock is to follow, see clock/Record.h; null: nothing
  bool yield = false;            ///< other blocks go on: this one wrote what they may wait for
  size_t nextWarp = 0;
  uint64_t random = 0;
  uint32_t nextRandom() {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    return uint32_t(random >> 33);
  }
  // Races.h
  WordShadow *words = nullptr; ///< of shared memory
  BytePool bytePool;
  GlobalShadow *shadow = nullptr; ///< of global memory
  uint32_t orderedBelow = 1;      ///< this block's segments below it are ordered before all that follows
  PublishedAt published;          ///< in shared memory
  PublishedAt *publishedGlobal = nullptr;
  // Cluster.h
  Cluster *cluster = nullptr;
  uint32_t rank = 0;
  uint32_t reservedAt = 0; ///< where in the buffer the system's shared memory lies; 0: it is not accessible
  struct RemoteAccess {
    uint32_t clock, site;
    int lane;
  };
  std::map<std::pair<uint64_t, uint32_t>, RemoteAccess> visitors; ///< last access by block and warp
  Foreign knownAtEnd;                                             ///< what its warps knew when they ended
  bool touchedByOthers = false; ///< other blocks have read or written its shared memory
};

struct FindingKey {
  uint32_t statement;
  FindingKind kind;
  bool operator<(const FindingKey &o) const {
    return std::tie(statement, kind) < std::tie(o.statement, o.kind);
  }
};
struct FindingRecord {
  Finding finding;
  uint64_t cta = 0;
};

/// What all workers of a launch share.
struct Launch {
  const ModuleImpl *module = nullptr;
  const Program *program = nullptr;
  GlobalMemoryImpl *memory = nullptr;
  const LaunchConfig *config = nullptr;
  const uint64_t *variableAddresses = nullptr; ///< of the module's variables, by their numbers
  std::atomic<uint64_t> nextCluster{0};
  std::atomic<bool> stopAll{false};
  bool exact = false;       ///< one host thread runs all blocks, and knows of each other's accesses
  bool ordering = false;    ///< the order that atomics, flags and fences make is to be kept
  Owners *owners = nullptr; ///< of a run that is not exact, with checks
  PublishedAt published;
  uint64_t blocks = 0;
  uint64_t clusters = 0; ///< of `clusterSize` blocks each; without clusters a block is one
  uint32_t clusterSize = 1;
  std::array<uint32_t, 3> clusterDims{1, 1, 1};
  bool explicitCluster = false; ///< somebody asked for clusters, if of one block
  bool interleaved = false;     ///< blocks run in turn, so that an access that others wait for ends its turn
  uint64_t workspace = 0;       ///< of a cooperative grid's barrier
  uint64_t resident = 0;        ///< clusters that run now, in an exact run
  uint32_t sharedBytes = 0;
  uint32_t warpsPerCta = 0, threadsPerCta = 0;
  Recording *recording = nullptr; ///< of a launch that is timed
  std::vector<uint64_t> only;     ///< clusters to run; empty: all
  uint64_t clusterAt(uint64_t k) const { return only.empty() ? k : only[k]; }
  bool checks = true;
  Mode mode = Mode::Eager;
};

/// A block's coordinates by its number.
inline std::array<uint32_t, 3> blockAt(const LaunchConfig &config, uint64_t number) {
  uint64_t x = config.grid[0], y = config.grid[1];
  return {uint32_t(number % x), uint32_t(number / x % y), uint32_t(number / x / y)};
}

/// One host thread: it runs blocks one after another.
struct Worker {
  Launch *launch = nullptr;
  Counters counters;
  uint64_t classCounts[size_t(Class::Count)] = {};
  std::vector<int32_t> allocationHint; ///< a memory instruction's last allocation
  std::map<FindingKey, FindingRecord> findings;
  /// Races of a plain read with an atomic, by the read's statement. They count unless the read is a guess:
  /// the same thread's atomic on the same word follows, as in a loop around a compare-and-swap.
  std::map<std::pair<FindingKey, uint32_t>, FindingRecord> suspects;
  std::set<uint32_t> guesses;
  struct Printed {
    uint64_t block;
    uint32_t warp;
    std::string text;
  };
  std::vector<Printed> printed;
  size_t printedBytes = 0;
  struct Allocated {
    uint64_t block;
    uint32_t warp, lane, statement;
  };
  std::map<uint64_t, Allocated> allocated; ///< on the device's heap and not freed, by address
  BlockRecord *record = nullptr;           ///< of the block that executes, where the clock follows it
  uint64_t changes = 0; ///< stores, and atomics that changed something: what a warp may wait for
  GlobalShadow shadow;
  std::vector<Segment> segments; ///< number firstSegment + its index
  uint32_t firstSegment = 1;
  const Segment &segment(uint32_t number) const { return segments[number - firstSegment]; }
  std::map<std::pair<uint64_t, uint32_t>, std::vector<ProxyFence>> proxyFences; ///< by block and warp
};

//===----------------------------------------------------------------------===//
// Checkers.cpp: slow paths; they report and say what to do next
//===----------------------------------------------------------------------===//

/// The other access of a finding.
struct OtherAccess {
  int64_t statement = -1; ///< -1: there is none
  uint32_t warp = 0;
  int lane = -1;      ///< -1: not known
  int64_t block = -1; ///< -1: the same
};
void report(Warp &w, const Inst &i, FindingKind kind, uint32_t lane, uint64_t address, std::string message,
            OtherAccess other = {});
/// A finding that no instruction that runs gives.
Finding findingAt(const Launch &launch, uint32_t statement, FindingKind kind, uint64_t block, uint32_t warp,
                  uint32_t lane, uint64_t address, std::string message);
/// The same for a race that Worker::suspects keeps until the read turns out to be a guess, or not.
void suspect(Warp &w, const Inst &i, uint32_t readStatement, uint32_t lane, uint64_t address,
             std::string message, OtherAccess other);
void reportGlobalOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                             bool write);
/// An access that is inside the block's shared memory, but outside the variable that its statement's address
/// is computed from (Program::ranges).
void reportOutsideVariable(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                           bool write);
/// The same for the first of these lanes whose access is, if any.
void checkInsideVariable(Warp &w, const Inst &i, const uint64_t *address, uint32_t mask, uint32_t bytes,
                         bool write);
void reportSharedOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                             bool write);
void reportLocalOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes,
                            bool write);
void reportMisaligned(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes);
/// A read of bytes that are not initialised: a copy in flight, or never written. Not for bytes whose finding
/// was given.
void reportUninitialised(Warp &w, const Inst &i, uint32_t lane, struct SharedPlace place, uint32_t bytes);
/// Whether an operation in flight will write there, which is told.
bool reportInFlight(Warp &w, const Inst &i, uint32_t lane, struct SharedPlace place, uint32_t bytes);
/// The lanes of `bad` whose bytes were never written; reports the others, which a copy in flight will write.
uint32_t neverWritten(Warp &w, const Inst &i, uint32_t bad, const uint64_t *offset, uint32_t bytes);
/// An undefined value of `lane` that matters at `i`. `how` goes on: "... of which some were never written;
/// it".
void reportUndefined(Warp &w, const Inst &i, uint32_t lane, const Origin &origin, std::string_view how);
void reportGlobalUninitialised(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes);
/// The full race check of one access inside one 16-byte cell.
void raceSlow(Warp &w, const Inst &i, uint32_t lane, uint32_t cell, uint16_t bytes, bool write,
              const void *stored);
/// True, and counted, if this kind was reported for this instruction before.
bool reportedBefore(Warp &w, const Inst &i, FindingKind kind);
/// The nearest name for a shared address: "s + 12".
std::string describeShared(const Warp &w, uint32_t address);

/// The same for a cell whose words are touched as a whole by warps at one clock. False: that is not so, or
/// there may be a race.
bool touchWords(Warp &w, const Inst &i, uint32_t cell, uint16_t bytes, bool write);
/// Puts what Cta::cellWords holds of a cell into Cta::details.
void spellOut(Cta &cta, uint32_t cell);

/// Marks bytes of a cell that no other warp minds. False: raceSlow is to say.
inline bool touchCell(const Warp &w, const Inst &i, ShadowCell &cell, uint16_t bytes, bool write) {
  uint32_t me = 1u << w.index, clock = w.clocks[w.index];
  if (cell.epoch != w.cta->epoch) {
    cell.epoch = w.cta->epoch;
    cell.warps = me;
    cell.clock = clock;
    cell.detailed = cell.inWords = false;
    cell.readBytes = write ? 0 : bytes;
    cell.writeBytes = write ? bytes : 0;
    (write ? cell.writeSite : cell.readSite) = i.statement;
    return true;
  }
  if (cell.detailed || cell.clock != clock)
    return false;
  if (cell.warps == me) {
    (write ? cell.writeBytes : cell.readBytes) |= bytes;
    (write ? cell.writeSite : cell.readSite) = i.statement;
    return true;
  }
  if (write || cell.writeBytes || cell.readBytes != bytes)
    return false;
  cell.warps |= me;
  return true;
}

/// Marks a shared access in the shadow; reports races. `address` counts from the start of the buffer, the
/// range lies in one cell. `stored`: what is about to be written, if it is known.
inline void raceAccess(Warp &w, const Inst &i, uint32_t lane, uint32_t address, uint32_t bytes, bool write,
                       const void *stored = nullptr) {
  Cta &cta = *w.cta;
  if (cta.async) [[unlikely]]
    cta.async->touch(w, i, lane, address, bytes, write);
  uint16_t mask = uint16_t(((1u << bytes) - 1) << (address & 15));
  if (i.order || !touchCell(w, i, cta.cells[address >> 4], mask, write))
    raceSlow(w, i, lane, address >> 4, mask, write, stored);
}

//===----------------------------------------------------------------------===//
// Async.cpp: cp.async groups
//===----------------------------------------------------------------------===//

/// What the copy brings: word n of lane l is values[n][l].
void fetch(Warp &w, const AsyncCopy &c, uint32_t (*values)[32]);
/// The copy in flight that covers a shared address (from the buffer's start), or null.
const AsyncCopy *asyncCovering(const Cta &cta, uint32_t address, uint32_t bytes, uint32_t &warp);

//===----------------------------------------------------------------------===//
// Control.cpp: fragments, barriers, scheduling
//===----------------------------------------------------------------------===//

void reconverge(Warp &w);
/// To be called after a change of the fragments or of pc backwards.
void updateJoin(Warp &w);
/// Runs the runnable fragment that comes first in the order of the code; true if there is one.
bool selectFragment(Warp &w);
/// Lets another runnable fragment of the warp that `may` accepts run before this one; false: there is none.
bool giveWay(Warp &w, const std::function<bool(const Fragment &)> &may);
/// To be called first by an instruction at which `need` must be together. True: go on. False: the fragment
/// was suspended, and the handler returns at once.
bool converge(Warp &w, const Inst &i, uint32_t need, bool aligned);
/// The instruction cannot go on until another warp calls `wake`; the warp will execute it again.
void suspend(Warp &w, std::string (*waitsFor)(const Warp &));
void wake(Warp &w);
/// Makes the block of this number ready to run.
void startBlock(Worker &worker, Cta &cta, uint64_t number);
/// runWarp for the warp whose trace is asked for.
void runTraced(Warp &w, uint64_t budget);
enum class BlockState : uint8_t { Running, Stuck, Over };
/// Runs the block's ready warps in turn, `rounds` turns of at most `quantum` instructions each. Stuck: none
/// is ready, and not all have ended.
BlockState stepBlock(Worker &worker, Cta &cta, uint64_t rounds, uint64_t quantum);
/// Adds a block that has ended to the counters.
void countBlock(Worker &worker, const Cta &cta);

//===----------------------------------------------------------------------===//
// System.cpp
//===----------------------------------------------------------------------===//

/// What all workers printed, in its order.
void gatherPrinted(const std::vector<std::unique_ptr<Worker>> &workers, LaunchResult &result);
/// Findings of what the launch allocated on the device's heap and nobody freed.
void reportLeaks(const Launch &launch, const std::vector<std::unique_ptr<Worker>> &workers,
                 std::map<FindingKey, FindingRecord> &findings);

//===----------------------------------------------------------------------===//
// Schedule.cpp
//===----------------------------------------------------------------------===//

/// Runs all blocks, on up to `threads` host threads; what they counted and found.
std::vector<std::unique_ptr<Worker>> runGrid(Launch &launch, unsigned threads);

//===----------------------------------------------------------------------===//
// Warpgroup.cpp
//===----------------------------------------------------------------------===//

/// `report`, where there are checks and it was not reported before.
void misuse(Warp &w, const Inst &i, FindingKind kind, const std::string &text, OtherAccess other = {});
Warpgroup &groupOf(Warp &w);
/// Of an instruction of a warpgroup: all lanes of the warp, which is one of four. False: suspended, or it can
/// do nothing.
bool gatherWarpgroup(Warp &w, const Inst &i);

void execBranch(Warp &w, const Inst &i);
void execExit(Warp &w, const Inst &i);
void execTrap(Warp &w, const Inst &i);
void execBarrier(Warp &w, const Inst &i);
/// Threads of the warps that have not ended.
uint32_t liveThreads(const Cta &cta);
/// Lets the waiting warps go on.
void completeBarrier(Cta &cta, Barrier &b);
/// All that the block's warps have done is ordered before all that follows.
void orderBlock(Cta &cta);
/// Orders what the lanes of `mask` have done before what they will do. What has synchronised a warp as a
/// whole names all its lanes.
void orderLanes(Warp &w, uint32_t mask = kFull);
void execNop(Warp &w, const Inst &i);
/// Handlers of a source file's own, added to every table.
void addCollectives(HandlerTable &table);
void addAtomics(HandlerTable &table);
void addOtherMatrix(HandlerTable &table);
void addCarry(HandlerTable &table);
void addCluster(HandlerTable &table);
/// MatrixAny.cpp: whether this is one of its multiplications, and which lanes of its results are undefined.
bool isProduct(const Inst &i);
void undefinedProduct(Warp &w, const Inst &i,
                      const std::function<uint32_t(uint32_t offset, bool wide)> &lanes,
                      const std::function<void(uint32_t offset, uint32_t lanes)> &result);

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_EXEC_H
