//===- Facts.cpp - what the C interface tells, as JSON --------------------===//
#include "runtime/api/Facts.h"

#include "compiler/spec/Json.h"
#include "runtime/io/JsonObject.h"

namespace attune::api {

std::string factsOf(const DeviceInfo &device) {
  return JsonObject()
      .boolean("simulated", device.kind == DeviceKind::Sim)
      .whole("ordinal", device.ordinal)
      .text("name", device.name)
      .text("arch", device.arch.name)
      .whole("compute_capability", device.computeCapability)
      .whole("cuda_version", device.driverVersion)
      .whole("multiprocessors", device.multiprocessors)
      .whole("memory_bytes", int64_t(device.memoryBytes))
      .text("why", device.why)
      .str();
}

std::string factsOf(const Schedule &schedule) {
  JsonObject object;
  object.text("family", schedule.family);
  for (const auto &[name, value] : schedule.values)
    object.whole(name, value);
  return object.str();
}

template <typename Values> static std::string numbers(const Values &values, size_t count) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i)
    texts.push_back(fmt::format("{}", values[i]));
  return jsonList(texts);
}

static std::string factsOf(const Dim3 &size) { return numbers(std::array{size.x, size.y, size.z}, 3); }

std::string factsOf(const StageTimes &times) {
  std::vector<std::string> pairs;
  for (const auto &[name, milliseconds] : times)
    pairs.push_back(fmt::format("[{},{}]", json::quote(name), milliseconds));
  return jsonList(pairs);
}

/// An array that launches are given, and how it lies where it is dense.
static std::string factsOf(const BoundArgument &bound, const ArrayArgument &dense) {
  const Argument &argument = *bound.argument;
  size_t rank = argument.axes.size();
  std::vector<std::string> axes;
  for (const SizeExpr &axis : argument.axes)
    axes.push_back(axis.text());
  return JsonObject()
      .text("name", bound.name)
      .text("kind", "array")
      .text("dtype", nameOf(argument.type))
      .raw("shape", numbers(bound.shape, rank))
      .raw("strides", numbers(dense.strides, rank))
      .raw("axes", jsonTexts(axes))
      .boolean("output", bound.output)
      .boolean("optional", argument.optional)
      .boolean("captured", bound.captured)
      .whole("alignment", argument.alignment ? argument.alignment : infoOf(argument.type).bytes())
      .str();
}

static std::string factsOf(const BoundArgument &scalar, const AttentionSpec &spec) {
  JsonObject object;
  object.text("name", scalar.name).text("kind", "scalar").text("dtype", nameOf(scalar.argument->type));
  if (std::optional<double> value = scalarOf(spec, scalar.name))
    object.number("default", *value);
  return object.str();
}

std::string factsOf(const Plan &plan, const std::vector<ArrayArgument> &dense) {
  const LoadedProgram &loaded = plan.loaded();
  const BuiltProgram &built = loaded.built();
  const CompiledProgram &compiled = built.program;
  std::vector<std::string> launches, arguments;
  for (const BoundLaunch &launch : plan.program.launches())
    launches.push_back(JsonObject()
                           .text("kernel", loaded.program().kernels[launch.kernel].name)
                           .raw("grid", factsOf(launch.grid))
                           .raw("block", factsOf(launch.block))
                           .raw("cluster", factsOf(launch.cluster))
                           .whole("shared_bytes", launch.sharedBytes)
                           .str());
  for (size_t i = 0; i < dense.size(); ++i)
    arguments.push_back(factsOf(plan.program.arrays()[i], dense[i]));
  for (const BoundArgument &scalar : plan.program.scalars())
    arguments.push_back(factsOf(scalar, plan.spec));
  const LoadedKernel &kernel = loaded.mainKernel();
  return JsonObject()
      .text("kernel", compiled.text.name)
      .text("target", nameOf(compiled.text.target))
      .text("arch", compiled.text.arch.name)
      .raw("schedule", factsOf(compiled.mainKernel().schedule))
      .text("why", plan.why)
      .text("image", loaded.image().why)
      .boolean("from_cache", built.fromCache)
      .text("cache_file", built.cacheFile)
      .whole("workspace_bytes", int64_t(plan.program.workspaceBytes()))
      .raw("launches", jsonList(launches))
      .raw("arguments", jsonList(arguments))
      .whole("registers", kernel.registers)
      .whole("blocks_per_sm", kernel.blocksPerSm)
      .raw("notes", jsonTexts(plan.notes))
      .raw("stage_times", factsOf(plan.times))
      .str();
}

} // namespace attune::api
