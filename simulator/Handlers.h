//===- Handlers.h - what executes an instruction, by its name ----*- C++ -*-===//
#ifndef ATTUNE_SIMULATOR_HANDLERS_H
#define ATTUNE_SIMULATOR_HANDLERS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace attune::sim {

struct Warp;
struct Inst;
using Handler = void (*)(Warp &, const Inst &);

enum class Class : uint8_t {
  None,
  Integer,
  Floating,
  Special,
  Conversion,
  Move,
  Predicate,
  Control,
  Memory,
  Matrix,
  MatrixLoad,
  AsyncCopy,
  Shuffle,
  Barrier,
  Count
};

struct HandlerInfo {
  Handler fn = nullptr;
  /// Destinations, ':', sources. w: 32-bit register, h: 16-bit, q: 64-bit, p: predicate, P: predicate that
  /// may be negated or left out.
  const char *signature = "";
  Class cls = Class::None;
};

/// Handlers of ordinary instructions are found by their whole opcode; those that the decoder treats itself
/// have names of their own ("ld:global:4:1").
class HandlerTable {
public:
  void add(std::string name, Handler fn, const char *signature, Class cls) {
    table[std::move(name)] = {fn, signature, cls};
  }
  const HandlerInfo *find(std::string_view name) const {
    auto it = table.find(name);
    return it == table.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (auto &[name, info] : table)
      all.push_back(name);
    return all;
  }

private:
  struct Hash { // so that a part of the file's text is looked up without a copy
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::unordered_map<std::string, HandlerInfo, Hash, std::equal_to<>> table;
};

/// Handlers that gain nothing from vectors: collectives, atomics, asynchronous copies, control.
void addScalarHandlers(HandlerTable &table);

/// The handlers for this machine, chosen once.
const HandlerTable &handlers();

namespace baseline {
const HandlerTable &handlers();
}
namespace avx2 {
const HandlerTable &handlers();
}
namespace avx512 {
const HandlerTable &handlers();
}

} // namespace attune::sim

#endif // ATTUNE_SIMULATOR_HANDLERS_H
