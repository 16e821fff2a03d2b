//===- HostProblem.cpp - arrays of a program on the host ------------------===//
#include "runtime/reference/HostProblem.h"

#include "runtime/reference/RandomArray.h"

#include <algorithm>

namespace attune::reference {

HostArray sampleArray(const BoundProgram &program, size_t place, Layout layout, uint64_t seed) {
  const BoundArgument &argument = program.arrays()[place];
  HostArray array = HostArray::of(denseArray(argument, layout));
  DType type = array.layout.type;
  int bits = infoOf(type).bits;
  if (argument.output && bits == 16)
    std::fill_n(array.as<uint16_t>(), array.count<uint16_t>(), unwritten16);
  else if (argument.output)
    std::fill_n(array.as<uint32_t>(), array.count<uint32_t>(), unwritten32);
  else if (bits == 16)
    fillNormal(array.as<uint16_t>(), int64_t(array.count<uint16_t>()), type, seed, place);
  else if (type == DType::F32)
    fillNormal(array.as<float>(), int64_t(array.count<float>()), seed, place);
  else if (argument.name == "lengths_q" || argument.name == "lengths_kv")
    std::fill_n(array.as<int32_t>(), array.count<int32_t>(),
                int32_t(program.findArray(argument.name == "lengths_q" ? "q" : "k")->shape[2]));
  else if (bits == 8)
    std::fill(array.bytes.begin(), array.bytes.end(), std::byte(1));
  return array;
}

const HostArray *findArray(const std::vector<HostArray> &arrays, std::string_view name) {
  for (const HostArray &array : arrays)
    if (array.layout.name == name)
      return &array;
  return nullptr;
}

Inputs inputsOf(const AttentionSpec &spec, const std::vector<HostArray> &arrays) {
  auto bits = [&](std::string_view name) { return findArray(arrays, name)->as<uint16_t>(); };
  const HostArray *sink = findArray(arrays, "sink");
  Inputs inputs{bits("q"), bits("k"), bits("v"), sink ? sink->as<float>() : nullptr, {}};
  for (const expr::CapturedArray &array : spec.captures.arrays) {
    CapturedData &data = inputs.captured.emplace_back();
    const HostArray *found = findArray(arrays, array.name); // a kernel does not have what was folded away
    if (!found)
      continue;
    data.elements = found->bytes.data();
    data.strides.assign(found->layout.strides.begin(), found->layout.strides.begin() + found->layout.rank);
  }
  for (auto [name, lengths] :
       {std::pair("lengths_q", &Inputs::lengthsQ), std::pair("lengths_kv", &Inputs::lengthsKv)})
    if (const HostArray *array = findArray(arrays, name))
      inputs.*lengths = array->as<int32_t>();
  return inputs;
}

Outputs outputsOf(const AttentionSpec &spec, const std::vector<HostArray> &arrays) {
  const HostArray *lse = spec.lse ? findArray(arrays, "lse") : nullptr;
  return {findArray(arrays, "o")->as<uint16_t>(), lse ? lse->as<float>() : nullptr};
}

} // namespace attune::reference
