//===- Report.cpp - what is known about a kernel, for people and JSON -----===//
#include "cli/Report.h"

#include "compiler/schedule/Family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::cli {

namespace {

double elementsPerThread(const KernelInfo &kernel) {
  const ScheduleFamily *family = findScheduleFamily(kernel.schedule.family);
  return family ? family->scoresPerThread(kernel.schedule) : 0;
}

std::string lineOf(std::string_view name, const std::string &value) {
  return fmt::format("  {:<12} {}\n", name, value);
}

std::string scheduleJson(const Schedule &schedule) {
  JsonObject json;
  json.text("family", schedule.family);
  for (const auto &[name, value] : schedule.values)
    json.whole(name, value);
  return json.str();
}

std::string maskText(const AttentionSpec &spec) {
  std::string text;
  for (const MaskTerm &term : normalizedMask(spec)) {
    const char *align = term.align == MaskAlign::TopLeft ? "" : " (bottom right)";
    auto bound = [](const std::optional<int64_t> &keys, bool runtime) {
      return runtime ? "(at launch)" : keys ? fmt::format("{}", *keys) : "all";
    };
    bool causal = !term.hasLeft() && term.right == 0 && !term.runtimeRight;
    text +=
        (text.empty() ? "" : " and ") +
        (causal ? fmt::format("causal{}", align)
                : fmt::format("window of {} keys before and {} after{}", bound(term.left, term.runtimeLeft),
                              bound(term.right, term.runtimeRight), align));
  }
  for (const std::string &expression : spec.maskExpressions)
    text += (text.empty() ? "" : " and ") + ("mask " + expression);
  return text.empty() ? "no mask" : text;
}

} // namespace

std::string specText(const AttentionSpec &spec) {
  std::string dims = spec.headDimQk == spec.headDimV
                         ? fmt::format("head dim {}", spec.headDimQk)
                         : fmt::format("head dims {} and {}", spec.headDimQk, spec.headDimV);
  std::string text = fmt::format("{}, {}, {}", nameOf(spec.dtype), dims, maskText(spec));
  if (!spec.scoreExpression.empty())
    text += ", score " + spec.scoreExpression;
  if (spec.softcap)
    text += fmt::format(", softcap {}", *spec.softcap);
  if (spec.sink)
    text += ", sinks";
  if (spec.lengthsQ || spec.lengthsKv)
    text += fmt::format(", each entry's {}{}{}", spec.lengthsQ ? "queries" : "",
                        spec.lengthsQ && spec.lengthsKv ? " and " : "", spec.lengthsKv ? "keys" : "");
  if (spec.lse)
    text += ", LSE";
  return text;
}

std::string alignNote(const AttentionSpec &spec, int64_t lengthQ, int64_t lengthKv) {
  if (lengthQ == lengthKv || spec.origin.align || normalizedMask(spec).empty())
    return "";
  return fmt::format(
      "of {} queries and {} keys the mask does not say how they meet: top_left is taken, query i at the "
      "position of key i; bottom_right (--mask causal:bottom_right, \"align\" in a file) puts the "
      "last of both at one position, as decoding needs",
      lengthQ, lengthKv);
}

KernelReport reportOn(const CompiledProgram &kernel, const Toolchain &tools, bool withSlots) {
  KernelReport report{&kernel, {}, ""};
  if (!withSlots)
    return report;
  if (kernel.cubin.empty()) {
    report.slotsNote = "no machine code: " + std::string(toolName(Tool::Ptxas)) + " was not found";
    return report;
  }
  // Of an edited text the score elements of a thread are unknown; its instructions can still be counted.
  Result<std::vector<LoopSlots>> loops = slots(tools, kernel.cubin, elementsPerThread(kernel.mainKernel()));
  if (loops)
    report.loops = std::move(*loops);
  else
    report.slotsNote = loops.error().message;
  return report;
}

std::string reportText(const KernelReport &report, const BuiltProgram &built) {
  const CompiledProgram &kernel = *report.kernel;
  const KernelText &text = kernel.text;
  std::string result = fmt::format("{} for {}, target {}\n", text.name, text.arch.name, nameOf(text.target));
  const Program &program = kernel.program();
  for (size_t i = 0; i < program.kernels.size(); ++i) {
    const KernelInfo &info = program.kernels[i];
    if (program.kernels.size() > 1)
      result += lineOf("kernel", info.name);
    if (!info.schedule.family.empty())
      result += lineOf("schedule", info.schedule.words());
    if (i == program.mainKernel() && !text.why.empty())
      result += lineOf("", text.why);
    result += lineOf("threads", fmt::format("{} a block", info.threads));
    result += lineOf("shared", fmt::format("{} a block, of {}", kilobytes(info.sharedBytes),
                                           kilobytes(text.arch.sharedPerBlock)));
    if (kernel.reports.empty()) {
      result += lineOf("registers", "unknown: no assembler was found; attune doctor says how to get one");
      result += lineOf("occupancy", fmt::format("{} blocks an SM planned", info.minBlocksPerSm));
      continue;
    }
    const AssemblerReport &used = kernel.reports[i];
    result += lineOf("registers", fmt::format("{} a thread", used.registers));
    result +=
        lineOf("spills", used.spillStores + used.spillLoads == 0
                             ? std::string("none")
                             : fmt::format("{} bytes stored, {} loaded", used.spillStores, used.spillLoads));
    int blocks = kernel.blocksPerSm(i).value_or(0);
    result += lineOf("occupancy",
                     fmt::format("{} blocks an SM (planned {}), {} of {} warps", blocks, info.minBlocksPerSm,
                                 blocks * info.threads / 32, text.arch.maxThreadsPerSm / 32));
  }
  if (!kernel.assembler.empty())
    result += lineOf("assembler", kernel.assembler);
  bool known = elementsPerThread(kernel.mainKernel()) > 0;
  for (size_t i = 0; i < report.loops.size(); ++i) {
    const LoopSlots &loop = report.loops[i];
    result +=
        lineOf(i ? "" : "inner loops",
               fmt::format("{}{} instructions, {} of them matrix, {} seldom run",
                           known ? fmt::format("{:.2f} issue slots a score element: ", loop.slotsPerElement)
                                 : std::string(),
                           loop.instructions, loop.matrix, loop.skipped));
  }
  if (!report.slotsNote.empty())
    result += lineOf("inner loops", "unknown: " + report.slotsNote);
  if (built.fromCache)
    result += lineOf("cache", "taken from " + built.cacheFile);
  return result + "stages\n" + timesText(built.times);
}

static std::string quoted(const std::string &text) { return fmt::format("\"{}\"", text); }

/// What a host needs to launch the program by itself: formulas over batch, heads_q, heads_kv, len_q, len_kv
/// and sm_count, to be evaluated in whole numbers.
static void addLaunches(JsonObject &json, const Program &program) {
  std::vector<std::string> launches;
  for (const Launch &launch : program.launches) {
    JsonObject one;
    std::vector<std::string> grid;
    for (const SizeExpr &blocks : launch.grid)
      grid.push_back(quoted(blocks.text()));
    one.text("kernel", program.kernels[launch.kernel].name).raw("grid", jsonList(grid));
    one.whole("block", launch.block).raw("cluster", fmt::format("[{}]", fmt::join(launch.cluster, ",")));
    launches.push_back(one.text("shared_bytes", launch.sharedBytes.text()).str());
  }
  json.raw("launches", jsonList(launches)).text("workspace_bytes", program.workspaceBytes().text());
  json.text("workspace_zero_bytes", program.zeroBytes().text());
}

/// What cuTensorMapEncodeTiled takes beside the array's address and strides; sizes outermost first, as the
/// array's.
static void addTensorMap(JsonObject &json, const KernelInfo &kernel, const Argument &map) {
  const Argument &array = kernel.arguments[*kernel.find(map.array)];
  std::vector<std::string> shape;
  for (const SizeExpr &extent : array.axes)
    shape.push_back(quoted(extent.text()));
  json.text("array", array.name).text("dtype", nameOf(array.type)).raw("shape", jsonList(shape));
  json.raw("box", fmt::format("[{}]", fmt::join(map.box.rbegin(), map.box.rend(), ",")));
  json.whole("swizzle", map.swizzle);
}

void addText(JsonObject &json, const KernelText &text) {
  json.text("name", text.name).text("arch", text.arch.name).text("target", nameOf(text.target));
  if (text.program.kernels.empty()) {
    json.text("why", text.why);
    return;
  }
  const KernelInfo &kernel = text.program.main();
  json.raw("schedule", scheduleJson(kernel.schedule)).text("why", text.why).whole("threads", kernel.threads);
  json.whole("shared_bytes", kernel.sharedBytes).whole("planned_blocks_per_sm", kernel.minBlocksPerSm);
  ParameterBlock block(kernel.arguments);
  std::vector<std::string> fields;
  for (const ParameterField &field : block.fields) {
    const Argument &argument = kernel.arguments[field.argument];
    JsonObject one;
    one.text("argument", argument.name).whole("offset", field.offset).whole("bytes", field.bytes);
    switch (field.what) {
    case ParameterField::What::Base:
      if (argument.kind == Argument::Kind::Workspace)
        for (const WorkspacePart &part : text.program.workspace())
          if (part.name == argument.name)
            one.text("workspace_offset", part.offset.text());
      one.text("what", argument.kind == Argument::Kind::Workspace ? "workspace" : "address");
      break;
    case ParameterField::What::Stride:
      one.text("what", "stride").whole("axis", int64_t(field.axis));
      break;
    case ParameterField::What::Value:
      one.text("what", "value");
      if (argument.value)
        one.text("value", argument.value->text());
      break;
    case ParameterField::What::Map:
      addTensorMap(one.text("what", "tensor_map"), kernel, argument);
    }
    fields.push_back(one.str());
  }
  json.raw("parameters", jsonList(fields)).whole("parameter_bytes", block.bytes);
  addLaunches(json, text.program);
}

void addReport(JsonObject &json, const KernelReport &report) {
  const CompiledProgram &kernel = *report.kernel;
  if (const AssemblerReport *used = kernel.mainReport())
    json.whole("registers", used->registers)
        .whole("spill_store_bytes", used->spillStores)
        .whole("spill_load_bytes", used->spillLoads)
        .whole("stack_bytes", used->stackBytes)
        .whole("blocks_per_sm", kernel.blocksPerSm().value_or(0))
        .text("assembler", kernel.assembler);
  std::vector<std::string> loops;
  for (const LoopSlots &loop : report.loops) {
    JsonObject fields;
    if (elementsPerThread(kernel.mainKernel()) > 0)
      fields.number("slots_per_element", loop.slotsPerElement);
    fields.whole("instructions", loop.instructions).whole("matrix", loop.matrix);
    loops.push_back(fields.whole("skipped", loop.skipped).str());
  }
  if (!loops.empty())
    json.raw("inner_loops", jsonList(loops));
}

std::string timesJson(const StageTimes &times) {
  JsonObject json;
  for (const auto &[stage, ms] : times)
    json.number(stage, ms);
  return json.str();
}

std::string timesText(const StageTimes &times) {
  std::string result;
  double total = 0;
  for (const auto &[stage, ms] : times) {
    result += fmt::format("  {:<12} {}\n", stage, milliseconds(ms));
    total += ms;
  }
  return result + fmt::format("  {:<12} {}\n", "total", milliseconds(total));
}

} // namespace attune::cli
