//===- CompiledProgram.cpp - what is ready to be loaded -------------------===//
#include "runtime/launch/CompiledProgram.h"

#include "compiler/spec/Json.h"
#include "compiler/spec/SpecReader.h"

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
      note(name);
    return value && wrong.empty() ? int(value->number) : 0;
  }
  /// The elements of an array.
  const std::vector<json::Value> &list(std::string_view name) {
    static const std::vector<json::Value> none;
    const json::Value *value = find(name, json::Value::Kind::Array);
    return value ? value->elements : none;
  }
  void note(std::string_view name) {
    if (wrong.empty())
      wrong = name;
  }
  std::string wrong; ///< empty: every field so far was there

private:
  const json::Value *find(std::string_view name, json::Value::Kind kind) {
    for (const json::Member &member : object.members)
      if (member.key == name && member.value.kind == kind)
        return &member.value;
    note(name);
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

/// The fields of an AssemblerReport by name.
struct ReportField {
  const char *name;
  int AssemblerReport::*value;
};
constexpr ReportField reportFields[] = {
    {"registers", &AssemblerReport::registers},        {"stack_bytes", &AssemblerReport::stackBytes},
    {"spill_stores", &AssemblerReport::spillStores},   {"spill_loads", &AssemblerReport::spillLoads},
    {"static_shared", &AssemblerReport::staticShared}, {"barriers", &AssemblerReport::barriers}};

/// The words of a list, one a line.
std::string listOf(const std::vector<std::string> &items) {
  std::string result;
  for (const std::string &item : items)
    result += fmt::format("{}    {}", result.empty() ? "\n" : ",\n", item);
  return fmt::format("[{}{}]", result, result.empty() ? "" : "\n  ");
}

/// "32: k, address", for people who launch by hand: each field of the parameter block.
std::vector<std::string> parameterLines(const KernelInfo &kernel) {
  ParameterBlock block(kernel.arguments);
  std::vector<std::string> lines;
  for (const ParameterField &field : block.fields) {
    const Argument &argument = kernel.arguments[field.argument];
    std::string what;
    switch (field.what) {
    case ParameterField::What::Base:
      what = "address";
      break;
    case ParameterField::What::Stride:
      what = fmt::format("stride of axis {} ({})", field.axis, argument.axes[field.axis].text());
      break;
    case ParameterField::What::Value:
      what = "value";
      break;
    case ParameterField::What::Map:
      what = "tensor map";
    }
    lines.push_back(json::quote(fmt::format("{} {} +{} ({} bytes): {} of {}", kernel.name, "parameter",
                                            field.offset, field.bytes, what, argument.name)));
  }
  lines.push_back(json::quote(fmt::format("{} parameters: {} bytes", kernel.name, block.bytes)));
  return lines;
}

std::vector<std::string> linesOf(const std::string &text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(json::quote(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

} // namespace

double StageClock::lap() {
  auto now = std::chrono::steady_clock::now();
  double ms = std::chrono::duration<double, std::milli>(now - last).count();
  last = now;
  return ms;
}

/// Changes with what an entry's metadata means, so that nobody launches what he misreads.
static constexpr const char *entryForm = "program 1";

CacheKey requestKey(const ProgramRequest &request, const Arch &arch) {
  CacheKey key;
  key.add("attune", ATTUNE_VERSION);
  key.add("launch", entryForm);
  if (request.stage) {
    key.add("stage", fmt::format("{}", int(request.stage->stage)));
    key.add("text", CacheKey::of(request.stage->text).hash());
  } else {
    // Apart, so that whoever takes any schedule finds what others have compiled.
    AttentionSpec spec = request.spec;
    key.add("schedule", spec.schedule.text());
    spec.schedule = {};
    key.add("spec", codeKey(spec));
  }
  key.add("arch", arch.name);
  key.add("target", nameOf(request.target));
  key.endRequest();
  return key;
}

const NamedStage *findStage(std::string_view name) {
  for (const NamedStage &stage : namedStages)
    if (stage.name == name)
      return &stage;
  return nullptr;
}

const char *nameOf(Target target) { return target == Target::PTX ? "ptx" : "cuda"; }

std::optional<int> CompiledProgram::blocksPerSm(size_t kernel) const {
  if (reports.empty())
    return std::nullopt;
  const KernelInfo &info = program().kernels[kernel];
  return attune::blocksPerSm(text.arch, info.threads, reports[kernel].registers,
                             info.sharedBytes + reports[kernel].staticShared);
}

std::string metadataJson(const CompiledProgram &compiled) {
  const KernelText &text = compiled.text;
  std::string fields;
  auto put = [&](std::string_view name, const std::string &value) {
    fields += fmt::format("{}  \"{}\": {}", fields.empty() ? "" : ",\n", name, value);
  };
  put("name", json::quote(text.name));
  put("target", json::quote(nameOf(text.target)));
  put("arch", json::quote(text.arch.name));
  put("why", json::quote(text.why));
  put("program", listOf(linesOf(compiled.program().text())));
  std::vector<std::string> parameters;
  for (const KernelInfo &kernel : compiled.program().kernels)
    for (std::string &line : parameterLines(kernel))
      parameters.push_back(std::move(line));
  put("parameters", listOf(parameters));
  put("workspace_bytes", json::quote(compiled.program().workspaceBytes().text()));
  put("zeroed_bytes", json::quote(compiled.program().zeroBytes().text()));
  put("assembler", json::quote(compiled.assembler));
  std::vector<std::string> reports;
  for (const AssemblerReport &report : compiled.reports) {
    std::string object;
    for (const ReportField &field : reportFields)
      object += fmt::format("{}\"{}\": {}", object.empty() ? "" : ", ", field.name, report.*field.value);
    reports.push_back("{" + object + "}");
  }
  put("reports", listOf(reports));
  return fmt::format("{{\n{}\n}}\n", fields);
}

EntryFacts factsOf(const CacheHead &head) {
  std::vector<Diagnostic> ignored;
  json::Value object = json::parse(head.metadata, ignored);
  FieldReader read(object);
  EntryFacts facts;
  facts.kernel = read.text("name");
  facts.target = read.text("target");
  facts.arch = read.text("arch");
  std::string lines;
  for (const json::Value &line : read.list("program"))
    lines += line.text + "\n";
  if (Result<Program> program = Program::parse(lines); program && !program->kernels.empty())
    facts.schedule = program->main().schedule;
  constexpr std::string_view name = "\nspec=";
  if (size_t at = head.key.find(name); at != std::string::npos) {
    std::string_view text = std::string_view(head.key).substr(at + name.size());
    if (Result<AttentionSpec> spec = readSpec(text.substr(0, text.find('\n')), "key"))
      facts.spec = std::move(*spec);
  }
  return facts;
}

CacheEntry toEntry(const CompiledProgram &program, const CacheKey &key) {
  CacheEntry entry{key.text(), {{metadataName, metadataJson(program)}}};
  auto put = [&](const char *name, const std::string &bytes) {
    if (!bytes.empty())
      entry.artefacts.emplace_back(name, bytes);
  };
  put(cudaName, program.text.text);
  put(ptxName, program.ptx);
  put(cubinName, program.cubin);
  put(tileName, program.text.tileText);
  put(logName, program.log);
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
  CompiledProgram compiled;
  KernelText &text = compiled.text;
  text.stage = Stage::Text;
  text.name = read.text("name");
  text.target = read.text("target") == "cuda" ? Target::CUDA : Target::PTX;
  std::string arch = read.text("arch");
  text.why = read.text("why");
  std::string lines;
  for (const json::Value &line : read.list("program"))
    lines += line.text + "\n";
  compiled.assembler = read.text("assembler");
  for (const json::Value &report : read.list("reports")) {
    FieldReader fields(report);
    AssemblerReport &next = compiled.reports.emplace_back();
    for (const ReportField &field : reportFields)
      next.*field.value = fields.whole(field.name);
    if (!fields.wrong.empty())
      read.note(fields.wrong);
  }
  if (!read.wrong.empty())
    return badInput(fmt::format("the entry's metadata has no usable field '{}'", read.wrong));
  Result<Program> program = Program::parse(lines);
  if (!program)
    return badInput(fmt::format("the entry's program is unusable: {}", program.error().message));
  text.program = std::move(*program);
  if (!compiled.reports.empty() && compiled.reports.size() != text.program.kernels.size())
    return badInput("the entry's metadata has no usable field 'reports'");
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
  compiled.ptx = take(ptxName);
  compiled.cubin = take(cubinName);
  compiled.log = take(logName);
  text.tileText = take(tileName);
  text.text = take(cudaName);
  if (compiled.ptx.empty())
    return badInput("the entry holds no PTX");
  return compiled;
}

} // namespace attune
