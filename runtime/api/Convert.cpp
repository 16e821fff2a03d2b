//===- Convert.cpp - public values and the compiler's ---------------------===//
#include "runtime/api/Api.h"

#include "compiler/spec/SpecReader.h"

#include <array>

namespace attune {

static Schedule toInside(const v1::Schedule &asked) { return {asked.family, asked.values}; }

/// Place by place, the same types.
struct TypePair {
  DType inside;
  v1::DType outside;
};
constexpr TypePair types[] = {{DType::F16, v1::DType::F16},
                              {DType::BF16, v1::DType::BF16},
                              {DType::F32, v1::DType::F32},
                              {DType::I32, v1::DType::I32},
                              {DType::U8, v1::DType::U8}};

DType toInside(v1::DType type) {
  for (const TypePair &pair : types)
    if (pair.outside == type)
      return pair.inside;
  return DType::I64; // no kernel has an array of it: a launch refuses what no enumerator names
}

v1::DType toPublic(DType type) {
  for (const TypePair &pair : types)
    if (pair.inside == type)
      return pair.outside;
  return v1::DType::I32;
}

AttentionSpec toInside(const v1::Spec &spec) {
  AttentionSpec inside;
  inside.name = spec.name;
  inside.dtype = toInside(spec.dtype);
  inside.headDimQk = spec.headDimQk;
  inside.headDimV = spec.headDimV;
  inside.layout = spec.layout == v1::Layout::BSHD ? Layout::BSHD : Layout::BHSD;
  inside.scale = spec.scale;
  for (const v1::MaskTerm &term : spec.mask)
    inside.mask.push_back({term.left, term.right,
                           term.align == v1::MaskAlign::TopLeft ? MaskAlign::TopLeft : MaskAlign::BottomRight,
                           term.runtimeLeft, term.runtimeRight});
  inside.maskExpressions = spec.maskExpressions;
  inside.scoreExpression = spec.scoreExpression;
  for (const v1::CapturedArray &array : spec.arrays) {
    expr::CapturedArray &captured = inside.captures.arrays.emplace_back();
    captured.name = array.name;
    captured.dtype = toInside(array.dtype);
    for (const std::string &axis : array.axes) // what is none is refused with the spec: an axis of 0
      captured.axes.push_back(expr::findAxis(axis).value_or(expr::Axis()));
  }
  for (const v1::CapturedScalar &scalar : spec.scalars)
    inside.captures.scalars.push_back(
        {scalar.name, scalar.dtype == v1::DType::F32 ? expr::Type::F32 : expr::Type::I32, {}});
  inside.softcap = spec.softcap;
  inside.sink = spec.sink;
  inside.lse = spec.lse;
  inside.runtimeScale = spec.runtimeScale;
  inside.runtimeSoftcap = spec.runtimeSoftcap;
  inside.batchInvariant = spec.batchInvariant;
  inside.schedule = toInside(spec.schedule);
  return inside;
}

v1::Spec toPublic(const AttentionSpec &spec) {
  v1::Spec result;
  result.name = spec.name;
  result.dtype = toPublic(spec.dtype);
  result.headDimQk = spec.headDimQk;
  result.headDimV = spec.headDimV;
  result.layout = spec.layout == Layout::BSHD ? v1::Layout::BSHD : v1::Layout::BHSD;
  result.scale = spec.scale;
  for (const MaskTerm &term : spec.mask)
    result.mask.push_back(
        {term.left, term.right,
         term.align == MaskAlign::TopLeft ? v1::MaskAlign::TopLeft : v1::MaskAlign::BottomRight,
         term.runtimeLeft, term.runtimeRight});
  result.maskExpressions = spec.maskExpressions;
  result.scoreExpression = spec.scoreExpression;
  for (const expr::CapturedArray &array : spec.captures.arrays) {
    v1::CapturedArray &captured = result.arrays.emplace_back();
    captured.name = array.name;
    captured.dtype = toPublic(array.dtype);
    for (const expr::Axis &axis : array.axes)
      captured.axes.push_back(textOf(axis));
  }
  for (const expr::CapturedScalar &scalar : spec.captures.scalars)
    result.scalars.push_back({scalar.name, scalar.type == expr::Type::F32 ? v1::DType::F32 : v1::DType::I32});
  result.softcap = spec.softcap;
  result.sink = spec.sink;
  result.lse = spec.lse;
  result.batchInvariant = spec.batchInvariant;
  result.runtimeScale = spec.runtimeScale;
  result.runtimeSoftcap = spec.runtimeSoftcap;
  result.schedule = {spec.schedule.family, spec.schedule.values};
  return result;
}

ProblemShape toInside(const v1::Shape &shape) {
  return {shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv};
}

v1::DeviceInfo toPublic(const DeviceInfo &device) {
  return {device.kind == DeviceKind::Sim,
          device.ordinal,
          device.name,
          device.arch.name,
          device.computeCapability,
          device.driverVersion,
          device.multiprocessors,
          device.memoryBytes,
          device.why};
}

Advisor toInside(const v1::Advisor &advisor) {
  if (!advisor)
    return {};
  return [advisor](const AttentionSpec &spec, const ProblemShape &shape,
                   const DeviceInfo &device) -> std::optional<Advice> {
    std::optional<v1::Advice> advice =
        advisor(toPublic(spec), {shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv},
                toPublic(device));
    if (!advice)
      return std::nullopt;
    return Advice{toInside(advice->schedule), advice->target == v1::Target::PTX ? Target::PTX : Target::CUDA,
                  advice->why};
  };
}

/// What an advisor may ask of a device. An architecture that attune does not know stays empty.
static DeviceInfo toInside(const v1::DeviceInfo &device) {
  DeviceInfo inside;
  inside.kind = device.simulated ? DeviceKind::Sim : DeviceKind::Cuda;
  inside.ordinal = device.ordinal;
  inside.name = device.name;
  if (Result<Arch> arch = findArch(device.arch))
    inside.arch = *arch;
  inside.computeCapability = device.computeCapability;
  inside.driverVersion = device.cudaVersion;
  inside.multiprocessors = device.multiprocessors;
  inside.memoryBytes = device.memoryBytes;
  return inside;
}

v1::Advisor toPublic(Advisor advisor) {
  return [advisor = std::move(advisor)](const v1::Spec &spec, const v1::Shape &shape,
                                        const v1::DeviceInfo &device) -> std::optional<v1::Advice> {
    std::optional<Advice> advice = advisor(toInside(spec), toInside(shape), toInside(device));
    if (!advice)
      return std::nullopt;
    return v1::Advice{{advice->schedule.family, advice->schedule.values},
                      advice->target == Target::PTX ? v1::Target::PTX : v1::Target::CUDA,
                      advice->why};
  };
}

v1::Result<v1::Spec> v1::Spec::fromJson(std::string_view json, std::string_view file) {
  attune::Result<AttentionSpec> spec = readSpec(json, file.empty() ? "spec" : file);
  if (!spec)
    return Error{ErrorCode::InvalidSpec, spec.error().message};
  return toPublic(*spec);
}

} // namespace attune
