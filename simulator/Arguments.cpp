//===- Arguments.cpp - values of kernel parameters; names of counters -----===//
#include "simulator/Simulator.h"

#include <fmt/format.h>

namespace attune::sim {

static std::string_view kindText(Argument::Kind kind) {
  switch (kind) {
  case Argument::Kind::Pointer:
    return "a pointer";
  case Argument::Kind::Integer:
    return "an integer";
  case Argument::Kind::Float:
    return "a floating-point number";
  case Argument::Kind::Bytes:
    return "a value";
  }
  return "a value";
}

std::string mismatch(const Param &param, const Argument &argument) {
  bool isFloat = param.type[0] == 'f', isArray = param.type == "b8" && param.size > 1;
  bool isInteger = param.type[0] == 'u' || param.type[0] == 's';
  bool fits = argument.bytes.size() == param.size;
  switch (argument.kind) {
  case Argument::Kind::Pointer:
  case Argument::Kind::Integer:
    fits &= !isFloat;
    break;
  case Argument::Kind::Float:
    fits &= !isInteger;
    break;
  case Argument::Kind::Bytes:
    break;
  }
  if (fits)
    return "";
  return fmt::format("expected {} for parameter '{}' (.{}{}), got {} of {} bytes",
                     isArray   ? fmt::format("a value of {} bytes", param.size)
                     : isFloat ? fmt::format("a floating-point number of {} bytes", param.size)
                     : isInteger && param.size == 8
                         ? std::string("a pointer or an integer of 8 bytes")
                         : fmt::format("{} of {} bytes", isInteger ? "an integer" : "a value", param.size),
                     param.name, param.type, isArray ? fmt::format("[{}]", param.size) : "",
                     kindText(argument.kind), argument.bytes.size());
}

Result<std::vector<std::byte>> packArguments(const EntryInfo &entry, const std::vector<Argument> &arguments) {
  if (arguments.size() != entry.params.size())
    return badInput(fmt::format("entry '{}': error: expected {} arguments, got {}", entry.name,
                                entry.params.size(), arguments.size()));
  std::vector<std::byte> bytes(entry.paramBytes);
  for (size_t n = 0; n < arguments.size(); ++n) {
    const Param &param = entry.params[n];
    if (std::string why = mismatch(param, arguments[n]); !why.empty())
      return badInput(fmt::format("entry '{}': argument {}: error: {}", entry.name, n, why));
    std::memcpy(bytes.data() + param.offset, arguments[n].bytes.data(), param.size);
  }
  return bytes;
}

std::vector<std::pair<std::string_view, uint64_t>> named(const Counters &c) {
  return {{"warp instructions", c.warpInstructions},
          {"integer", c.integer},
          {"floating", c.floating},
          {"special", c.special},
          {"conversion", c.conversion},
          {"move", c.move},
          {"predicate", c.predicate},
          {"control", c.control},
          {"memory", c.memory},
          {"matrix", c.matrix},
          {"matrix load", c.matrixLoad},
          {"async copy", c.asyncCopy},
          {"shuffle", c.shuffle},
          {"barrier", c.barrier},
          {"multiply-adds", c.multiplyAdds},
          {"global load bytes", c.globalLoadBytes},
          {"global store bytes", c.globalStoreBytes},
          {"shared load bytes", c.sharedLoadBytes},
          {"shared store bytes", c.sharedStoreBytes},
          {"local bytes", c.localBytes},
          {"async bytes", c.asyncBytes},
          {"shared wavefronts", c.sharedWavefronts},
          {"bank conflicts", c.bankConflicts},
          {"divergent branches", c.divergentBranches},
          {"barrier waits", c.barrierWaits},
          {"blocks", c.blocks}};
}

} // namespace attune::sim
