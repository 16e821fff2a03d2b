//===- CompiledProgram.cpp - what is ready to be loaded ------------------===//
#include "runtime/plan/CompiledProgram.h"

#include "compiler/spec/Json.h"

#include <cmath>

#include <fmt/format.h>

namespace attune {
namespace {

/// Reads the fields of a metadata object; the first one that is absent or of another type is remembered.
class FieldReader {
public:
  explicit FieldReader(const json::Value &object) : object(object) {}

  std::string text(std::string_view name) {
    const json::Value *value = find(name, json::Value::Kind::String);
    return value ? value->text : "";
  }
  int whole(std::string_view name) {
    const json::Value *value = find(name, json::Value::Kind::Number);
    if (value && !(value->number == std::floor(value->number) && std::abs(value->number) < 2e9))
      wrong = name;
    return value && wrong.empty() ? int(value->number) : 0;
  }
  bool has(std::string_view name) const {
    for (const json::Member &member : object.members)
      if (member.key == name)
        return true;
    return false;
  }
  std::string wrong; ///< empty: every field so far was there

private:
  const json::Value *find(std::string_view name, json::Value::Kind kind) {
    for (const json::Member &member : object.members)
      if (member.key == name && member.value.kind == kind)
        return &member.value;
    if (wrong.empty())
      wrong = name;
    return nullptr;
  }
  const json::Value &object;
};

constexpr const char *metadataName = "metadata.json";
constexpr const char *ptxName = "kernel.ptx";
constexpr const char *cudaName = "kernel.cu";
constexpr const char *cubinName = "kernel.cubin";
constexpr const char *tileName = "kernel.tile.mlir";
constexpr const char *logName = "assembler.log";

} // namespace

double StageClock::lap() {
  auto now = std::chrono::steady_clock::now();
  double ms = std::chrono::duration<double, std::milli>(now - last).count();
  last = now;
  return ms;
}

CacheKey requestKey(const AttentionSpec &spec, const Arch &arch, Target target) {
  CacheKey key;
  key.add("attune", ATTUNE_VERSION);
  key.add("launch", launchInterface);
  key.add("spec", codeKey(spec));
  key.add("arch", arch.name);
  key.add("target", nameOf(target));
  key.endRequest();
  return key;
}

const char *nameOf(Target target) { return target == Target::PTX ? "ptx" : "cuda"; }

std::string describe(const Schedule &schedule) {
  return fmt::format("block_q {}, block_kv {}, stages {}, warps {}", schedule.blockQ, schedule.blockKv,
                     schedule.stages, schedule.warps);
}

std::optional<int> CompiledProgram::blocksPerSm() const {
  if (!resources)
    return std::nullopt;
  return attune::blocksPerSm(text.arch, text.threads, resources->registers,
                             text.sharedBytes + resources->staticShared);
}

std::string metadataJson(const CompiledProgram &kernel) {
  const KernelText &text = kernel.text;
  std::string fields;
  auto put = [&](std::string_view name, const std::string &value) {
    fields += fmt::format("{}  \"{}\": {}", fields.empty() ? "" : ",\n", name, value);
  };
  auto number = [&](std::string_view name, int value) { put(name, fmt::format("{}", value)); };
  put("name", json::quote(text.name));
  put("target", json::quote(nameOf(text.target)));
  put("arch", json::quote(text.arch.name));
  number("block_q", text.schedule.blockQ);
  number("block_kv", text.schedule.blockKv);
  number("stages", text.schedule.stages);
  number("warps", text.schedule.warps);
  put("why", json::quote(text.why));
  number("threads", text.threads);
  number("shared_bytes", text.sharedBytes);
  number("min_blocks_per_sm", text.minBlocksPerSm);
  put("assembler", json::quote(kernel.assembler));
  if (kernel.resources) {
    number("registers", kernel.resources->registers);
    number("stack_bytes", kernel.resources->stackBytes);
    number("spill_stores", kernel.resources->spillStores);
    number("spill_loads", kernel.resources->spillLoads);
    number("static_shared", kernel.resources->staticShared);
    number("barriers", kernel.resources->barriers);
  }
  return fmt::format("{{\n{}\n}}\n", fields);
}

CacheEntry toEntry(const CompiledProgram &kernel, const CacheKey &key) {
  CacheEntry entry{key.text(), {{metadataName, metadataJson(kernel)}}};
  auto put = [&](const char *name, const std::string &bytes) {
    if (!bytes.empty())
      entry.artefacts.emplace_back(name, bytes);
  };
  put(cudaName, kernel.text.text);
  put(ptxName, kernel.ptx);
  put(cubinName, kernel.cubin);
  put(tileName, kernel.text.tileText);
  put(logName, kernel.log);
  return entry;
}

Result<CompiledProgram> programFrom(CacheEntry entry) {
  const std::string *metadata = entry.find(metadataName);
  if (!metadata)
    return badInput("the entry holds no kernel");
  std::vector<Diagnostic> diagnostics;
  json::Value object = json::parse(*metadata, diagnostics);
  if (!diagnostics.empty() || object.kind != json::Value::Kind::Object)
    return badInput("the entry's metadata is no JSON object");
  FieldReader read(object);
  CompiledProgram kernel;
  KernelText &text = kernel.text;
  text.stage = Stage::Text;
  text.name = read.text("name");
  text.target = read.text("target") == "cuda" ? Target::CUDA : Target::PTX;
  std::string arch = read.text("arch");
  text.schedule = {read.whole("block_q"), read.whole("block_kv"), read.whole("stages"), read.whole("warps")};
  text.why = read.text("why");
  text.threads = read.whole("threads");
  text.sharedBytes = read.whole("shared_bytes");
  text.minBlocksPerSm = read.whole("min_blocks_per_sm");
  kernel.assembler = read.text("assembler");
  if (read.has("registers"))
    kernel.resources =
        AssemblerReport{read.whole("registers"),   read.whole("stack_bytes"),   read.whole("spill_stores"),
                        read.whole("spill_loads"), read.whole("static_shared"), read.whole("barriers")};
  if (!read.wrong.empty())
    return badInput(fmt::format("the entry's metadata has no usable field '{}'", read.wrong));
  Result<Arch> known = findArch(arch);
  if (!known)
    return known.error();
  text.arch = *known;
  auto take = [&](std::string_view name) {
    for (auto &[known, bytes] : entry.artefacts)
      if (known == name)
        return std::move(bytes);
    return std::string();
  };
  kernel.ptx = take(ptxName);
  kernel.cubin = take(cubinName);
  kernel.log = take(logName);
  text.tileText = take(tileName);
  text.text = take(cudaName);
  if (kernel.ptx.empty())
    return badInput("the entry holds no PTX");
  return kernel;
}

} // namespace attune
