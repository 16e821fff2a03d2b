//===- Slots.cpp - issue slots of a kernel's inner loops ------------------===//
//
// The text of nvdisasm is cut into functions, these into basic blocks; natural loops are found from
// dominators. The order of blocks in memory is not enough: the assembler likes to put a rarely executed
// block behind the function's end.
//
//===----------------------------------------------------------------------===//
#include "runtime/jit/Slots.h"

#include "runtime/io/File.h"
#include "runtime/jit/Subprocess.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

namespace attune {
namespace {

struct Instruction {
  std::string_view text; ///< without its predicate
  bool predicated;
};

struct Function {
  std::string name;
  std::vector<Instruction> code;
  std::map<std::string_view, size_t> labels; ///< index of the instruction that follows
};

bool startsWithAny(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.starts_with(word); });
}

bool isMatrix(std::string_view text) {
  return startsWithAny(text, {"HMMA", "HGMMA", "QGMMA", "QMMA", "IMMA", "IGMMA"});
}

bool movesGlobalData(std::string_view text) {
  return startsWithAny(text, {"LDG", "STG", "UTMA", "UBLK", "ATOM", "RED"});
}

/// The first class with a matching prefix names an instruction; the opcode itself names the others.
std::string classOf(std::string_view text) {
  struct Class {
    const char *name;
    std::initializer_list<std::string_view> prefixes;
  };
  static const Class classes[] = {
      {"matrix", {"HMMA", "HGMMA", "QGMMA", "QMMA", "IMMA", "IGMMA"}},
      {"ex2", {"MUFU.EX2"}},
      {"mufu other", {"MUFU"}},
      {"ffma", {"FFMA"}},
      {"fmul", {"FMUL"}},
      {"fadd", {"FADD"}},
      {"fmnmx", {"FMNMX"}},
      {"fsetp/fsel", {"FSETP", "FSEL", "FCHK"}},
      {"cvt pack", {"F2FP", "F2F"}},
      {"shuffle", {"SHFL", "VOTE"}},
      {"int",
       {"IADD", "IMAD", "LOP3", "ISETP", "SHF", "LEA", "SEL", "IMNMX", "PRMT", "UIADD", "ULOP", "USHF",
        "UISETP", "USEL", "ULEA", "UIMAD", "UPRMT", "VIADD", "PLOP"}},
      {"move", {"MOV", "R2UR", "UMOV", "S2R", "S2UR", "CS2R", "R2P", "P2R"}},
      {"wait/sync",
       {"WARPGROUP", "SYNCS", "BAR", "DEPBAR", "LDGDEPBAR", "WARPSYNC", "BSYNC", "BSSY", "NOP", "ELECT",
        "FENCE", "MEMBAR", "CCTL", "UCGABAR", "ERRBAR"}},
      {"shared mem", {"LDSM", "STSM", "LDS", "STS"}},
      {"global/local mem", {"LDG", "STG", "LDL", "STL", "UTMA", "UBLK", "ATOM", "RED", "LDC", "ULDC"}},
      {"branch", {"BRA", "EXIT", "CALL", "RET", "JMP"}},
  };
  for (const Class &c : classes)
    if (startsWithAny(text, c.prefixes))
      return c.name;
  return "other " + std::string(text.substr(0, text.find(' ')));
}

std::string_view trim(std::string_view text) {
  size_t start = std::min(text.find_first_not_of(" \t\r"), text.size());
  text.remove_prefix(start);
  return text.substr(0, text.find_last_not_of(" \t\r") + 1);
}

std::vector<Function> parse(std::string_view text) {
  std::vector<Function> functions;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with(".text.") && line.ends_with(":")) {
      functions.push_back({std::string(line.substr(6, line.size() - 7)), {}, {}});
      continue;
    }
    if (functions.empty())
      continue;
    Function &function = functions.back();
    line = trim(line);
    if (line.starts_with(".L") && line.ends_with(":")) {
      function.labels[line.substr(0, line.size() - 1)] = function.code.size();
      continue;
    }
    // "/*0120*/  @P0 BRA `(.L_x_3) ;": the address has at least four hexadecimal digits. Encodings, which
    // other options print, have "0x".
    size_t close = line.find("*/");
    if (!line.starts_with("/*") || close < 6 || close == std::string_view::npos || line[3] == 'x')
      continue;
    line = trim(line.substr(close + 2));
    size_t semicolon = line.find(';');
    if (semicolon == std::string_view::npos)
      continue;
    line = trim(line.substr(0, semicolon));
    Instruction instruction{line, line.starts_with('@')};
    if (instruction.predicated)
      instruction.text = trim(line.substr(std::min(line.find(' '), line.size())));
    function.code.push_back(instruction);
  }
  return functions;
}

struct Block {
  size_t first, last; ///< instructions, inclusive
  std::vector<int> successors, predecessors;
};

/// Basic blocks and the edges between them; block 0 is the entry.
struct Graph {
  std::vector<Block> blocks;
  std::vector<std::vector<bool>> dominators; ///< dominators[b][d]: every way to b passes d
  std::vector<bool> reached;

  explicit Graph(const Function &function) {
    const std::vector<Instruction> &code = function.code;
    std::set<size_t> starts = {0};
    std::vector<long> target(code.size(), -1);
    for (size_t i = 0; i < code.size(); ++i) {
      bool branch = code[i].text.starts_with("BRA");
      if (branch)
        if (auto label = function.labels.find(labelOf(code[i].text)); label != function.labels.end()) {
          target[i] = long(label->second);
          starts.insert(label->second);
        }
      if (branch || ends(code[i]))
        starts.insert(i + 1);
    }
    std::map<size_t, int> blockAt;
    for (auto at = starts.begin(); at != starts.end() && *at < code.size(); ++at) {
      auto next = std::next(at);
      blockAt[*at] = int(blocks.size());
      blocks.push_back({*at, (next == starts.end() ? code.size() : *next) - 1, {}, {}});
    }
    for (size_t b = 0; b < blocks.size(); ++b) {
      size_t last = blocks[b].last;
      if (target[last] >= 0 && size_t(target[last]) < code.size())
        connect(int(b), blockAt[size_t(target[last])]);
      if (!ends(code[last]) && b + 1 < blocks.size())
        connect(int(b), int(b + 1));
    }
    findDominators();
  }

private:
  static std::string_view labelOf(std::string_view text) {
    size_t start = text.find(".L");
    if (start == std::string_view::npos)
      return "";
    return text.substr(start, text.find_first_of(") ,", start) - start);
  }
  /// Control never goes on behind it: not predicated, and a branch names no predicate operand either.
  static bool ends(const Instruction &instruction) {
    if (instruction.predicated)
      return false;
    std::string_view operands =
        trim(instruction.text.substr(std::min(instruction.text.find(' '), instruction.text.size())));
    if (instruction.text.starts_with("BRA"))
      return operands.starts_with("`(") || operands.starts_with(".L");
    return startsWithAny(instruction.text, {"EXIT", "RET", "JMP", "BRX", "JMX", "KILL"});
  }
  void connect(int from, int to) {
    blocks[size_t(from)].successors.push_back(to);
    blocks[size_t(to)].predecessors.push_back(from);
  }
  void findDominators() {
    size_t n = blocks.size();
    reached.assign(n, false);
    std::vector<int> work = {0};
    while (!work.empty()) {
      size_t b = size_t(work.back());
      work.pop_back();
      if (reached[b])
        continue;
      reached[b] = true;
      work.insert(work.end(), blocks[b].successors.begin(), blocks[b].successors.end());
    }
    dominators.assign(n, std::vector<bool>(n, true));
    dominators[0].assign(n, false);
    dominators[0][0] = true;
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t b = 1; b < n; ++b) {
        if (!reached[b])
          continue;
        std::vector<bool> now(n, true);
        for (int p : blocks[b].predecessors)
          if (reached[size_t(p)])
            for (size_t d = 0; d < n; ++d)
              now[d] = now[d] && dominators[size_t(p)][d];
        now[b] = true;
        if (now != dominators[b]) {
          dominators[b] = std::move(now);
          changed = true;
        }
      }
    }
  }
};

struct Loop {
  int header;
  std::set<int> latches, blocks;
};

std::vector<Loop> naturalLoops(const Graph &graph) {
  std::map<int, Loop> byHeader;
  for (size_t b = 0; b < graph.blocks.size(); ++b)
    for (int header : graph.blocks[b].successors) {
      if (!graph.reached[b] || !graph.dominators[b][size_t(header)])
        continue;
      Loop &loop = byHeader[header];
      loop.header = header;
      loop.latches.insert(int(b));
      loop.blocks.insert(header);
      std::vector<int> work = {int(b)};
      while (!work.empty()) {
        int at = work.back();
        work.pop_back();
        if (graph.reached[size_t(at)] && loop.blocks.insert(at).second)
          work.insert(work.end(), graph.blocks[size_t(at)].predecessors.begin(),
                      graph.blocks[size_t(at)].predecessors.end());
      }
    }
  std::vector<Loop> loops;
  for (auto &[header, loop] : byHeader)
    loops.push_back(std::move(loop));
  return loops;
}

/// The blocks of a loop that one branch skips: those between two blocks that every iteration executes, the
/// first of which may go straight to the second. (If and else both cost; only an if without an else can be
/// cheap.)
std::set<int> skippable(const Graph &graph, const Loop &loop) {
  std::vector<int> always; // in order of execution
  for (int b : loop.blocks)
    if (std::all_of(loop.latches.begin(), loop.latches.end(),
                    [&](int latch) { return graph.dominators[size_t(latch)][size_t(b)]; }))
      always.push_back(b);
  std::sort(always.begin(), always.end(),
            [&](int a, int b) { return a != b && graph.dominators[size_t(b)][size_t(a)]; });
  std::set<int> skipped;
  for (size_t i = 0; i < always.size(); ++i) {
    int next = i + 1 < always.size() ? always[i + 1] : loop.header;
    const std::vector<int> &successors = graph.blocks[size_t(always[i])].successors;
    if (std::find(successors.begin(), successors.end(), next) == successors.end())
      continue;
    for (int b : loop.blocks) {
      bool behind = graph.dominators[size_t(b)][size_t(always[i])];
      bool beyond = next != loop.header && graph.dominators[size_t(b)][size_t(next)];
      if (behind && !beyond && b != always[i])
        skipped.insert(b);
    }
  }
  return skipped;
}

} // namespace

std::vector<LoopSlots> slotsOf(std::string_view disassembly, double elementsPerThread) {
  std::vector<LoopSlots> result;
  for (const Function &function : parse(disassembly)) {
    if (function.code.empty())
      continue;
    Graph graph(function);
    auto countIn = [&](int block, auto &&predicate) {
      int n = 0;
      for (size_t i = graph.blocks[size_t(block)].first; i <= graph.blocks[size_t(block)].last; ++i)
        n += predicate(function.code[i].text);
      return n;
    };
    std::vector<Loop> loops = naturalLoops(graph);
    std::erase_if(loops, [&](const Loop &loop) {
      return std::none_of(loop.blocks.begin(), loop.blocks.end(),
                          [&](int b) { return countIn(b, isMatrix); });
    });
    for (const Loop &loop : loops) {
      bool holdsAnother = std::any_of(loops.begin(), loops.end(), [&](const Loop &other) {
        return &other != &loop && std::includes(loop.blocks.begin(), loop.blocks.end(), other.blocks.begin(),
                                                other.blocks.end());
      });
      if (holdsAnother)
        continue;
      LoopSlots slots;
      slots.function = function.name;
      std::set<int> skipped = skippable(graph, loop);
      std::map<std::string, int> classes;
      for (int b : loop.blocks) {
        int all = countIn(b, [](std::string_view) { return true; });
        int matrix = countIn(b, isMatrix);
        slots.instructions += all;
        slots.matrix += matrix;
        // Loads of the next tile are skipped only in the last iterations.
        if (skipped.count(b) && !matrix && !countIn(b, movesGlobalData))
          slots.skipped += all;
        for (size_t i = graph.blocks[size_t(b)].first; i <= graph.blocks[size_t(b)].last; ++i)
          ++classes[classOf(function.code[i].text)];
      }
      slots.classes.assign(classes.begin(), classes.end());
      std::sort(slots.classes.begin(), slots.classes.end(), [](const auto &a, const auto &b) {
        return std::tie(b.second, a.first) < std::tie(a.second, b.first);
      });
      if (elementsPerThread > 0)
        slots.slotsPerElement = (slots.instructions - slots.matrix - slots.skipped) / elementsPerThread;
      result.push_back(std::move(slots));
    }
  }
  return result;
}

Result<std::vector<LoopSlots>> slots(const Toolchain &tools, const std::string &cubin,
                                     double elementsPerThread) {
  Result<std::string> nvdisasm = tools.need(Tool::Nvdisasm);
  if (!nvdisasm)
    return nvdisasm.error();
  Result<TempDir> folder = TempDir::make();
  if (!folder)
    return folder.error();
  std::string file = folder->path() + "/kernel.cubin";
  if (Status written = writeFileAtomically(file, {cubin}, 0600); !written)
    return written.error();
  Result<ProcessOutput> run = runProcess({*nvdisasm, "-c", file});
  if (!run)
    return run.error();
  if (run->status != 0)
    return badInput(
        fmt::format("nvdisasm does not read the cubin (exit status {}): {}", run->status, run->err));
  return slotsOf(run->out, elementsPerThread);
}

} // namespace attune
