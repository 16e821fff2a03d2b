//===- SimMutants.cpp - a kernel with one synchronisation changed ---------===//
#include "SimMutants.h"

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>
#include <sstream>

namespace simtest {

std::string onlyEntry(const std::string &ptx, const std::string &entry) {
  size_t first = ptx.find(".visible .entry"), at = ptx.find(".entry " + entry + "(");
  if (at == std::string::npos)
    return "";
  at = ptx.rfind('\n', at) + 1;
  size_t end = ptx.find("\n\n}\n", at); // braces of inline assembly have no empty line before them
  return ptx.substr(0, first) + ptx.substr(at, end + 4 - at);
}

namespace {

/// A statement, a wait's loop in its braces, or what a statement cannot be moved past.
struct Unit {
  size_t begin, end; ///< lines
  enum { Statement, Other, Boundary } kind = Other;
  std::string opcode; ///< of a wait's loop that of the mbarrier instruction
};

class Kernel {
public:
  Kernel(const std::string &ptx, const std::string &cuda) : lines(split(ptx)), source(split(cuda)) {
    for (size_t k = 0; k < lines.size();) {
      size_t end = k + 1;
      if (lines[k] == "{" && lines[k - 1] == "// begin inline asm")
        while (lines[end - 1] != "}")
          ++end;
      units.push_back(unit(k, end));
      k = end;
    }
    for (const Unit &u : units)
      if (u.opcode.find("wgmma.mma_async") == 0) { // accumulators and A: what stands in braces
        std::string operands = text(u).substr(text(u).find("wgmma"));
        for (size_t at = operands.find('{'); at != std::string::npos; at = operands.find('{', at + 1))
          for (const std::string &r : registersOf(operands.substr(at, operands.find('}', at) - at)))
            ofProducts.insert(r);
      }
  }

  std::vector<Mutant> mutants() {
    for (size_t k = 0; k < units.size(); ++k) {
      if (units[k].kind != Unit::Statement || !synchronises(units[k].opcode))
        continue;
      replace(k, "", "left out");
      for (const Change &c : changes())
        if (std::regex_search(text(units[k]), c.from))
          replace(k, std::regex_replace(text(units[k]), c.from, c.to), c.what);
      counts(k);
      move(k);
    }
    return std::move(all);
  }

private:
  struct Change {
    const char *what;
    std::regex from;
    const char *to;
  };
  /// Weaker forms, and wrong phases.
  static const std::vector<Change> &changes() {
    static const std::vector<Change> all = {
        {"the other phase", std::regex(R"((mbarrier\.try_wait\S+ p, \[[^\]]+\]), (%?\w+);)"),
         ".reg .b32 other;\nxor.b32 other, $2, 1;\n$1, other;"},
        {"orders nothing", std::regex(R"(mbarrier\.try_wait\.parity\.shared)"),
         "mbarrier.try_wait.parity.relaxed.cta.shared"},
        {"orders nothing", std::regex(R"(mbarrier\.try_wait\.parity\.acquire)"),
         "mbarrier.try_wait.parity.relaxed"},
        {"orders nothing", std::regex(R"(mbarrier\.arrive\.shared)"), "mbarrier.arrive.relaxed.cta.shared"},
        {"orders nothing", std::regex(R"(mbarrier\.arrive\.release)"), "mbarrier.arrive.relaxed"},
        {"orders nothing", std::regex(R"(barrier\.cluster\.arrive\.release)"),
         "barrier.cluster.arrive.relaxed"},
        {"does not wait", std::regex(R"(bar\.sync (%?\w+), (%?\w+);)"), "bar.arrive $1, $2;"},
        {"of global memory", std::regex(R"(fence\.proxy\.async\.shared::cta)"), "fence.proxy.async.global"},
        {"waits for the reads alone", std::regex(R"(cp\.async\.bulk\.wait_group (\d+))"),
         "cp.async.bulk.wait_group.read $1"},
        {"expects nothing", std::regex(R"(mbarrier\.arrive\.expect_tx(\S+) _, (\[[^\]]+\]), [^;]+;)"),
         "mbarrier.arrive$1 _, $2;"},
        {"does not arrive", std::regex(R"(mbarrier\.arrive\.expect_tx\.shared::cta\.b64 _, )"),
         "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 "},
        {"fills one block only", std::regex(R"(^(.*multicast::cluster.*), (%?\w+);)"),
         "{\n.reg .b16 one;\nmov.u16 one, 1;\n$1, one;\n}"},
    };
    return all;
  }

  /// Wrong numbers.
  void counts(size_t k) {
    const std::string whole = text(units[k]);
    auto number = [&](const std::regex &where, std::initializer_list<int> steps, const char *what) {
      std::smatch m; // before the number, the number (a register or digits), behind it
      if (!std::regex_search(whole, m, where))
        return;
      for (int step : steps) {
        std::string by = (step > 0 ? "+" : "") + std::to_string(step), change = std::string(what) + by;
        std::string given = m[2].str();
        std::string before = whole.substr(0, size_t(m.position(0))) + m[1].str(),
                    behind = m[3].str() + m.suffix().str();
        if (given[0] != '%') {
          int value = std::atoi(given.c_str()) + step;
          if (value >= 0)
            replace(k, before + std::to_string(value) + behind, change);
          continue;
        }
        replace(k,
                "{\n.reg .b32 wrong;\nadd.s32 wrong, " + given + ", " + std::to_string(step) + ";\n" +
                    before + "wrong" + behind + "\n}",
                change);
      }
    };
    number(std::regex(R"((wgmma\.wait_group\.sync\.aligned )(\d+)(;))"), {1}, "groups that may be left: ");
    number(std::regex(R"((cp\.async\.bulk\.wait_group(?:\.read)? )(\d+)(;))"), {1},
           "groups that may be left: ");
    number(std::regex(R"((mbarrier\.init\S+ \[[^\]]+\], )(%?\w+)(;))"), {1, -1}, "arrivals: ");
    number(std::regex(R"((mbarrier\.arrive\.expect_tx\S+ _, \[[^\]]+\], )(%?\w+)(;))"), {16, -16, -4096},
           "bytes: ");
    number(std::regex(R"((bar\.(?:sync|arrive) %?\w+, )(%?\w+)(;))"), {32, -32}, "threads: ");
    number(std::regex(R"((bar\.(?:sync|arrive) )(%?\w+)(,))"), {1}, "number: ");
    number(std::regex(R"((setmaxnreg\.\S+ )(\d+)(;))"), {8}, "registers: ");
  }

  static std::vector<std::string> split(const std::string &all) {
    std::vector<std::string> lines;
    std::istringstream in(all);
    for (std::string line; std::getline(in, line);) {
      size_t begin = line.find_first_not_of(" \t"), end = line.find_last_not_of(" \t\r");
      lines.push_back(begin == std::string::npos ? "" : line.substr(begin, end + 1 - begin));
    }
    return lines;
  }
  std::string text(const Unit &u) const { return join(u.begin, u.end); }
  std::string join(size_t begin, size_t end) const {
    std::string all;
    for (size_t k = begin; k < end; ++k)
      all += lines[k] + (k + 1 < end ? "\n" : "");
    return all;
  }

  Unit unit(size_t begin, size_t end) const {
    Unit u{begin, end, Unit::Other, ""};
    for (size_t k = begin; k < end; ++k) {
      std::string line = lines[k];
      if (end == begin + 1 && (line.empty() || line.find("//") == 0 || line.find(".loc") == 0))
        return u;
      if (line.empty() || line[0] == '.' || line[0] == '{' || line[0] == '}' || line.back() == ':')
        continue;
      bool guarded = line[0] == '@';
      if (guarded)
        line = line.substr(std::min(line.size(), line.find_first_of(" \t") + 1));
      line = line.substr(std::min(line.size(), line.find_first_not_of(" \t")));
      std::string opcode = line.substr(0, line.find_first_of(" \t;"));
      if (opcode.find("bra") == 0 || opcode == "ret" || opcode == "exit") {
        if (end == begin + 1)
          break; // a boundary
        continue;
      }
      if (u.opcode.empty() || synchronises(opcode) || opcode.find("ld.") == 0 || opcode.find("wgmma") == 0)
        u.opcode = opcode;
    }
    u.kind = u.opcode.empty() ? Unit::Boundary : Unit::Statement;
    return u;
  }

  static bool begins(const std::string &opcode, std::initializer_list<const char *> with) {
    return std::any_of(with.begin(), with.end(), [&](const char *w) { return opcode.find(w) == 0; });
  }
  static bool synchronises(const std::string &opcode) {
    return begins(opcode, {"mbarrier.", "bar.", "barrier.", "fence", "membar", "wgmma.fence", "wgmma.commit",
                           "wgmma.wait", "cp.async", "setmaxnreg"});
  }
  static std::vector<std::string> registersOf(const std::string &statement) {
    static const std::regex name(R"(%\w+)");
    std::vector<std::string> found;
    for (std::sregex_iterator it(statement.begin(), statement.end(), name), end; it != end; ++it)
      found.push_back(it->str());
    return found;
  }
  /// Whether the order of this statement and of a synchronisation may matter.
  bool matters(const Unit &u) const {
    if (synchronises(u.opcode) ||
        begins(u.opcode, {"ld.shared", "ld.global", "st.", "atom", "red.", "wgmma", "shfl", "elect"}))
      return true;
    std::vector<std::string> registers = registersOf(text(u));
    return !begins(u.opcode, {"mov"}) &&
           std::any_of(registers.begin(), registers.end(),
                       [&](const std::string &r) { return ofProducts.contains(r); });
  }

  void move(size_t k) {
    std::vector<std::string> own = registersOf(text(units[k]));
    for (int step : {1, -1})
      for (size_t n = k + size_t(step); n < units.size(); n += size_t(step)) {
        const Unit &u = units[n];
        if (u.kind == Unit::Boundary)
          break;
        if (u.kind == Unit::Other)
          continue;
        if (step < 0) { // not before what its operands come from
          std::vector<std::string> set = registersOf(text(u));
          bool defines = !set.empty() && std::find(own.begin(), own.end(), set[0]) != own.end() &&
                         !synchronises(u.opcode);
          if (defines)
            break;
        }
        if (!matters(u))
          continue;
        size_t from = std::min(units[k].begin, u.begin), to = std::max(units[k].end, u.end);
        std::string rest = step > 0 ? join(units[k].end, to) + "\n" + text(units[k])
                                    : text(units[k]) + "\n" + join(from, units[k].begin);
        add(k, from, to, rest, std::string(step > 0 ? "behind " : "before ") + u.opcode);
        break;
      }
  }

  void replace(size_t k, const std::string &by, const std::string &what) {
    add(k, units[k].begin, units[k].end, by, what);
  }
  void add(size_t k, size_t from, size_t to, const std::string &by, const std::string &what) {
    std::string ptx = join(0, from) + "\n" + by + "\n" + join(to, lines.size()) + "\n";
    if (seen.insert(ptx).second)
      all.push_back({sourceOf(units[k].begin), units[k].opcode + ": " + what, std::move(ptx),
                     unsigned(units[k].begin + 1)});
  }

  /// The program's line: that of the kernel's own file which the last .loc names, or in which that was
  /// inlined.
  std::string sourceOf(size_t line) const {
    static const std::regex loc(R"(\.loc\s+(\d+) (\d+) \d+(.*))"), inlined(R"(inlined_at (\d+) (\d+))");
    while (line-- > 0) {
      std::smatch m, at;
      if (!std::regex_search(lines[line], m, loc))
        continue;
      std::string rest = m[3].str();
      bool other = m[1] != "1" && std::regex_search(rest, at, inlined);
      size_t number = size_t(std::atoi((other ? at[2] : m[2]).str().c_str()));
      if ((other ? at[1] : m[1]) == "1" && number && number <= source.size())
        return source[number - 1];
    }
    return "";
  }

  std::vector<std::string> lines, source;
  std::vector<Unit> units;
  std::set<std::string> ofProducts, seen;
  std::vector<Mutant> all;
};

} // namespace

std::vector<Mutant> mutantsOf(const std::string &ptx, const std::string &cuda) {
  return Kernel(ptx, cuda).mutants();
}

} // namespace simtest
