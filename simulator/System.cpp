//===- System.cpp - functions that the system provides: printf, assert, malloc, free -===//
#include "simulator/Exec.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

namespace {

constexpr size_t kMostPrinted = size_t(1) << 28; // bytes of a worker
constexpr size_t kMostText = 1 << 16;            // bytes of a string of the device

/// One lane's call.
class SystemCall {
public:
  SystemCall(Warp &w, const Inst &i, uint32_t lane)
      : w(w), i(i), site(w.program->calls[size_t(i.imm)]), lane(lane),
        frame(reinterpret_cast<const uint64_t *>(w.regs + i.b)[lane]) {}

  /// An argument, as many bytes as it has; one that was never written is a finding.
  uint64_t argument(size_t k) {
    uint64_t value = 0, at = frame + site.arguments[k].offset;
    uint32_t bytes = std::min(site.arguments[k].bytes, 8u);
    std::memcpy(&value, local(at), bytes);
    if (!defined(at, bytes))
      undefined(fmt::format("argument {}", k));
    return value;
  }
  void result(uint64_t value) {
    if (site.results.empty())
      return;
    uint64_t at = frame + site.results[0].offset, first = lane * uint64_t(w.program->info.localBytes) + at;
    uint32_t bytes = std::min(site.results[0].bytes, 8u);
    std::memcpy(local(at), &value, bytes);
    for (uint64_t b = first; b < first + bytes; ++b)
      w.localInit[b >> 3] |= uint8_t(1u << (b & 7));
  }

  /// Bytes at a generic address. False: they are not of one buffer.
  bool read(uint64_t address, void *to, size_t bytes, bool &isDefined) const {
    const Cta &cta = *w.cta;
    isDefined = true;
    if (address - kLocalWindow < kWindowBytes) {
      uint64_t at = address - kLocalWindow, most = w.program->info.localBytes;
      if (at >= most || bytes > most - at)
        return false;
      std::memcpy(to, local(at), bytes);
      isDefined = defined(at, bytes);
      return true;
    }
    if (address - kSharedWindow < kWindowBytes) {
      uint64_t at = address - kSharedWindow - kSharedBase;
      if (at >= cta.sharedBytes || bytes > cta.sharedBytes - at)
        return false;
      std::memcpy(to, cta.shared + at, bytes);
      return true;
    }
    const GlobalMemoryImpl &memory = *w.worker->launch->memory;
    int found = memory.find(address);
    if (found < 0)
      return false;
    const Allocation &a = memory.allocations[size_t(found)];
    uint64_t at = address - a.base;
    if (bytes > a.size - at)
      return false;
    std::memcpy(to, a.data + at, bytes);
    for (uint64_t b = at; b < at + bytes; ++b)
      isDefined &= a.init[b >> 3] >> (b & 7) & 1;
    return true;
  }

  /// A string that ends with 0; nothing after a finding.
  std::string text(uint64_t address, const char *what) {
    std::string s;
    for (; s.size() < kMostText; ++address) {
      char c = 0;
      bool isDefined = true;
      if (!read(address, &c, 1, isDefined)) {
        outOfBounds(address, 1, what);
        return {};
      }
      if (!c)
        break;
      s += c;
    }
    return s;
  }
  void outOfBounds(uint64_t address, size_t bytes, std::string_view what) {
    report(w, i, FindingKind::OutOfBounds, lane, address,
           fmt::format("read of {} bytes of {} at 0x{:x}, {}", bytes, what, address,
                       w.worker->launch->memory->describe(address)));
  }
  void undefined(std::string_view what) {
    if (w.worker->launch->checks)
      report(w, i, FindingKind::Uninitialised, lane, 0,
             fmt::format("{} of the call has bytes that were never written", what));
  }
  void print(const std::string &text) {
    std::vector<Worker::Printed> &all = w.worker->printed;
    if (w.worker->printedBytes > kMostPrinted)
      return;
    w.worker->printedBytes += text.size();
    if (all.empty() || all.back().block != w.cta->linear || all.back().warp != w.index)
      all.push_back({w.cta->linear, w.index, {}});
    all.back().text += text;
  }

  Warp &w;
  const Inst &i;
  const CallSite &site;
  uint32_t lane;

private:
  std::byte *local(uint64_t at) const { return w.local + lane * uint64_t(w.program->info.localBytes) + at; }
  bool defined(uint64_t at, size_t bytes) const {
    uint64_t first = lane * uint64_t(w.program->info.localBytes) + at;
    for (uint64_t b = first; b < first + bytes; ++b)
      if (!(w.localInit[b >> 3] >> (b & 7) & 1))
        return false;
    return true;
  }

  uint64_t frame;
};

template <class F> void eachLane(Warp &w, const Inst &i, F &&body) {
  for (uint32_t m = w.mask; m; m &= m - 1) {
    SystemCall call(w, i, uint32_t(std::countr_zero(m)));
    body(call);
  }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
template <class... T> std::string formatted(const std::string &spec, T... value) {
  std::string text(size_t(std::max(std::snprintf(nullptr, 0, spec.c_str(), value...), 0)), '\0');
  std::snprintf(text.data(), text.size() + 1, spec.c_str(), value...);
  return text;
}
#pragma GCC diagnostic pop

/// Arguments of a va_list as CUDA lays them out: one after the other, 4 or 8 bytes, each at a multiple of its
/// size.
class Arguments {
public:
  Arguments(SystemCall &call, uint64_t address) : call(call), at(address) {}
  template <class T> T next() {
    T value{};
    bool isDefined = true;
    at = (at + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    ++count;
    if (!call.read(at, &value, sizeof(T), isDefined))
      call.outOfBounds(at, sizeof(T), "an argument to print");
    else if (!isDefined)
      call.undefined(fmt::format("value {} to print", count));
    at += sizeof(T);
    return value;
  }
  uint32_t count = 0;

private:
  SystemCall &call;
  uint64_t at;
};

/// What printf makes of this format.
std::string printfText(SystemCall &call, const std::string &format, Arguments &arguments) {
  constexpr size_t kWidest = 4096;
  std::string out;
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    size_t begin = at++;
    std::string spec = "%";
    bool good = true;
    auto flags = [&] { return at < format.size() && std::strchr("-+ #0", format[at]); };
    while (flags())
      spec += format[at++];
    auto number = [&] {
      size_t n = 0, digits = 0;
      if (at < format.size() && format[at] == '*') {
        ++at;
        int32_t given = arguments.next<int32_t>();
        spec += std::to_string(std::clamp(given, -int32_t(kWidest), int32_t(kWidest)));
        return;
      }
      for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at, ++digits)
        n = std::min(n * 10 + size_t(format[at] - '0'), kWidest);
      if (digits)
        spec += std::to_string(n);
    };
    number();
    if (at < format.size() && format[at] == '.') {
      spec += '.';
      ++at;
      number();
    }
    unsigned longs = 0, shorts = 0;
    for (; at < format.size() && std::strchr("hlLqjzt", format[at]); ++at) {
      shorts += format[at] == 'h';
      longs += format[at] != 'h';
    }
    char kind = at < format.size() ? format[at++] : '\0';
    switch (kind) {
    case '%':
      out += '%';
      continue;
    case 'd':
    case 'i': {
      int64_t v = longs ? arguments.next<int64_t>() : arguments.next<int32_t>();
      v = shorts == 1 ? int16_t(v) : shorts > 1 ? int8_t(v) : v;
      out += formatted(spec + "lld", static_cast<long long>(v));
      continue;
    }
    case 'u':
    case 'o':
    case 'x':
    case 'X': {
      uint64_t v = longs ? arguments.next<uint64_t>() : arguments.next<uint32_t>();
      v = shorts == 1 ? uint16_t(v) : shorts > 1 ? uint8_t(v) : v;
      out += formatted(spec + "ll" + kind, static_cast<unsigned long long>(v));
      continue;
    }
    case 'c':
      out += formatted(spec + "c", int(arguments.next<uint32_t>()));
      continue;
    case 'p':
      out += formatted(spec + "p", reinterpret_cast<void *>(arguments.next<uint64_t>()));
      continue;
    case 's': {
      uint64_t address = arguments.next<uint64_t>();
      std::string s = address ? call.text(address, "a string to print") : std::string("(null)");
      out += formatted(spec + "s", s.c_str());
      continue;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
      out += formatted(spec + kind, arguments.next<double>());
      continue;
    default:
      good = false;
    }
    if (!good) // as it stands
      out += format.substr(begin, at - begin);
  }
  return out;
}

/// int vprintf(const char *format, va_list)
void execPrint(Warp &w, const Inst &i) {
  eachLane(w, i, [](SystemCall &call) {
    uint64_t format = call.argument(0), list = call.argument(1);
    if (!format)
      return call.result(uint64_t(-1));
    Arguments arguments(call, list);
    call.print(printfText(call, call.text(format, "the format to print"), arguments));
    call.result(arguments.count);
  });
}

/// void __assertfail(const char *expression, const char *file, unsigned line, const char *function, size_t)
void execAssertFail(Warp &w, const Inst &i) {
  eachLane(w, i, [&](SystemCall &call) {
    if (reportedBefore(w, i, FindingKind::Assertion))
      return;
    std::string expression = call.text(call.argument(0), "the assertion"),
                file = call.text(call.argument(1), "the assertion's file"),
                function = call.text(call.argument(3), "the assertion's function");
    report(
        w, i, FindingKind::Assertion, call.lane, 0,
        fmt::format("{}:{}: {}: `{}` does not hold", file, uint32_t(call.argument(2)), function, expression));
  });
  w.cta->aborted = w.stop = true;
}

/// void *malloc(size_t)
void execMalloc(Warp &w, const Inst &i) {
  eachLane(w, i, [&](SystemCall &call) {
    GlobalMemoryImpl &memory = *w.worker->launch->memory;
    uint64_t bytes = call.argument(0), most = w.worker->launch->config->heapBytes;
    if (!bytes || bytes > most || memory.heapBytes + bytes > most)
      return call.result(0);
    const Program::Line &line = w.program->statements[i.statement];
    Result<uint64_t> address = memory.allocate(bytes, fmt::format("malloc of line {}", line.ptxLine));
    if (!address)
      return call.result(0);
    memory.heap[*address] = bytes;
    memory.heapBytes += bytes;
    w.worker->allocated[*address] = {w.cta->linear, w.index, call.lane, i.statement};
    call.result(*address);
  });
}

/// void free(void *)
void execFree(Warp &w, const Inst &i) {
  eachLane(w, i, [&](SystemCall &call) {
    GlobalMemoryImpl &memory = *w.worker->launch->memory;
    uint64_t address = call.argument(0);
    auto it = memory.heap.find(address);
    if (it != memory.heap.end()) {
      memory.heapBytes -= it->second;
      memory.heap.erase(it);
      w.worker->allocated.erase(address);
      memory.release(address);
    } else if (address && !reportedBefore(w, i, FindingKind::Heap)) {
      report(w, i, FindingKind::Heap, call.lane, address,
             fmt::format("free of 0x{:x}, which malloc has not given, or which is free already: {}", address,
                         memory.describe(address)));
    }
  });
}

} // namespace

const SystemFunction *findSystemFunction(std::string_view name) {
  static const SystemFunction all[] = {{"vprintf", execPrint, {8, 8}, {4}},
                                       {"__assertfail", execAssertFail, {8, 8, 4, 8, 8}, {}},
                                       {"malloc", execMalloc, {8}, {8}},
                                       {"free", execFree, {8}, {}}};
  auto it =
      std::find_if(std::begin(all), std::end(all), [&](const SystemFunction &f) { return f.name == name; });
  return it == std::end(all) ? nullptr : it;
}

bool isSystemFunction(std::string_view name) { return findSystemFunction(name); }

void gatherPrinted(const std::vector<std::unique_ptr<Worker>> &workers, LaunchResult &result) {
  std::multimap<std::pair<uint64_t, uint32_t>, const std::string *> all; // equal keys stay in their order
  bool cut = false;
  for (const auto &worker : workers) {
    for (const Worker::Printed &p : worker->printed)
      all.emplace(std::pair{p.block, p.warp}, &p.text);
    cut |= worker->printedBytes > kMostPrinted;
  }
  for (const auto &[place, text] : all)
    result.printed += *text;
  if (cut)
    result.notes.push_back(
        fmt::format("of what the kernel printed the first {} MB are kept", kMostPrinted >> 20));
}

/// What of the device's heap a later kernel can find: a pointer into it lies in memory that is no part of the
/// heap, or in such a part of it.
static std::set<uint64_t> reachable(const GlobalMemoryImpl &memory) {
  std::set<uint64_t> found;
  if (memory.heap.empty())
    return found;
  std::vector<const Allocation *> scan;
  for (const Allocation &a : memory.allocations)
    if (!a.freed && !memory.heap.contains(a.base))
      scan.push_back(&a);
  while (!scan.empty()) {
    const Allocation &a = *scan.back();
    scan.pop_back();
    for (uint64_t at = 0; at + 8 <= a.size; at += 8) {
      uint64_t value;
      if (!a.init[at / 8])
        continue;
      std::memcpy(&value, a.data + at, 8);
      auto it = memory.heap.upper_bound(value);
      if (it == memory.heap.begin() || value - (--it)->first >= it->second || !found.insert(it->first).second)
        continue;
      scan.push_back(&memory.allocations[size_t(memory.find(it->first))]);
    }
  }
  return found;
}

void reportLeaks(const Launch &launch, const std::vector<std::unique_ptr<Worker>> &workers,
                 std::map<FindingKey, FindingRecord> &findings) {
  auto ended = [](const auto &f) { // a block did not come to its frees
    FindingKind k = f.first.kind;
    return k == FindingKind::Trap || k == FindingKind::Assertion || k == FindingKind::StackOverflow ||
           k == FindingKind::Deadlock || k == FindingKind::EndlessLoop;
  };
  if (!launch.checks || std::any_of(findings.begin(), findings.end(), ended))
    return;
  std::set<uint64_t> known = reachable(*launch.memory);
  for (const auto &worker : workers)
    for (const auto &[address, a] : worker->allocated) {
      if (known.contains(address))
        continue; // a later kernel may free it
      auto [it, fresh] = findings.try_emplace({a.statement, FindingKind::Heap});
      if (fresh)
        it->second = {findingAt(launch, a.statement, FindingKind::Heap, a.block, a.warp, a.lane, address,
                                fmt::format("the {} bytes at 0x{:x} that malloc gave are not freed when the "
                                            "kernel ends, and no pointer to them is left in global memory",
                                            launch.memory->heap.at(address), address)),
                      a.block};
      else
        ++it->second.finding.count;
    }
}

} // namespace attune::sim
