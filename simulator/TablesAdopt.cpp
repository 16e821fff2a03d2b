//===- TablesAdopt.cpp - the simulator computes as a dumped device does ---===//
//
// A handler of an approximate function runs first, as it is; then the lanes whose argument the dump covers
// get the device's value. Without a dump no handler changes.
//
//===----------------------------------------------------------------------===//
#include "simulator/Exec.h"
#include "simulator/TableFunction.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

namespace attune::sim {

namespace {

/// How an opcode's registers hold the arguments of a dumped function.
enum Form { Word, Half, Pair };
struct Adoptable {
  const char *opcode, *function;
  Form form;
};
constexpr Adoptable adoptable[] = {
    {"ex2.approx.ftz.f32", "ex2.approx.ftz.f32", Word},
    {"ex2.approx.f32", "ex2.approx.f32", Word},
    {"rcp.approx.ftz.f32", "rcp.approx.ftz.f32", Word},
    {"rcp.approx.f32", "rcp.approx.f32", Word},
    {"lg2.approx.ftz.f32", "lg2.approx.ftz.f32", Word},
    {"lg2.approx.f32", "lg2.approx.f32", Word},
    {"tanh.approx.f32", "tanh.approx.f32", Word},
    {"rsqrt.approx.ftz.f32", "rsqrt.approx.ftz.f32", Word},
    {"rsqrt.approx.f32", "rsqrt.approx.f32", Word},
    {"sqrt.approx.ftz.f32", "sqrt.approx.ftz.f32", Word},
    {"sqrt.approx.f32", "sqrt.approx.f32", Word},
    {"sin.approx.ftz.f32", "sin.approx.ftz.f32", Word},
    {"sin.approx.f32", "sin.approx.f32", Word},
    {"cos.approx.ftz.f32", "cos.approx.ftz.f32", Word},
    {"cos.approx.f32", "cos.approx.f32", Word},
    {"ex2.approx.f16", "ex2.approx.f16", Half},
    {"ex2.approx.f16x2", "ex2.approx.f16", Pair},
    {"ex2.approx.ftz.bf16", "ex2.approx.ftz.bf16", Half},
    {"ex2.approx.ftz.bf16x2", "ex2.approx.ftz.bf16", Pair},
    {"tanh.approx.f16", "tanh.approx.f16", Half},
    {"tanh.approx.f16x2", "tanh.approx.f16", Pair},
    {"tanh.approx.bf16", "tanh.approx.bf16", Half},
    {"tanh.approx.bf16x2", "tanh.approx.bf16", Pair},
};
constexpr size_t adoptables = std::size(adoptable);

/// One dump, with its functions by their place in `adoptable`.
struct Dump {
  std::shared_ptr<const DeviceTables> tables;
  std::array<const TableFunction *, adoptables> functions{};
};

std::span<const EmbeddedTables> offered;
std::vector<Dump> dumps;
std::array<Handler, adoptables> standIns{};

int capabilityOf(std::string_view target) {
  return target.size() > 3 ? std::atoi(std::string(target.substr(3)).c_str()) : 0;
}

/// The dump of the architecture itself, else that of the nearest one; null without any.
const Dump *dumpFor(int capability) {
  const Dump *best = nullptr;
  auto distance = [&](const Dump &dump) { return std::abs(dump.tables->computeCapability - capability); };
  for (const Dump &dump : dumps)
    if (!best || distance(dump) < distance(*best))
      best = &dump;
  return best;
}

/// The same for the module that a warp runs; modules change seldom.
const Dump *dumpFor(const Warp &w) {
  thread_local uint64_t module = 0;
  thread_local const Dump *dump = nullptr;
  const ModuleImpl &now = *w.worker->launch->module;
  if (module != now.id) {
    module = now.id;
    dump = dumpFor(capabilityOf(now.ast.target));
  }
  return dump;
}

template <size_t N> void adopted(Warp &w, const Inst &i) {
  uint32_t arguments[32];
  std::memcpy(arguments, w.regs + i.a, sizeof arguments); // the destination may be the same register
  standIns[N](w, i);
  const Dump *dump = dumpFor(w);
  const TableFunction *function = dump ? dump->functions[N] : nullptr;
  if (!function)
    return;
  uint32_t *results = reinterpret_cast<uint32_t *>(w.regs + i.d);
  for (uint32_t lanes = w.mask; lanes; lanes &= lanes - 1) {
    int l = __builtin_ctz(lanes);
    uint32_t x = arguments[l];
    if constexpr (adoptable[N].form == Pair) {
      for (int shift : {0, 16})
        if (std::optional<uint32_t> half = function->value(x >> shift & 0xFFFF))
          results[l] = (results[l] & ~(0xFFFFu << shift)) | *half << shift;
    } else if (std::optional<uint32_t> value = function->value(adoptable[N].form == Half ? x & 0xFFFF : x)) {
      results[l] = *value;
    }
  }
}

template <size_t... N> constexpr std::array<Handler, adoptables> adoptedHandlers(std::index_sequence<N...>) {
  return {adopted<N>...};
}

Status add(std::string bytes, const std::string &name, bool checkAll) {
  auto parsed = DeviceTables::parse(std::move(bytes), name);
  if (!parsed)
    return parsed.error();
  if (checkAll)
    if (Status good = (*parsed)->checkAll(); !good)
      return good;
  Dump dump{*parsed};
  for (size_t n = 0; n < adoptables; ++n) {
    dump.functions[n] = (*parsed)->find(adoptable[n].function);
    if (dump.functions[n] && (dump.functions[n]->bits == 32) != (adoptable[n].form == Word))
      return badInput(fmt::format("{}: error: {}: expected arguments of {} bits, got {}", name,
                                  adoptable[n].function, adoptable[n].form == Word ? 32 : 16,
                                  dump.functions[n]->bits));
  }
  dumps.push_back(std::move(dump));
  return success();
}

Status loadNow() {
  const char *named = std::getenv("ATTUNE_DEVICE_TABLES");
  if (!named || !*named) {
    for (const EmbeddedTables &one : offered) // checked in whole when the program was built
      if (Status good = add(std::string(reinterpret_cast<const char *>(one.bytes.data()), one.bytes.size()),
                            std::string(one.name), false);
          !good)
        return good;
    return success();
  }
  if (std::string_view(named) == "none")
    return success();
  std::ifstream in(named, std::ios::binary);
  std::stringstream bytes;
  if (!in || !(bytes << in.rdbuf()))
    return missing(
        fmt::format("{}: error: expected the file of device tables that ATTUNE_DEVICE_TABLES names, "
                    "got none that can be read",
                    named));
  return add(std::move(bytes).str(), named, true);
}

} // namespace

void offerDeviceTables(std::span<const EmbeddedTables> tables) { offered = tables; }

const Status &loadDeviceTables() {
  static const Status status = loadNow();
  return status;
}

HandlerTable withDeviceTables(const HandlerTable &table) {
  HandlerTable result = table;
  if (!loadDeviceTables())
    return result;
  constexpr auto replacements = adoptedHandlers(std::make_index_sequence<adoptables>());
  for (size_t n = 0; n < adoptables; ++n) {
    bool dumped = false;
    for (const Dump &dump : dumps)
      dumped |= dump.functions[n] != nullptr;
    const HandlerInfo *info = table.find(adoptable[n].opcode);
    if (!dumped || !info)
      continue;
    standIns[n] = info->fn;
    result.add(adoptable[n].opcode, replacements[n], info->signature, info->cls);
  }
  return result;
}

std::string approximationNote(std::string_view target) {
  constexpr const char *standIn =
      "`.approx` functions give the correctly rounded value: a stand-in for the device's own";
  const Dump *dump = dumpFor(capabilityOf(target));
  if (!dump)
    return standIn;
  std::string names;
  for (const std::string &opcode : dump->tables->opcodes())
    names += (names.empty() ? "" : ", ") + opcode;
  return fmt::format("{} as dumped from {} (driver {}), for the arguments that the dump covers; other {}",
                     names, dump->tables->gpu, dump->tables->driver, standIn);
}

} // namespace attune::sim
